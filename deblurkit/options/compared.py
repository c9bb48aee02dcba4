"""Whether the two sides of a loss term are images or lists of them, and what the loss compares, told by annotations."""

from __future__ import annotations

from typing import Any

from deblurkit import registry
from deblurkit.contracts import is_game
from deblurkit.options.selection import Selection
from deblurkit.options.signature import is_list, returns_of, signature_of


def compared_problem(loss: Any, side: str, selection: Selection, named_list: bool | None) -> str | None:
    """Returns why a loss cannot compare what a side of its term selects; ``None`` where it can, or cannot be told.

    Args:
        loss: The class.
        side: ``pred`` or ``target``.
        selection: What the side selects.
        named_list: Whether what it names, before any view, is a list of images; ``None``: not known.
    """
    found, wanted = _is_list(selection, named_list), _takes_list(loss, side)
    if found is None or wanted is None or found is wanted:
        return None
    name = getattr(loss, "__name__", "the loss")
    if found:
        return f"{selection} is a list of images, and {name} compares single ones; MultiScaleMSELoss compares lists"
    return f"{selection} is a single image, and {name} compares lists of them, such as pyramid({selection.name})"


def _is_list(selection: Selection, named_list: bool | None) -> bool | None:
    """Tells whether a selection is a list: what it names is one, or a view makes one of an image."""
    kinds = [named_list, *(is_list(returns_of(registry.VIEWS.get(name))) for name in selection.views)]
    if True in kinds:
        return True  # further views go through it item by item
    return None if None in kinds else False


def _takes_list(loss: Any, side: str) -> bool | None:
    if is_game(loss):
        return False  # the critic is shown each side
    return is_list(signature_of(loss.forward).annotations.get(side, Any))
