"""The typed, closed registries that option files name components from.

*Typed*: what is registered must meet its registry's contract, checked when it is registered.
*Closed*: a name is looked up in the registry's own table and nowhere else. MMEngine's ``Registry.get``
falls back to importing any dotted path, so that ``type: os.system`` would run a command; ours does not.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from deblurkit import catalogue
from deblurkit.compat import import_mmengine
from deblurkit.contracts import is_game
from deblurkit.errors import UserError, did_you_mean
from deblurkit.plugins import load_plugins as load_plugins  # where plugins' own code has always found it
from deblurkit.plugins import plugins_told

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit decorators inside MMEngine
    import_mmengine("mmengine.registry")
from mmengine.registry import Registry

if TYPE_CHECKING:
    from torch import nn

Candidate = type | Callable[..., object]
"""A class or a function that somebody registers."""

Contract = Callable[[Candidate], str | None]
"""Says what a candidate lacks of its kind in :mod:`deblurkit.contracts`; ``None`` where it fits."""


class ComponentRegistry(Registry):
    """A parentless registry that checks what is registered and looks names up in its own table only.

    The built-in components of its kind are known by name from :mod:`deblurkit.catalogue`; the module that registers one
    is imported when that one is looked up.

    Args:
        kind: What one entry is called in messages: ``generator``, ``loss``, ...
        contract: Checks a candidate at registration.
    """

    def __init__(self, kind: str, contract: Contract) -> None:
        super().__init__(kind, scope="deblurkit")
        self.contract = contract

    def _built_in(self) -> Mapping[str, catalogue.Place]:
        return catalogue.places().get(self.name, {})

    def get(self, key: str) -> Any:
        """Returns the entry registered as ``key``, or ``None``; never imports what ``key`` names."""
        if key not in self._module_dict and key in self._built_in():
            importlib.import_module(self._built_in()[key].module)
        return self._module_dict.get(key)

    def names(self) -> list[str]:
        """Returns every registered name, sorted; imports nothing."""
        return sorted({*self._built_in(), *self._module_dict})

    @contextlib.contextmanager
    def switch_scope_and_registry(self, scope: str | None) -> Iterator[Registry]:
        """Stays with this registry, whatever ``scope`` says: names have no scopes here."""
        yield self

    def miss(self, name: object) -> str:
        """Returns the message for a name that is not registered."""
        known = self.names()
        hint = did_you_mean(str(name), known)
        return f"no {self.name} is named {name!r}{hint}; known: {', '.join(known)}; {plugins_told()}"

    def build(self, cfg: dict[str, Any], *given: object, where: str | None = None) -> Any:  # type: ignore[override]
        """Builds ``{type: NAME, **arguments}`` as the option file writes it, which stays unchanged.

        What is ``given`` goes before its arguments; ``where`` is its key path, for messages.

        Raises:
            UserError: The name is not registered, or the constructor refuses its arguments.
        """
        arguments = dict(cfg)
        name = arguments.pop("type", None)
        place = where or self.name
        component = self.get(name) if isinstance(name, str) else None
        if component is None:
            raise UserError(f"{place}: {self.miss(name)}")
        try:
            return component(*given, **arguments)
        except (TypeError, ValueError, ArithmeticError) as error:  # wrong arguments; anything else is our fault
            raise UserError(f"{place}: {name}: {error}") from error

    def _register_module(
        self, module: Candidate, module_name: str | list[str] | None = None, force: bool = False
    ) -> None:
        names = [module_name] if isinstance(module_name, str) else module_name or [module.__name__]
        file = _file_of(module)
        lacking = self.contract(module)
        if lacking:
            raise UserError(f"{file}: {module.__name__} cannot be a {self.name}: {lacking}")
        for name in names:
            if "." in name:
                raise UserError(f"{file}: a {self.name} may not be named {name!r}: names have no dots")
            # A built-in name is taken, even while nobody has looked it up; its own module is just being imported.
            place = self._built_in().get(name)
            own = place is None or place.module == module.__module__
            taken = self._module_dict.get(name) if own else self.get(name)
            # The same file imported by its path and as a module is no clash.
            again = taken is not None and _file_of(taken) == file and taken.__qualname__ == module.__qualname__
            if taken is not None and not force and not again:
                raise UserError(f"{file}: the {self.name} name {name!r} is taken by {_file_of(taken)}; choose another")
            self._module_dict[name] = module


class NetworkRegistry(ComponentRegistry):
    """Networks, each of which an option file may give ``init`` besides: how its weights start.

    It is one of :data:`deblurkit.weight_init.INITS`; a constructor with an argument of this name gets it instead.
    """

    def split(self, cfg: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        """Returns what the constructor gets of ``{type: NAME, **arguments}``, and what ``init`` says, if anything."""
        from deblurkit.options.signature import signature_of

        arguments = dict(cfg)
        component = self.get(cfg["type"]) if isinstance(cfg.get("type"), str) else None
        if component is None or "init" in signature_of(component).annotations:
            return arguments, None
        return arguments, arguments.pop("init", None)

    def build(self, cfg: dict[str, Any], *given: object, where: str | None = None) -> Any:  # type: ignore[override]
        """Builds a network, and starts its weights as ``init`` says."""
        arguments, init = self.split(cfg)
        problem = init_problem(init)
        if problem is not None:
            raise UserError(f"{where or self.name}.init: {problem}")
        network = super().build(arguments, *given, where=where)
        if init is not None:
            from deblurkit.weight_init import init_by_name

            init_by_name(network, init)
        return network


def init_problem(init: object) -> str | None:
    """Returns what is wrong with a network's ``init``, in words; ``None``: nothing."""
    from deblurkit.weight_init import INITS

    if init is None or init in INITS:
        return None
    return f"no initialisation is named {init!r}{did_you_mean(str(init), INITS)}; known: {', '.join(INITS)}"


class Nested(NamedTuple):
    """The components that an argument may list, for a component's attribute ``nested``.

    Option files are checked against it: each item is ``{type: NAME, **arguments}``, or the name alone.
    """

    registry: ComponentRegistry
    """Where the names are looked up."""
    own_keys: tuple[str, ...] = ()
    """Keys of an item that are not the named component's arguments."""


def _file_of(module: Candidate) -> str:
    try:
        return inspect.getsourcefile(module) or module.__module__
    except TypeError:  # typed at a prompt
        return module.__module__


# What a candidate must be, by :mod:`deblurkit.contracts`. Arguments are checked by their number, not by their names.

_NO_MODULE = "it is not a subclass of torch.nn.Module"


def check_network(candidate: Candidate) -> str | None:
    """Says what keeps a class from being a generator or critic."""
    return _wrong_forward(candidate, 1) if _is_module(candidate) else _NO_MODULE


def check_loss(candidate: Candidate) -> str | None:
    """Says what keeps a class from being a loss: a ``Loss`` or a ``Game`` of the contracts."""
    if not _is_module(candidate):
        return _NO_MODULE
    if not is_game(candidate):
        return _wrong_forward(candidate, 2)
    lacking: str | None = None
    for method in ("generator_loss", "critic_loss"):
        if method not in dir(candidate):
            return f"an adversarial loss needs a method {method}(real_logits, fake_logits)"
        lacking = lacking or _wrong_arguments(getattr(candidate, method), method, 2)
    return lacking


def check_view(candidate: Candidate) -> str | None:
    """Says what keeps a function from being a view of an image."""
    if not inspect.isfunction(candidate):
        return "a view is a function of one tensor"
    return _wrong_arguments(candidate, "it", 1, skip_self=False)


def check_methods(**counts: int) -> Contract:
    """Makes a contract of the methods that a class must have, each with its number of required arguments (0: any)."""

    def contract(candidate: Candidate) -> str | None:
        if not inspect.isclass(candidate):
            return "it is not a class"
        for method, count in counts.items():
            # dir tells what instances have; every class itself can be called, which makes an instance
            if method not in dir(candidate) or getattr(candidate, method) is None:
                return f"it has no method {method}"
            lacking = _wrong_arguments(getattr(candidate, method), method, count) if count else None
            if lacking:
                return lacking
        return None

    return contract


def _is_module(candidate: Candidate) -> TypeGuard[type[nn.Module]]:
    from torch import nn

    return inspect.isclass(candidate) and issubclass(candidate, nn.Module)


def _wrong_forward(module: type[nn.Module], count: int) -> str | None:
    from torch import nn

    if module.forward is nn.Module.forward:
        return "it defines no forward"
    return _wrong_arguments(module.forward, "forward", count)


def _wrong_arguments(function: Callable[..., object], label: str, count: int, skip_self: bool = True) -> str | None:
    parameters = list(inspect.signature(function).parameters.values())[1 if skip_self else 0 :]
    required = [p for p in parameters if p.default is p.empty]
    found = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in required)
    # a function with *args takes any number
    if found != count and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return f"{label} must take {count} required argument{'s' if count > 1 else ''}, it takes {found}"
    for parameter in required:
        if parameter.kind is parameter.KEYWORD_ONLY:
            return f"{label} must not require the keyword {parameter.name!r}: nothing gives it"
    return None


ARCHS = NetworkRegistry("generator", check_network)
DISCRIMINATORS = NetworkRegistry("discriminator", check_network)
LOSSES = ComponentRegistry("loss", check_loss)
VIEWS = ComponentRegistry("view", check_view)
RESTORERS = ComponentRegistry("restorer", check_methods(train_step=2))
DATASETS = ComponentRegistry("dataset", check_methods(__len__=0, sample=2))
TRANSFORMS = ComponentRegistry("transform", check_methods(__call__=2))
BLURS = ComponentRegistry("blur", check_methods(draw=2, expose=2))
METRICS = ComponentRegistry("metric", check_methods(__call__=2))
PROTOCOLS = ComponentRegistry("protocol", check_methods())
REGISTRIES: dict[str, ComponentRegistry] = {
    each.name: each
    for each in (ARCHS, DISCRIMINATORS, LOSSES, VIEWS, RESTORERS, DATASETS, TRANSFORMS, BLURS, METRICS, PROTOCOLS)
}
"""All of them, by what one entry is called."""
