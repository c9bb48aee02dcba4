"""Checks of the parts that MMEngine builds for us: only names in its tables, only keys that are ours to give.

MMEngine's ``Registry.get`` imports whatever a name that it does not know spells, with dots (``os.system``) or without
(any module in the current directory), and calls what it finds. So names are looked up here, in the tables alone.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from deblurkit import compat
from deblurkit.errors import did_you_mean
from deblurkit.options.components import Checked, Report, Table, check_component
from deblurkit.options.problems import Path
from deblurkit.options.signature import Signature, argument_problems, signature_of

if TYPE_CHECKING:
    from mmengine.registry import Registry

_BUILT_BY_MMENGINE = ("optimizers", "schedulers", "hooks", "engine")
_BUILT = ("generator", "discriminators", "losses", "restorer", "datasets", *_BUILT_BY_MMENGINE)

SECTION_OF = {
    "model": "generator, discriminators and restorer",
    "work_dir": "name (or --work-dir)",
    "train_dataloader": "datasets.train",
    "val_dataloader": "datasets.val",
    "test_dataloader": "datasets.test",
    "train_cfg": "train",
    "val_cfg": "val",
    "test_cfg": "val",
    "optim_wrapper": "optimizers",
    "param_scheduler": "schedulers",
    "val_evaluator": "val.protocol",
    "test_evaluator": "val.protocol",
    "custom_hooks": "hooks",
    "data_preprocessor": "datasets",
    "load_from": "--init-from on the command line",
    "resume": "--resume on the command line",
    "launcher": "--launcher on the command line",
    "experiment_name": "name",
    "cfg": "the option file itself",
    "default_scope": "plugins (names here have no scopes)",
}
"""Arguments of MMEngine's Runner that have a place of their own."""

DOUBLED = {
    "CheckpointHook": "train.checkpoint_every and train.keep say when checkpoints are written",
    "LoggerHook": "logging.every says when a line is logged",
    "ParamSchedulerHook": "it is there already: schedulers would move twice as fast",
    "EMAHook": "train.ema averages the generator",
}
"""Hooks of MMEngine that would do once more what ours do, and what is to be used instead."""


@cache
def mmengine_tables() -> dict[str, Table]:
    """Returns MMEngine's tables by the kind of what they hold."""
    compat.import_mmengine()
    from mmengine import hooks, optim, runner, visualization  # noqa: F401 (importing them fills the tables)
    from mmengine import registry as tables

    found = {
        "hook": tables.HOOKS,
        "visualizer": tables.VISUALIZERS,
        "visualizer backend": tables.VISBACKENDS,
        "log processor": tables.LOG_PROCESSORS,
        "model": tables.MODELS,
    }
    return {**optim_tables(), **{kind: _table(kind, registry) for kind, registry in found.items()}}


@cache
def optim_tables() -> dict[str, Table]:
    """Returns those of optimizers and schedulers, which most option files name, and which import the least."""
    compat.import_mmengine("mmengine.optim")
    from mmengine import registry as tables

    # Whether a schedule counts epochs or iterations follows from train.epochs.
    fills = ("param_name", "by_epoch")
    return {
        "optimizer": _table("optimizer", tables.OPTIMIZERS, fills_first=True),
        "scheduler": _table("scheduler", tables.PARAM_SCHEDULERS, fills_first=True, fills=fills),
    }


def _table(kind: str, registry: Registry, fills_first: bool = False, fills: tuple[str, ...] = ()) -> Table:
    # The dict of the registry, not its `get`, which imports; plugins that are loaded later still add to it.
    return Table(kind, registry.module_dict.keys(), registry.module_dict.get, fills_first, fills)


def check_names(report: Report, data: Mapping[str, Any]) -> None:
    """Refuses, at every depth, names that would be imported instead of looked up."""
    for path, key, value in _walk(data, ()):
        if path[0] not in _BUILT:
            continue
        if key == "_scope_" and path[0] in _BUILT_BY_MMENGINE:
            report.add(path, "names here have no scopes")
        if not isinstance(value, str) or not (key == "type" or key.endswith("_type")):
            continue
        if "." in value:
            report.add(path, f"{value!r} is refused: only registered names are looked up, and they have no dots")
        # Even without a dot: MMEngine imports a module of that name, such as a file in the current directory.
        elif path[0] in _BUILT_BY_MMENGINE and _is_module(value) and not _registered(value):
            report.add(path, f"{value!r} is refused: it is a Python module, and only registered names are looked up")


def _walk(value: object, path: Path) -> Iterator[tuple[Path, str, Any]]:
    """Yields every key of every dict, with its path and value."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield (*path, key), key, item
            yield from _walk(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, (*path, index))


def _registered(name: str) -> bool:
    return any(name in table.names for table in mmengine_tables().values())


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):  # no name of a module, such as an empty one
        return False


def check_optimizer(report: Report, path: Path, config: Mapping[str, Any]) -> None:
    """Checks an optimizer's name and arguments, by making it for one small weight where they seem right."""
    checked = check_component(report, path, config, optim_tables()["optimizer"])
    if checked is None or not checked.clean or not checked.complete:
        return
    import torch

    # Ranges, such as those of betas, are known to the constructors alone.
    try:
        with compat.optimizers_without_compiler():
            checked.component([torch.nn.Parameter(torch.zeros(2, 2))], **checked.arguments)
    except (TypeError, ValueError, AssertionError) as error:
        report.add(path, f"{config['type']} refuses its arguments: {error}")


def check_scheduler(report: Report, path: Path, config: Mapping[str, Any], networks: Collection[str] | None) -> None:
    """Checks a schedule's name and arguments, and that ``of`` names one of ``networks``, where these are known."""
    of = config.get("of", "generator")
    if not isinstance(of, str):
        report.add((*path, "of"), f"should name a network, not {of!r}")
    elif networks is not None and of not in networks:
        report.add((*path, "of"), f"no network is named {of!r}{did_you_mean(of, networks)}")
    rest = {key: value for key, value in config.items() if key != "of"}
    check_component(report, path, rest, optim_tables()["scheduler"], other_keys=("of",))


def check_hook(report: Report, path: Path, config: Mapping[str, Any], typed: bool = True) -> None:
    """Checks a hook's name and arguments; one that merges over ours need not be ``typed``: name its ``type``."""
    kind = config.get("type")
    if isinstance(kind, str) and kind in DOUBLED:
        report.add((*path, "type"), f"MMEngine's {kind} would do once more what ours does: {DOUBLED[kind]}")
        return
    rest = {key: value for key, value in config.items() if key != "priority"}
    checked = _check_part(report, path, rest, "hook", typed, ("priority",))
    if kind == "EarlyStoppingHook" and checked is not None and checked.clean and checked.complete:
        try:
            checked.component(**checked.arguments)
        except ValueError as error:  # it cannot infer whether a higher score is better
            report.add(path, f"{kind} refuses its arguments: {error}")


def check_engine(report: Report, engine: Mapping[str, Any]) -> None:
    """Checks the further arguments of MMEngine's Runner."""
    if not engine:
        return
    compat.import_mmengine()
    from mmengine.runner import Runner

    for key, value in engine.items():
        _check_argument(report, ("engine", key), key, value, signature_of(Runner))
    # MMEngine has default hooks, a log processor and a visualizer: an option file may change arguments of theirs alone.
    for name, hook in _dict(engine.get("default_hooks")).items():
        path: Path = ("engine", "default_hooks", name)
        if isinstance(hook, dict):
            check_hook(report, path, hook, typed=False)
        elif hook is not None:
            report.add(path, f"should be a dict or null, not {hook!r}")
    _check_part(report, ("engine", "log_processor"), engine.get("log_processor"), "log processor", False)
    # MMEngine annotates vis_backends as what a visualizer draws on, not as what it takes: checked on its own.
    visualizer = dict(_dict(engine.get("visualizer")))
    backends = visualizer.pop("vis_backends", None)
    _check_part(report, ("engine", "visualizer"), visualizer, "visualizer", False, ("vis_backends",))
    for index, backend in enumerate(backends if isinstance(backends, list) else ()):
        if isinstance(backend, dict):  # the visualizer gives each its save_dir, so that nothing is demanded
            place: Path = ("engine", "visualizer", "vis_backends", index)
            check_component(report, place, backend, mmengine_tables()["visualizer backend"], demand=False)
    known = inspect.signature(Runner.set_randomness).parameters.keys() - {"self"}
    for key in _dict(engine.get("randomness")):
        if key not in known:
            report.add(("engine", "randomness", key), f"unknown key{did_you_mean(key, known)}")


def _check_argument(report: Report, path: Path, key: str, value: object, runner: Signature) -> None:
    allowed = runner.annotations.keys() - SECTION_OF
    if key in SECTION_OF:
        report.add(path, f"this has a place of its own: {SECTION_OF[key]}")
    elif key not in allowed:
        report.add(path, f"MMEngine's Runner has no argument {key!r}{did_you_mean(key, allowed)}")
    elif value is not None:  # null: MMEngine's own default
        for inner, text in argument_problems(runner.annotations[key], value):
            report.add((*path, *inner), text)


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _check_part(
    report: Report, path: Path, config: object, kind: str, typed: bool, other_keys: tuple[str, ...] = ()
) -> Checked | None:
    if not isinstance(config, dict) or (not typed and "type" not in config):
        return None
    return check_component(report, path, config, mmengine_tables()[kind], other_keys=other_keys, demand=typed)
