"""Laws that every component's constructor keeps, so that option files can be checked before anything is built."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from torch import nn

from deblurkit.testing.component import Component

_COLLECTING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def constructor_names_its_arguments(component: Component) -> None:
    """Expects a constructor without ``*args`` and ``**kwargs``, which would let misspelt arguments pass."""
    collecting = [name for name, taken in _parameters(component).items() if taken.kind in _COLLECTING]
    assert not collecting, f"it collects arguments in {', '.join(collecting)}"


def constructor_has_all_arguments(component: Component) -> None:
    """Expects a default for each argument of the constructor, or its value in ``arguments`` of ``contract_tests``."""
    lacking = []
    for name, taken in _parameters(component).items():
        if taken.kind not in _COLLECTING and taken.default is taken.empty and name not in component.arguments:
            lacking.append(name)
    assert not lacking, f"no value for {', '.join(lacking)}"


def the_weight_is_the_terms(component: Component) -> None:
    """Expects a loss without an argument ``weight``: that is the term's own key in an option file."""
    assert "weight" not in _parameters(component), "it has one"


def _parameters(component: Component) -> Mapping[str, inspect.Parameter]:
    if component.registered.__init__ in (nn.Module.__init__, object.__init__):  # it has none of its own
        return {}
    return inspect.signature(component.registered).parameters


ANY = (constructor_names_its_arguments,)
BUILT = (constructor_names_its_arguments, constructor_has_all_arguments)
