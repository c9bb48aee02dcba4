"""The tests of a plugin: every component that it registers, against every check of its kind."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from deblurkit import registry
from deblurkit.errors import UserError, did_you_mean
from deblurkit.plugins import load_plugins
from deblurkit.testing import blurs, constructors, losses, networks, transforms
from deblurkit.testing.component import Component, Traits

Check = Callable[[Component], None]
"""Raises where a component breaks one rule; its docstring says what it expects."""

_CHECKS: dict[str, tuple[Check, ...]] = {
    registry.ARCHS.name: (*constructors.BUILT, *networks.GENERATOR),
    registry.DISCRIMINATORS.name: (*constructors.BUILT, *networks.CRITIC),
    registry.LOSSES.name: (*constructors.BUILT, constructors.the_weight_is_the_terms),
    registry.VIEWS.name: losses.VIEW,
    registry.TRANSFORMS.name: (*constructors.BUILT, *transforms.TRANSFORM),
    registry.BLURS.name: (*constructors.BUILT, *blurs.BLUR),
}


class BrokenContractError(AssertionError):
    """A component does not keep what its kind promises; says which, what was expected and what was found."""


def contract_tests(
    plugin: str | Path,
    *,
    arguments: Mapping[str, Mapping[str, Any]] | None = None,
    traits: Mapping[str, Traits] | None = None,
    kinds: Collection[str] = (),
) -> Callable[..., None]:
    """Returns a test function for pytest: each component of a plugin, against each check of its kind.

    Assign it to a name that starts with ``test_``.

    Args:
        plugin: The module or package that registers the components, or the path of a Python file.
        arguments: By component, what its constructor gets; needed where an argument has no default. Those of a
            transform must suit photographs of 120 x 160 pixels.
        traits: By component, what is allowed of it besides; see :class:`~deblurkit.testing.component.Traits`.
        kinds: Only components of these kinds, such as ``generator``; by default of all.

    Raises:
        UserError: The plugin cannot be imported or registers none; a name among ``arguments``, ``traits`` or ``kinds``
            is unknown.
    """
    import pytest

    components = components_of(plugin, arguments or {}, traits or {}, kinds)
    cases = [
        pytest.param(component, check, id=f"{component.name}-{check.__name__}")
        for component in components
        for check in checks_of(component)
    ]

    @pytest.mark.parametrize(("component", "check"), cases)
    def test_contract(component: Component, check: Check) -> None:
        __tracebackhide__ = True
        hold(component, check)

    return test_contract


def components_of(
    plugin: str | Path,
    arguments: Mapping[str, Mapping[str, Any]],
    traits: Mapping[str, Traits],
    kinds: Collection[str] = (),
) -> list[Component]:
    """Returns the components that are defined in a plugin; see :func:`contract_tests`."""
    for kind in kinds:
        if kind not in registry.REGISTRIES:
            raise UserError(f"contract_tests: no kind is named {kind!r}{did_you_mean(kind, registry.REGISTRIES)}")
    if Path(plugin).suffix == ".py":
        plugin = str(Path(plugin).resolve())
    load_plugins([str(plugin)])
    found = [
        Component(each, name, arguments.get(name, {}), traits.get(name, Traits()))
        for kind, each in registry.REGISTRIES.items()
        for name in each.names()
        if (not kinds or kind in kinds) and _is_of(each.get(name), str(plugin))
    ]
    if not found:
        raise UserError(f"contract_tests: {plugin} registers no component; is each of its modules imported?")
    known = [component.name for component in found]
    for given, names in (("arguments", arguments), ("traits", traits)):
        for name in names:
            if name not in known:
                hint = did_you_mean(name, known) or f"; it has {', '.join(known)}"
                raise UserError(f"contract_tests: {given}: {plugin} registers no {name!r}{hint}")
    return found


def _is_of(registered: Any, plugin: str) -> bool:
    if plugin.endswith(".py"):
        return inspect.getsourcefile(registered) == plugin
    return f"{registered.__module__}.".startswith(f"{plugin}.")


def checks_of(component: Component) -> Sequence[Check]:
    """Returns the checks of a component's kind."""
    checks = _CHECKS.get(component.registry.name, constructors.ANY)
    if component.registry is not registry.LOSSES:
        return checks
    return (*checks, *(losses.GAME if hasattr(component.registered, "critic_loss") else losses.PAIRWISE))


def hold(component: Component, check: Check) -> None:
    """Runs one check; the caller's stream of random numbers is left as it is.

    Raises:
        BrokenContractError: The component fails it; the cause is what the check met.
    """
    __tracebackhide__ = True  # pytest shows what the check met, and the last line
    try:
        with torch.random.fork_rng(devices=[]):
            check(component)
    except Exception as error:  # whatever a component does
        expected = " ".join((check.__doc__ or "").split())
        found = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        raise BrokenContractError(f"{component}, {check.__name__}: {expected} Found: {found}") from error
