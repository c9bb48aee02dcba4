"""The typed, closed registries that option files name components from, and the loading of plugins.

*Typed*: what is registered must meet its registry's contract, checked when it is registered.
*Closed*: a name is looked up in the registry's own table and nowhere else. MMEngine's ``Registry.get``
falls back to importing any dotted path, so that ``type: os.system`` would run a command; ours does not.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from deblurkit import compat
from deblurkit.contracts import Contract, check_loss, check_methods, check_network, check_view
from deblurkit.errors import UserError, did_you_mean

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit decorators inside MMEngine
    from mmengine.registry import Registry

_PLUGIN_PREFIX = "deblurkit_plugin_"
_loaded: dict[str, str] = {}  # plugin as named (absolute path or module) -> file it came from
_installed: dict[str, str] = {}  # top-level module of an installed plugin -> name and version of its distribution


class ComponentRegistry(Registry):
    """A parentless registry that checks what is registered and looks names up in its own table only.

    Args:
        kind: What one entry is called in messages: ``generator``, ``loss``, ...
        contract: Checks a candidate at registration.
        locations: Modules that register the built-in entries, imported at the first look-up.
    """

    def __init__(self, kind: str, contract: Contract, locations: Sequence[str]) -> None:
        super().__init__(kind, scope="deblurkit", locations=list(locations))
        self._imported: bool = False
        self.contract = contract

    def get(self, key: str) -> Any:
        """Returns the entry registered as ``key``, or ``None``; never imports what ``key`` names."""
        self.import_from_location()
        return self._module_dict.get(key)

    def import_from_location(self) -> None:
        """Imports the modules that register the built-in entries, once; of a package, every module in it."""
        if self._imported:
            return
        self._imported = True
        for location in self._locations:
            package = importlib.import_module(location)
            for module in pkgutil.iter_modules(getattr(package, "__path__", [])):
                importlib.import_module(f"{location}.{module.name}")

    def names(self) -> list[str]:
        """Returns every registered name, sorted."""
        self.import_from_location()
        return sorted(self._module_dict)

    @contextlib.contextmanager
    def switch_scope_and_registry(self, scope: str | None) -> Iterator[Registry]:
        """Stays with this registry, whatever ``scope`` says: names have no scopes here."""
        yield self

    def miss(self, name: object) -> str:
        """Returns the message for a name that is not registered."""
        known = self.names()
        hint = did_you_mean(str(name), known)
        return f"no {self.name} is named {name!r}{hint}; known: {', '.join(known)}; {plugins_told()}"

    def build(self, cfg: dict[str, Any], *given: Any, where: str | None = None) -> Any:  # type: ignore[override]
        """Builds ``{type: NAME, **arguments}``.

        Args:
            cfg: The component as the option file writes it; left unchanged.
            given: What the engine passes before the option file's arguments.
            where: The option's key path, for messages.

        Raises:
            UserError: The name is not registered, or the constructor refuses its arguments.
        """
        arguments = dict(cfg)
        name = arguments.pop("type", None)
        place = f"{where or self.name}: "
        component = self.get(name) if isinstance(name, str) else None
        if component is None:
            raise UserError(place + self.miss(name))
        try:
            return component(*given, **arguments)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise UserError(f"{place}{name}: {error}") from error

    def _register_module(self, module: Any, module_name: str | list[str] | None = None, force: bool = False) -> None:
        names = [module_name] if isinstance(module_name, str) else module_name or [module.__name__]
        file = _file_of(module)
        lacking = self.contract(module)
        if lacking:
            raise UserError(f"{file}: {module.__name__} cannot be a {self.name}: {lacking}")
        for name in names:
            if "." in name:
                raise UserError(f"{file}: a {self.name} may not be named {name!r}: names have no dots")
            taken = self._module_dict.get(name)
            again = taken is not None and _file_of(taken) == file and taken.__qualname__ == module.__qualname__
            if (
                taken is not None and not force and not again
            ):  # the same file imported as path and as module is no clash
                raise UserError(f"{file}: the {self.name} name {name!r} is taken by {_file_of(taken)}; choose another")
            self._module_dict[name] = module


class NetworkRegistry(ComponentRegistry):
    """Networks: an option file may say of each, beside the arguments of its constructor, how its weights start.

    The key is ``init``, one of :data:`deblurkit.weight_init.INITS`; a constructor with an argument of this name gets it
    instead.
    """

    def split(self, cfg: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        """Returns what the constructor gets of ``{type: NAME, **arguments}``, and what ``init`` says, if anything."""
        from deblurkit.options.signature import signature_of

        arguments = dict(cfg)
        component = self.get(cfg["type"]) if isinstance(cfg.get("type"), str) else None
        if component is None or "init" in signature_of(component).annotations:
            return arguments, None
        return arguments, arguments.pop("init", None)

    def build(self, cfg: dict[str, Any], *given: Any, where: str | None = None) -> Any:  # type: ignore[override]
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
    """What an argument that is a list of components may name, for a component's attribute ``nested``.

    Option files are checked against it: each item is ``{type: NAME, **arguments}``, or the name alone.
    """

    registry: ComponentRegistry
    """Where the names are looked up."""
    own_keys: tuple[str, ...] = ()
    """Keys of an item that are not the named component's arguments."""


def _file_of(module: Any) -> str:
    try:
        return inspect.getsourcefile(module) or module.__module__
    except TypeError:
        return str(getattr(module, "__module__", module))


ARCHS = NetworkRegistry("generator", check_network, ["deblurkit.archs"])
DISCRIMINATORS = NetworkRegistry("discriminator", check_network, ["deblurkit.discriminators"])
LOSSES = ComponentRegistry("loss", check_loss, ["deblurkit.losses"])
VIEWS = ComponentRegistry("view", check_view, ["deblurkit.losses.views"])
RESTORERS = ComponentRegistry("restorer", check_methods(train_step=2), ["deblurkit.engine.step"])
_DATA = ["deblurkit.data", "deblurkit.data.benchmarks", "deblurkit.data.blur", "deblurkit.data.packing"]
DATASETS = ComponentRegistry("dataset", check_methods(__len__=0, sample=2), _DATA)
TRANSFORMS = ComponentRegistry("transform", check_methods(__call__=2), _DATA)
BLURS = ComponentRegistry("blur", check_methods(draw=2, expose=2), ["deblurkit.data.blur"])
METRICS = ComponentRegistry("metric", check_methods(__call__=2), ["deblurkit.metrics"])
PROTOCOLS = ComponentRegistry("protocol", check_methods(), ["deblurkit.evaluation.protocols"])
REGISTRIES: dict[str, ComponentRegistry] = {
    each.name: each
    for each in (ARCHS, DISCRIMINATORS, LOSSES, VIEWS, RESTORERS, DATASETS, TRANSFORMS, BLURS, METRICS, PROTOCOLS)
}
"""All of them, by what one entry is called."""


def loaded_plugins() -> list[str]:
    """Returns the plugins loaded so far, as :func:`load_plugins` takes them."""
    return list(_loaded)


def package_of(component: Any) -> str | None:
    """Returns name and version of the installed plugin that a component comes from; ``None``: it comes from no such."""
    return _installed.get(component.__module__.partition(".")[0])


def plugins_told() -> str:
    """Returns for messages which plugins are loaded, and from which files."""
    return f"plugins loaded: {', '.join(f'{plugin} ({file})' for plugin, file in _loaded.items()) or 'none'}"


def load_plugins(plugins: Iterable[str]) -> None:
    """Imports plugins, and once per process the installed ones of the entry-point group ``deblurkit.plugins``.

    Args:
        plugins: Module names, or absolute paths of Python files. What is loaded already is left alone.

    Raises:
        UserError: A plugin cannot be found or fails while it is imported; names the file and line.
    """
    _load_installed()
    for plugin in plugins:
        if plugin in _loaded:
            continue
        compat.ensure_torchvision()  # a plugin may import it, and cannot know that it needs mending
        path = Path(plugin)
        module = _load_file(path) if path.suffix == ".py" else _load_module(plugin)
        _loaded[plugin] = getattr(module, "__file__", None) or plugin


def _load_file(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"plugin {path}: there is no such file")
    resolved = path.resolve()
    name = f"{_PLUGIN_PREFIX}{hashlib.sha256(str(resolved).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise UserError(f"plugin {path}: it cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before execution: its classes must be picklable by that name
    try:
        spec.loader.exec_module(module)
    except UserError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise UserError(f"plugin {_last_line_in(error, str(resolved))}: {type(error).__name__}: {error}") from error
    return module


def _last_line_in(error: Exception, file: str) -> str:
    if isinstance(error, SyntaxError) and error.filename == file:
        return f"{file}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{file}:{lines[-1]}" if lines else file


def _load_module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"plugin {name}: {type(error).__name__}: {error}") from error


_installed_loaded = False


def _load_installed() -> None:
    global _installed_loaded
    if _installed_loaded:
        return
    _installed_loaded = True
    for entry in importlib.metadata.entry_points(group="deblurkit.plugins"):
        try:
            module = entry.load()
        except Exception as error:  # a broken package of somebody else's must not stop runs that do not use it
            warnings.warn(f"installed plugin {entry.value} was not loaded: {error}", stacklevel=2)
            continue
        _loaded[entry.value] = getattr(module, "__file__", None) or entry.value
        if entry.dist is not None:
            _installed[entry.module.partition(".")[0]] = f"{entry.dist.name} {entry.dist.version}"
