"""The tests of a plugin: every component that it registers, against every check of its kind."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from deblurkit import registry
from deblurkit.contracts import is_game
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

    cases = []
    for component in components_of(plugin, arguments or {}, traits or {}, kinds):
        for check in checks_of(component):
            cases.append(pytest.param(component, check, id=f"{component.name}-{check.__name__}"))

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
    plugin = str(Path(plugin).resolve() if Path(plugin).suffix == ".py" else plugin)
    load_plugins([plugin])
    found = []
    for kind in kinds or registry.REGISTRIES:
        each = registry.REGISTRIES[kind]
        for name in each.names():
            # By where a class is defined, not by what the import added: the module may have been imported before.
            if _is_of(each.get(name), plugin):
                found.append(Component(each, name, arguments.get(name, {}), traits.get(name, Traits())))
    if not found:
        raise UserError(f"contract_tests: {plugin} registers no component; is each of its modules imported?")
    known = [component.name for component in found]
    for name in (*arguments, *traits):
        if name not in known:  # it would be left out in silence
            given = "arguments" if name in arguments else "traits"
            hint = did_you_mean(name, known) or f"; it has {', '.join(known)}"
            raise UserError(f"contract_tests: {given}: {plugin} registers no {name!r}{hint}")
    return found


def _is_of(registered: type | Callable[..., object], plugin: str) -> bool:
    if plugin.endswith(".py"):
        return inspect.getsourcefile(registered) == plugin
    return f"{registered.__module__}.".startswith(f"{plugin}.")


def checks_of(component: Component) -> Sequence[Check]:
    """Returns the checks of a component's kind."""
    checks = _CHECKS.get(component.registry.name, constructors.ANY)
    if component.registry is registry.LOSSES:  # of which there are two kinds
        checks += losses.GAME if is_game(component.registered) else losses.PAIRWISE
    return checks


def hold(component: Component, check: Check) -> None:
    """Runs one check, or raises a BrokenContractError; the caller's stream of random numbers is left as it is."""
    __tracebackhide__ = True  # pytest shows what the check met, and the last line
    try:
        with torch.random.fork_rng(devices=[]):
            check(component)
    except Exception as error:  # whatever a component does
        expected = " ".join((check.__doc__ or "").split())
        found = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
        raise BrokenContractError(f"{component}, {check.__name__}: {expected} Found: {found}") from error
