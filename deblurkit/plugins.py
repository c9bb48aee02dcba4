"""Loads plugins: files and modules outside deblurkit that register components when they are imported."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

from deblurkit import compat
from deblurkit.errors import UserError

_loaded: dict[str, str] = {}  # plugin as named (absolute path or module) -> file it came from
_installed: dict[str, str] = {}  # top-level module of an installed plugin -> name and version of its distribution
_installed_loaded = False


def loaded_plugins() -> list[str]:
    """Returns the plugins loaded so far, as :func:`load_plugins` takes them."""
    return list(_loaded)


def package_of(component: type | Callable[..., object]) -> str | None:
    """Returns name and version of the installed plugin that a component comes from, if it comes from one."""
    return _installed.get(component.__module__.partition(".")[0])


def plugins_told() -> str:
    """Returns for messages which plugins are loaded, and from which files."""
    return f"plugins loaded: {', '.join(f'{plugin} ({file})' for plugin, file in _loaded.items()) or 'none'}"


def load_plugins(plugins: Iterable[str]) -> None:
    """Imports plugins, and once per process the installed ones of the entry-point group ``deblurkit.plugins``.

    They are module names, or absolute paths of Python files. What is loaded already is left alone.

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
        _loaded[plugin] = module.__file__ or plugin


def _load_installed() -> None:
    global _installed_loaded
    if _installed_loaded:
        return
    _installed_loaded = True  # before the loop: a plugin that is being imported may call load_plugins itself
    for entry in importlib.metadata.entry_points(group="deblurkit.plugins"):
        try:
            module = entry.load()
        except Exception as error:  # a broken package of somebody else's must not stop runs that do not use it
            warnings.warn(f"installed plugin {entry.value} was not loaded: {error}", stacklevel=3)
            continue
        _loaded[entry.value] = getattr(module, "__file__", None) or entry.value
        if entry.dist is not None:
            _installed[entry.module.partition(".")[0]] = f"{entry.dist.name} {entry.dist.version}"


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"plugin {path}: there is no such file")
    # One file has one module name, however its path is written, so that it is executed once.
    resolved = path.resolve()
    name = f"deblurkit_plugin_{hashlib.sha256(str(resolved).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise UserError(f"plugin {path}: it cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before execution: its classes must be picklable by that name
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        if isinstance(error, UserError):  # says already which file, and why
            raise
        raise UserError(f"plugin {_last_line_in(error, str(resolved))}: {type(error).__name__}: {error}") from error
    return module


def _last_line_in(error: Exception, file: str) -> str:
    if isinstance(error, SyntaxError) and error.filename == file:
        return f"{file}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{file}:{lines[-1]}" if lines else file


def _load_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"plugin {name}: {type(error).__name__}: {error}") from error
