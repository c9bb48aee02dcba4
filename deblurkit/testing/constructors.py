"""What every component's constructor keeps, so that option files can be checked before anything is built."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from torch import nn

from deblurkit.testing.component import Component


def constructor_names_its_arguments(component: Component) -> None:
    """Expects a constructor without ``*args`` and ``**kwargs``, which would let misspelt arguments pass."""
    collecting = [p.name for p in _parameters(component) if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    assert not collecting, f"it collects arguments in {', '.join(collecting)}"


def constructor_has_all_arguments(component: Component) -> None:
    """Expects a default for each argument of the constructor, or its value in ``arguments`` of ``contract_tests``."""
    named = [p for p in _parameters(component) if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    lacking = [p.name for p in named if p.default is p.empty and p.name not in component.arguments]
    assert not lacking, f"no value for {', '.join(lacking)}"


def the_weight_is_the_terms(component: Component) -> None:
    """Expects a loss without an argument ``weight``: that is the term's own key in an option file."""
    assert "weight" not in [p.name for p in _parameters(component)], "it has one"


def _parameters(component: Component) -> Sequence[inspect.Parameter]:
    constructor = component.registered.__init__
    if constructor in (nn.Module.__init__, object.__init__):  # it has none of its own
        return []
    return list(inspect.signature(constructor).parameters.values())[1:]


ANY = (constructor_names_its_arguments,)
BUILT = (constructor_names_its_arguments, constructor_has_all_arguments)
