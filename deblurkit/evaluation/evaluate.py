"""Evaluate checkpoints on test sets, or folders of images that were restored elsewhere, and write the report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from deblurkit.data.loader import build_dataset
from deblurkit.data.source import open_source
from deblurkit.errors import UserError, did_you_mean
from deblurkit.evaluation import record
from deblurkit.evaluation.contenders import (
    Contender,
    Folder,
    Network,
    find_weights,
    settle_names,
    split_names,
    work_dir_of,
)
from deblurkit.evaluation.folders import open_references
from deblurkit.evaluation.journal import held
from deblurkit.evaluation.judging import Evaluation, NamedProgress, ScoredSet, judge
from deblurkit.evaluation.protocols.protocol import Protocol, get_protocol
from deblurkit.evaluation.reporting import Report, report
from deblurkit.evaluation.scoring import check_truths, image_file, scored_images
from deblurkit.inference.deblurrer import pick_device
from deblurkit.inference.restore import PRECISIONS, check_inference
from deblurkit.names import entry_name
from deblurkit.options.load import options_from_dict
from deblurkit.registry import ARCHS, load_plugins

if TYPE_CHECKING:
    from deblurkit.options.schema import DatasetEntry, Options


@dataclass(frozen=True)
class Settings:
    """How to score, whatever is scored.

    Attributes:
        protocol: By default the experiment's ``val.protocol``.
        plugins: Modules or files to import first. Plugins that a checkpoint names are never imported.
        datasets: Names of test sets; by default all of them.
        inference: By default ``val.inference``, else what the protocol prescribes.
        out: The report's folder.
        save_images: Also write the restored images to ``<out>/images/<data set>/<key>.png``.
        device: By default CUDA where there is one, else the CPU.
        precision: ``fp32``, ``tf32``, ``bf16`` or ``fp16``.
        backbones: Weights of the metrics' networks: network to a file, or to ``random``.
        single: Compute the metrics that can in single precision.
        progress: Told of each image done.
        say: Told, in lines, what became of an interrupted run, and where the data sets come from.
    """

    protocol: str | None = None
    plugins: Sequence[str] = ()
    datasets: Sequence[str] | None = None
    inference: str | None = None
    out: str | Path | None = None
    save_images: bool = False
    device: str | torch.device | None = None
    precision: str = "fp32"
    backbones: Mapping[str, str] = field(default_factory=dict)
    single: bool = False
    progress: NamedProgress | None = None
    say: Callable[[str], None] = logging.getLogger("deblurkit").warning


def evaluate(
    options: Options | None = None,
    weights: str | Path | None = None,
    *,
    work_dir: str | Path | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Restore and score the test sets of an experiment and write its report: see :mod:`deblurkit.report.write`.

    A run that is interrupted goes on where it stopped when it is started again with the same arguments.

    Args:
        options: The experiment; by default the one that ``weights`` holds.
        weights: A checkpoint, or a published weight file (:mod:`deblurkit.interop`), whose generator then takes the
            place of the options'; by default the best checkpoint in the work dir, else its newest.
        work_dir: By default the one that ``weights`` lie in, else ``work_dirs/<name>``.
        settings: Attributes of :class:`Settings` by name; ``out`` is ``<work_dir>/report`` by default.

    Returns:
        The content of ``metrics.json``.

    Raises:
        UserError: Something asked for does not exist or does not fit together.
        NonFiniteOutputError: The generator returned pixels that are no numbers; names the image.
        TypeError: A setting is not one of :class:`Settings`.
    """
    done = evaluate_all(options, [] if weights is None else [weights], Settings(**settings), work_dir)
    return dict(done.candidates[0].metrics)


def evaluate_all(
    options: Options | None,
    weights: Sequence[str | Path],
    settings: Settings,
    work_dir: str | Path | None = None,
) -> Report:
    """Score one or several checkpoints on the same test sets, one after the other, and write the report of all.

    Args:
        options: Whose test sets; by default those that the first checkpoint holds.
        weights: ``[NAME=]CHECKPOINT``; none: the best of ``options``' work dir, else its newest.
        settings: How.
        work_dir: See :func:`evaluate`; the report of several goes to ``comparison`` below the first one's.

    Raises:
        UserError: See :func:`evaluate`.
        NonFiniteOutputError: See there.
    """
    if settings.precision not in PRECISIONS:
        raise UserError(f"precision: {settings.precision!r} is unknown; known: {', '.join(PRECISIONS)}")
    device = pick_device(settings.device)
    load_plugins(settings.plugins)
    named = split_names(weights) or [(None, _weights_of(options, work_dir))]
    networks = [Network(file, name, settings.plugins, device, settings.precision) for name, file in named]
    settle_names(networks, [name for name, _ in named])
    chosen = _options_for(networks, options, settings.say)
    evaluation = _evaluation(settings, chosen, device)
    mode = check_inference(settings.inference or chosen.val.inference or evaluation.protocol.inference)
    for network in networks:
        network.restores_by(mode)
    base = Path(work_dir or work_dir_of(networks[0].file, chosen.name))
    folder = Path(settings.out or base / ("report" if len(networks) == 1 else "comparison"))
    kept = None if chosen.to_dict() == networks[0].state["options"] else folder / "options.yml"
    flags: dict[str, Any] = {
        "-opt": None if kept is None else str(kept),
        "--weights": [str(file) if name is None else f"{name}={file}" for name, file in named],
        **_flags(settings, evaluation),
        "--dataset": settings.datasets,
        "--save-images": settings.save_images,
        "--precision": settings.precision,
        "--inference": mode,
    }
    command = record.command("tools/test.py", flags)
    return _judge_and_report(evaluation, networks, folder, command, chosen, kept)


def score_folders(
    restored: Sequence[str | Path],
    settings: Settings,
    *,
    sharp: str | None = None,
    blurred: str | None = None,
    data: str | None = None,
) -> Report:
    """Score images that were restored by any code, and write the same report as :func:`evaluate_all`.

    Args:
        restored: ``[NAME=]FOLDER``: images named as those of the data set, or a report with saved images.
        settings: How; ``protocol`` is needed.
        sharp: Folder or glob of the true images; where the protocol scores against many, one folder for each image.
        blurred: The same of the blurred ones; without it their columns stay empty.
        data: A data set instead: ``FILE.yml:test.NAME`` or ``{type: NAME, ...}``.

    Raises:
        UserError: Images are missing, too many or of another size, or something does not exist.
    """
    if settings.protocol is None or (data is None) == (sharp is None):
        raise UserError("give a protocol, and either sharp images or a data set")
    device = pick_device(settings.device)
    load_plugins(settings.plugins)
    protocol = get_protocol(settings.protocol, "--protocol", backbones=settings.backbones, single=settings.single)
    protocol.to(device)
    if data is not None:
        dataset = open_source(data, settings.plugins)
        name = _set_name(data, dataset)
    else:
        dataset, name = open_references(str(sharp), blurred, protocol.all_truths), "images"
    check_truths(dataset, protocol)
    sets = {name: ScoredSet(dataset, scored_images(dataset, protocol))}
    evaluation = _shared_by_all(settings, protocol, sets, device, precision="", seed=0)
    named = split_names(restored)
    wanted = {name: (dataset, sets[name].indices)}
    folders = [Folder(folder, given, protocol, wanted) for given, folder in named]
    settle_names(folders, [given for given, _ in named])
    out = Path(settings.out or "report")
    flags = {
        "--restored": [str(text) for text in restored],
        "--sharp": sharp,
        "--blurred": blurred,
        "--data": data,
        **_flags(settings, evaluation),
    }
    return _judge_and_report(evaluation, folders, out, record.command("tools/score.py", flags))


def _set_name(data: str, dataset: Any) -> str:
    """Return what a report calls a data set that a command line names; it names files and folders, too."""
    name = str(record.describe(dataset)["set"]) if data.lstrip().startswith("{") else data.rpartition(".")[2]
    try:
        return entry_name(name)
    except ValueError as error:
        raise UserError(f"--data {data}: the set calls itself {name[:100]!a}, but {error}") from None


def _evaluation(settings: Settings, options: Options, device: torch.device) -> Evaluation:
    """Return how the checkpoints are scored, the data sets' files looked at."""
    asked = settings.protocol
    protocol = get_protocol(
        asked or options.val.protocol,
        "--protocol" if asked else "val.protocol",
        backbones=settings.backbones,
        single=settings.single,
    )
    protocol.to(device)
    entries = _choose_sets(options, settings.datasets)
    sets = {}
    for name, entry in entries.items():
        dataset = build_dataset(entry, f"datasets.test.{name}")
        check_truths(dataset, protocol)
        sets[name] = ScoredSet(dataset, scored_images(dataset, protocol))
        if settings.save_images and hasattr(dataset, "keys"):
            _check_keys(dataset.keys())
    return _shared_by_all(settings, protocol, sets, device, settings.precision, options.seed)


def _shared_by_all(
    settings: Settings,
    protocol: Protocol,
    sets: Mapping[str, ScoredSet],
    device: torch.device,
    precision: str,
    seed: int,
) -> Evaluation:
    return Evaluation(
        protocol,
        sets,
        device,
        precision,
        seed,
        settings.save_images,
        settings.backbones,
        settings.plugins,
        settings.progress,
        settings.say,
    )


def _judge_and_report(
    evaluation: Evaluation,
    contenders: Sequence[Contender],
    out: Path,
    command: str,
    options: Options | None = None,
    keep_options: Path | None = None,
) -> Report:
    """Score all that is scored, one after the other, and write the report; ``out`` is ours meanwhile."""
    several = len(contenders) > 1
    folders = [out / contender.name if several else out for contender in contenders]
    with held(out, folders):
        judged = [
            judge(contender, evaluation, folder, several) for contender, folder in zip(contenders, folders, strict=True)
        ]
        return report(evaluation, judged, out, command=command, options=options, keep_options=keep_options)


def _check_keys(keys: Sequence[str]) -> None:
    """Refuse names under which no image can be saved, before any work."""
    for key in keys:
        image_file(Path("images"), key)


def _flags(settings: Settings, evaluation: Evaluation) -> dict[str, Any]:
    """Return the flags that both tools have."""
    return {
        "--protocol": evaluation.protocol.id,
        "--plugin": settings.plugins,
        "--backbone": [f"{net}={file}" for net, file in settings.backbones.items()],
        "--single": settings.single,
        "--device": None if settings.device is None else str(settings.device),
    }


def _weights_of(options: Options | None, work_dir: str | Path | None) -> Path:
    if options is None:
        raise UserError("nothing to evaluate: give the options, the weights, or both")
    return find_weights(Path(work_dir or Path("work_dirs") / options.name))


def _options_for(networks: Sequence[Network], options: Options | None, say: Callable[[str], None]) -> Options:
    """Return the options whose test sets are used, and see that a single checkpoint is one of theirs."""
    first = networks[0]
    if options is None:
        if first.foreign:
            layout = first.state["layout"]
            raise UserError(f"{first.file}: weights of {layout} name no test sets: give the options that do (-opt)")
        if len(networks) > 1:
            say(f"the test sets are those that {first.file} was trained with")
        return _options_of(first)
    if len(networks) == 1:
        if not _same_generator(options, first):
            raise UserError(
                f"{first.file}: it holds another generator than the options of {options.name}: "
                f"{first.state['options']['generator']}, not {options.generator}"
            )
        first.name = options.name
        first.published = options.paper.published if options.paper is not None else {}
    return options


def _same_generator(options: Options, network: Network) -> bool:
    """Tell whether a checkpoint holds the options' generator; weights trained elsewhere need to share its type only."""
    held = network.state["options"]["generator"]
    if network.foreign:
        return options.generator["type"] == held["type"]
    return ARCHS.split(options.generator)[0] == ARCHS.split(held)[0]  # how its weights started is no part of it


def _options_of(network: Network) -> Options:
    try:
        return options_from_dict(network.state["options"], str(network.file))
    except UserError as error:
        wanted = network.state["options"].get("plugins") or []
        hint = [f"{network.file}: it was trained with {', '.join(wanted)}: name them with --plugin"] if wanted else []
        raise UserError(*error.problems, *hint) from None


def _choose_sets(options: Options, names: Sequence[str] | None) -> dict[str, DatasetEntry]:
    known = options.datasets.test
    if not known:
        raise UserError(f"{options.name}: it has no test sets (datasets.test)")
    unknown = [name for name in names or () if name not in known]
    if unknown:
        listed = ", ".join(known)
        raise UserError(
            *(f"no test set is named {name!r}{did_you_mean(name, known)}; known: {listed}" for name in unknown)
        )
    return {name: known[name] for name in (names or known)}
