"""Everything that can be told of an experiment before anything of it is built, all problems at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from deblurkit import registry
from deblurkit.contracts import is_game, nested_components
from deblurkit.errors import did_you_mean
from deblurkit.options import mmengine_checks
from deblurkit.options.components import Checked, Report, Table, check_component, misspelt
from deblurkit.options.document import to_plain
from deblurkit.options.problems import Path, missing_for_training
from deblurkit.options.schema import (
    DEFAULT_RESTORER,
    DatasetEntry,
    LossTerm,
    Options,
    TestSet,
    TrainSet,
)
from deblurkit.options.sections import validate
from deblurkit.options.selection import Selection, parse_selection
from deblurkit.options.signature import is_list, returns_of, signature_of

if TYPE_CHECKING:
    from deblurkit.options.outputs import Probe

_BATCH_NAMES = ("blurred", "sharp")
_TRAINING_SECTIONS = ("losses", "optimizers", "schedulers", "train")
_SHARED_OPTIMIZERS = ("generator", "discriminators")
_NO_PROTOCOL = {
    "train": "a training set is not scored: only test sets name a protocol; leave it out",
    "val": "only test sets name a protocol: validation scores all its sets by val.protocol; leave it out",
}


def check(report: Report) -> Options | None:
    """Checks the merged option tree that a report holds, which receives every problem.

    Returns the options where the sections fit together; they are usable only if the report stayed empty.
    """
    data = to_plain(report.root)
    if not isinstance(data, dict):
        return None
    # A section that is wrong does not end the checks: each of them skips what has not the form that it needs.
    options = validate(report, data)
    # Before any look-up: what is refused here must never reach MMEngine, which would import it.
    mmengine_checks.check_names(report, data)
    # Loss terms select among the generator's outputs and name critics, so both of these come first.
    probe = _check_generator(report, data)
    critics = _check_critics(report, data)
    _check_losses(report, data, critics, probe)
    _check_restorer(report, data)
    _check_datasets(report, data)
    _check_optimization(report, data, critics)
    _check_protocols(report, data)
    for index, config in _dicts(_items(data.get("hooks"))):
        mmengine_checks.check_hook(report, ("hooks", index), config)
    mmengine_checks.check_engine(report, _section(data, "engine"))
    logging = _section(data, "logging")
    if logging.get("outputs") and logging.get("samples") == 0:
        report.add(("logging", "outputs"), "they stand in the strips, of which there are none: logging.samples is 0")
    _check_complete(report, data)
    return options


def check_dataset(report: Report) -> DatasetEntry | None:
    """Checks a tree that holds ``datasets.train`` alone, and returns it where nothing is wrong with it."""
    data = to_plain(report.root)
    assert isinstance(data, dict)
    options = validate(report, {"name": "data", "generator": {}, **data})  # the two that options cannot lack
    mmengine_checks.check_names(report, data)
    _check_datasets(report, data)
    return options.datasets.train[0] if options is not None and not report.problems else None


def _section(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Returns a dict of the option file; an empty one in place of anything else, which is a problem noted already."""
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def _items(value: object) -> dict[int, Any]:
    return dict(enumerate(value)) if isinstance(value, list) else {}


def _dicts(entries: Mapping[Any, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
    return ((name, value) for name, value in entries.items() if isinstance(value, dict))


def _check_generator(report: Report, data: Mapping[str, Any]) -> Probe | None:
    """Checks the generator, ``train.freeze`` and ``logging.outputs``, and returns what is known of it, if anything."""
    config = data.get("generator")
    if not isinstance(config, dict):
        return None
    checked = _check_network(report, ("generator",), config, registry.ARCHS)
    if checked is None or not checked.complete:
        return None
    from deblurkit.inner_outputs import unknown_output
    from deblurkit.options.outputs import freeze_problems, probe_generator

    # Arguments that are wrong are left out, so that the rest of the file can still be checked; what then goes wrong
    # may be due to that, and is not told.
    probe = probe_generator(checked.component, checked.arguments)
    if probe.problem is not None and checked.clean:
        report.add(("generator",), probe.problem)
    if probe.parts is not None and probe.weights is not None:
        frozen = _section(_section(data, "train"), "freeze")
        for part, text in freeze_problems(config["type"], probe.parts, probe.weights, frozen).items():
            report.add(("train", "freeze", part) if part else ("train", "freeze"), text)
    for index, name in _items(_section(data, "logging").get("outputs")).items():
        if probe.inner is not None and isinstance(name, str) and name not in probe.inner:
            report.add(("logging", "outputs", index), unknown_output(config["type"], name, probe.inner))
    return probe


def _check_network(
    report: Report, path: Path, config: Mapping[str, Any], networks: registry.NetworkRegistry
) -> Checked | None:
    arguments, init = networks.split(config)
    problem = registry.init_problem(init)
    if problem is not None:
        report.add((*path, "init"), problem)
    return check_component(report, path, arguments, Table.of(networks), other_keys=("init",))


def _check_critics(report: Report, data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Checks the discriminators, and returns them; ``None`` where their names may stand where we cannot see them."""
    critics = _section(data, "discriminators")
    for name, config in _dicts(critics):
        _check_network(report, ("discriminators", name), config, registry.DISCRIMINATORS)
        if name in _SHARED_OPTIMIZERS:
            report.add(("discriminators", name), f"no discriminator may be named {name!r}: optimizers uses the name")
    if not critics and (report.incomplete or _doubtful(data, "discriminators")):
        return None
    return critics


def _doubtful(data: Mapping[str, Any], section: str) -> bool:
    """Tells whether a section is no dict or stands under a misspelt name, which is a problem noted already."""
    return not isinstance(data.get(section, {}), dict) or misspelt(section, data, Options.model_fields)


def _check_losses(
    report: Report, data: Mapping[str, Any], critics: Mapping[str, Any] | None, probe: Probe | None
) -> None:
    outputs = None if probe is None else probe.outputs
    table = Table.of(registry.LOSSES)
    terms = dict(_dicts(_section(data, "losses")))
    sound = not report.incomplete and not _doubtful(data, "losses")  # all that terms say of critics is known
    for name, flat in terms.items():
        path: Path = ("losses", name)
        own = LossTerm.own_keys()
        checked = check_component(report, path, LossTerm.split(flat)["component"], table, other_keys=own)
        sound &= _check_critic_of(report, path, flat, critics, checked)
        for key in ("pred", "target"):
            text = flat.get(key, LossTerm.model_fields[key].default)
            selection = _check_selection(report, (*path, key), text, outputs)
            if selection is not None and checked is not None:
                problem = _compared_problem(checked.component, key, selection, probe)
                if problem is not None:
                    report.add((*path, key), problem)
        if checked is not None and is_game(checked.component) and isinstance(flat.get("condition"), str):
            _check_selection(report, (*path, "condition"), flat["condition"], outputs)
        start, end = flat.get("start", 0), flat.get("end")
        if isinstance(start, int) and isinstance(end, int) and 0 < end <= start:
            report.add((*path, "end"), f"should be greater than start ({start}), not {end}")
    if sound:
        _check_warmup(report, _section(data, "train").get("critic_warmup", 0), terms.values())
    # A critic that no term names would be trained for nothing; the name may be in a term with a mistake, though.
    named = [flat.get("critic") for flat in terms.values()]
    for critic in critics or ():
        if sound and critic not in named:
            report.add(("discriminators", critic), f"no loss term names it; give one `critic: {critic}`")


def _compared_problem(loss: Any, side: str, selection: Selection, probe: Probe | None) -> str | None:
    """Returns why a loss cannot compare what a side of its term selects; ``None`` where it can, or cannot be told.

    Some compare images and some lists of them: losses and views say which by their annotations.
    """
    listed: bool | None = False
    if selection.name not in _BATCH_NAMES:
        listed = None if probe is None or probe.outputs is None else selection.name in probe.lists
    kinds = [listed, *(is_list(returns_of(registry.VIEWS.get(view))) for view in selection.views)]
    # One list is enough: further views go through it item by item. A critic is shown images.
    found = True in kinds
    if not found and None in kinds:
        return None
    wanted = False if is_game(loss) else is_list(signature_of(loss.forward).annotations.get(side, Any))
    if wanted is None or found is wanted:
        return None
    if found:
        return f"{selection} is a list of images, and {loss.__name__} compares single ones; see MultiScaleMSELoss"
    return f"{selection} is a single image, and {loss.__name__} compares lists of them, as pyramid({selection.name}) is"


def _check_warmup(report: Report, warmup: object, terms: Iterable[Mapping[str, Any]]) -> None:
    """Checks that in each iteration in which critics train alone a term names one: else nothing is trained."""
    games = [term for term in terms if term.get("critic") is not None]
    spans = [(term.get("start", 0), term.get("end")) for term in games]
    usable = all(isinstance(start, int) and isinstance(end, int | None) for start, end in spans)
    if not isinstance(warmup, int) or not usable:
        return  # a problem noted already
    iteration = 0
    for start, end in sorted(spans, key=lambda span: span[0]):
        if start <= iteration < warmup:
            iteration = warmup if end is None else max(iteration, end)
    if iteration < warmup:
        told = f"no loss term with a critic counts in iteration {iteration}" if games else "no loss term names a critic"
        report.add(("train", "critic_warmup"), f"{told}, so nothing would be trained in it; leave it out")


def _check_critic_of(
    report: Report, path: Path, term: Mapping[str, Any], critics: Mapping[str, Any] | None, checked: Checked | None
) -> bool:
    """Checks that a term names a critic if, and only if, it is adversarial, and returns whether that is so."""
    critic = term.get("critic")
    kind = term.get("type")
    if checked is not None and critic is not None and not is_game(checked.component):
        report.add((*path, "critic"), f"only adversarial losses name a critic, and {kind} is none")
    elif checked is not None and critic is None and is_game(checked.component):
        known = f"one of {', '.join(critics)}" if critics else "a network under discriminators"
        if not misspelt("critic", term, LossTerm.own_keys()):
            report.add((*path, "critic"), f"missing, {kind} needs {known}")
    elif critics is not None and isinstance(critic, str) and critic not in critics:
        report.add((*path, "critic"), f"no discriminator is named {critic!r}{did_you_mean(critic, critics)}")
    else:
        return True
    return False


def _check_selection(report: Report, path: Path, text: object, outputs: tuple[str, ...] | None) -> Selection | None:
    """Checks what a term selects, and returns it where nothing is wrong with it."""
    if not isinstance(text, str):  # a problem noted already
        return None
    try:
        selection = parse_selection(text)
    except ValueError as error:
        report.add(path, str(error))
        return None
    views = registry.VIEWS.names()
    unknown = [view for view in dict.fromkeys(selection.views) if view not in views]
    for view in unknown:
        if not report.names_open:
            report.add(path, f"no view is named {view!r}{did_you_mean(view, views)}")
    if outputs is not None and selection.name not in (*outputs, *_BATCH_NAMES):
        hint = did_you_mean(selection.name, (*outputs, *_BATCH_NAMES)) or f" (it returns {', '.join(outputs)})"
        report.add(path, f"the generator has no output {selection.name!r}{hint}")
        return None
    return None if unknown else selection


def _check_restorer(report: Report, data: Mapping[str, Any]) -> None:
    config = {"type": DEFAULT_RESTORER, **_section(data, "restorer")}
    if config == {"type": DEFAULT_RESTORER}:  # nothing to check, and looking it up would import the engine
        return
    # The engine gives the first argument, the networks and terms; the option file gives the settings.
    check_component(report, ("restorer",), config, Table.of(registry.RESTORERS, fills_first=True))


def _check_datasets(report: Report, data: Mapping[str, Any]) -> None:
    sets = _section(data, "datasets")
    train = sets.get("train")
    places: dict[Path, Any] = {("datasets", "train"): train}
    if isinstance(train, list):
        places = {("datasets", "train", index): entry for index, entry in enumerate(train)}
    for path, flat in _dicts(places):
        _check_set(report, path, flat, TrainSet)
    if isinstance(train, list) or "weight" in _section(sets, "train"):
        from deblurkit.options.training_sets import check_together  # which one set alone does not need

        check_together(report, dict(_dicts(places)))
    for name, flat in _dicts(_section(sets, "val")):
        _check_set(report, ("datasets", "val", name), flat, DatasetEntry)
    for name, flat in _dicts(_section(sets, "test")):
        _check_set(report, ("datasets", "test", name), flat, TestSet)


def _check_set(report: Report, path: Path, flat: dict[str, Any], kind: type[DatasetEntry]) -> None:
    parts = kind.split(flat)["component"]
    if kind is not TestSet and "protocol" in parts:
        del parts["protocol"]
        report.add((*path, "protocol"), _NO_PROTOCOL[str(path[1])])
    checked = check_component(report, path, parts, Table.of(registry.DATASETS), other_keys=kind.own_keys())
    if checked is None:
        return
    # The lists of components inside it: each is ``{type: NAME, ...}`` or, without arguments, its name.
    for key, nested in nested_components(checked.component).items():
        table = Table.of(nested.registry)
        for index, entry in _items(parts.get(key)).items():
            place: Path = (*path, key, index)
            if isinstance(entry, dict):
                arguments = {name: value for name, value in entry.items() if name not in nested.own_keys}
                check_component(report, place, arguments, table, other_keys=nested.own_keys)
            elif isinstance(entry, str) and entry not in table.names and not report.names_open:
                report.add(place, f"no {table.kind} is named {entry!r}{did_you_mean(entry, table.names)}")


def _check_optimization(report: Report, data: Mapping[str, Any], critics: Mapping[str, Any] | None) -> None:
    optimizers = _section(data, "optimizers")
    known = (*_SHARED_OPTIMIZERS, *(critics or ()))
    for name, config in optimizers.items():
        if name not in known and critics is not None:
            report.add(("optimizers", name), f"no network is named {name!r}{did_you_mean(name, known)}")
        elif isinstance(config, dict):
            mmengine_checks.check_optimizer(report, ("optimizers", name), config)
    train = _section(data, "train")
    for name in _section(train, "clip_grad_norm"):
        if name not in known and critics is not None:
            report.add(("train", "clip_grad_norm", name), f"no network is named {name!r}{did_you_mean(name, known)}")
    if train.get("order") == "parallel" and train.get("critic_steps", 1) != 1:
        report.add(("train", "order"), f"parallel is one step of each network, critic_steps is {train['critic_steps']}")
    networks = None if critics is None else ("generator", *critics)
    for index, config in _dicts(_items(data.get("schedulers"))):
        mmengine_checks.check_scheduler(report, ("schedulers", index), config, networks)


def _check_protocols(report: Report, data: Mapping[str, Any]) -> None:
    """Checks names alone: looking a protocol up would import all that scores images."""
    known = registry.PROTOCOLS.names()
    places: dict[Path, dict[str, Any]] = {("val",): _section(data, "val")}
    for name, entry in _dicts(_section(_section(data, "datasets"), "test")):
        places["datasets", "test", name] = entry
    for path, section in places.items():
        protocol = section.get("protocol")
        if isinstance(protocol, str) and protocol not in known and not report.names_open:
            hint = did_you_mean(protocol, known) or f" (known: {', '.join(known)})"
            report.add((*path, "protocol"), f"no protocol is named {protocol!r}{hint}")


def _check_complete(report: Report, data: Mapping[str, Any]) -> None:
    """Asks for all that training needs where the file has begun to describe a training."""
    trained_on = _section(data, "datasets").get("train")
    begun = any(data.get(name) for name in _TRAINING_SECTIONS) or trained_on not in (None, [])
    if report.incomplete or not begun:
        return
    for path, text in missing_for_training(data):
        beside = data if len(path) == 1 else _section(data, path[0])
        if not misspelt(path[-1], beside.keys() - {path[-1]}, ()) and not _doubtful(data, path[0]):
            report.add(path, text)
