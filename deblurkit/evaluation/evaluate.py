"""Scores checkpoints on test sets, or folders of images that were restored elsewhere, and writes the report.

What is asked for is put together here and checked before any work; :mod:`run` does the work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deblurkit.contracts import dataset_traits
from deblurkit.data.loader import describe
from deblurkit.data.source import open_source
from deblurkit.device import check_precision, pick_device
from deblurkit.errors import UserError
from deblurkit.evaluation import provenance
from deblurkit.evaluation.candidates import (
    FolderCandidate,
    NetworkCandidate,
    find_weights,
    keys_of,
    settle_names,
    split_names,
    work_dir_of,
)
from deblurkit.evaluation.folders import open_references
from deblurkit.evaluation.run import Report, run
from deblurkit.evaluation.scoring import image_file
from deblurkit.evaluation.sets import Evaluation, build_protocols, open_test_sets, scored_set
from deblurkit.evaluation.settings import Settings
from deblurkit.names import entry_name
from deblurkit.options import shipped
from deblurkit.options.load import load_options, options_from_dict
from deblurkit.plugins import load_plugins
from deblurkit.registry import ARCHS

if TYPE_CHECKING:
    from deblurkit.options.schema import Options


def evaluate(
    options: Options | None = None,
    weights: str | Path | None = None,
    *,
    work_dir: str | Path | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Restores and scores the test sets of an experiment and writes its report: see :mod:`deblurkit.report.write`.

    A run that is interrupted goes on where it stopped when it is started again with the same arguments.

    Args:
        options: The experiment; by default the one that ``weights`` holds.
        weights: A checkpoint, another weight file (:mod:`deblurkit.interop`) or the name of a network in the box, whose
            generator then takes the place of the options'; by default the best checkpoint in the work dir, else its
            newest.
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
    return done.candidates[0].to_json()


def evaluate_all(
    options: Options | None, weights: Sequence[str | Path], settings: Settings, work_dir: str | Path | None = None
) -> Report:
    """Scores one or several checkpoints on the same test sets, one after the other, and writes the report of all.

    Args:
        options: Whose test sets; by default those that the first checkpoint holds.
        weights: ``[NAME=]CHECKPOINT``; none: the best of ``options``' work dir, else its newest.
        settings: How.
        work_dir: See :func:`evaluate`; the report of several goes to ``comparison`` below the first one's.

    Raises:
        UserError: See :func:`evaluate`.
        NonFiniteOutputError: See there.
    """
    # All that can be refused is refused before any work: settings, every checkpoint, the data sets, names of files.
    check_precision(settings.precision)
    device = pick_device(settings.device)
    load_plugins(settings.plugins)
    named = split_names(weights)
    if not named:
        if options is None:
            raise UserError("nothing to evaluate: give the options, the weights, or both")
        named = [(None, find_weights(Path(work_dir or Path("work_dirs") / options.name)))]
    candidates = [
        NetworkCandidate(file, name, settings.plugins, device, settings.precision, key)
        for (name, file), key in zip(named, keys_of(named, settings.keys), strict=True)
    ]
    settle_names(candidates, [name for name, _ in named])
    chosen = _options_for(candidates, options, settings.say)
    opened = open_test_sets(chosen, settings, device)
    if settings.save_images:  # names under which no image can be saved are refused before any work
        for test in opened.sets.values():
            keys = dataset_traits(test.dataset).keys
            if keys is not None:
                for key in keys():
                    image_file(Path("images"), key)

    base = Path(work_dir or work_dir_of(candidates[0].file, chosen.name))
    folder = Path(settings.out or base / ("report" if len(candidates) == 1 else "comparison"))
    # The command of the report needs an option file where the checkpoint's own options are not those that were used.
    kept = None if chosen.to_dict() == candidates[0].state["options"] else folder / "options.yml"
    modes = {test.inference for test in opened.sets.values()}
    flags: dict[str, Any] = {
        "-opt": None if kept is None else str(kept),
        "--weights": [str(file) if name is None else f"{name}={file}" for name, file in named],
        "--key": settings.keys,
        **_flags(settings, opened.default),
        "--dataset": settings.datasets,
        "--save-images": settings.save_images,
        "--precision": settings.precision,
        "--inference": modes.pop() if len(modes) == 1 else settings.inference,
    }
    evaluation = Evaluation(settings, opened.sets, opened.missing, device, settings.precision)
    command = provenance.command("test", flags)
    return run(evaluation, candidates, folder, command=command, options=chosen, keep_options=kept)


def score_folders(
    restored: Sequence[str | Path],
    settings: Settings,
    *,
    sharp: str | None = None,
    blurred: str | None = None,
    data: str | None = None,
) -> Report:
    """Scores images that were restored by any code, and writes the same report as :func:`evaluate_all`.

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
    protocol = build_protocols({settings.protocol: "--protocol"}, settings, device)[settings.protocol]
    if data is not None:
        dataset = open_source(data, settings.plugins)
        # What a report calls the set names files and folders, too.
        name = str(describe(dataset)["set"]) if data.lstrip().startswith("{") else data.rpartition(".")[2]
        try:
            name = entry_name(name)
        except ValueError as error:
            raise UserError(f"--data {data}: the set calls itself {name[:100]!a}, but {error}") from None
    else:
        dataset, name = open_references(str(sharp), blurred, protocol.all_truths), "images"  # folders have no name
    evaluation = Evaluation(settings, {name: scored_set(dataset, protocol)}, [], device, precision="")
    named = split_names(restored)
    candidates = [FolderCandidate(folder, given, evaluation.sets) for given, folder in named]
    settle_names(candidates, [given for given, _ in named])
    flags: dict[str, Any] = {
        "--restored": [str(text) for text in restored],
        "--sharp": sharp,
        "--blurred": blurred,
        "--data": data,
        **_flags(settings, protocol.id),
    }
    return run(evaluation, candidates, Path(settings.out or "report"), command=provenance.command("score", flags))


def _flags(settings: Settings, protocol: str | None) -> dict[str, Any]:
    """Returns the flags that both tools have."""
    return {
        "--protocol": protocol,
        "--plugin": settings.plugins,
        "--backbone": [f"{net}={file}" for net, file in settings.backbones.items()],
        "--single": settings.single,
        "--device": None if settings.device is None else str(settings.device),
    }


def _options_for(
    candidates: Sequence[NetworkCandidate], options: Options | None, say: Callable[[str], None]
) -> Options:
    """Returns the options whose test sets are used, and refuses a single checkpoint that is not one of theirs."""
    first = candidates[0]
    recipe = first.state.get("recipe")
    if options is None and recipe in shipped.names():  # an exported file names its experiment, and holds no test sets
        say(f"the test sets are those of {recipe}, which {first.file} was trained by")
        options = load_options(recipe)
    if options is None:
        if first.foreign or recipe is not None:
            layout = first.state.get("layout", "an exported file")
            raise UserError(f"{first.file}: weights of {layout} name no test sets: give the options that do (-opt)")
        if len(candidates) > 1:
            say(f"the test sets are those that {first.file} was trained with")
        try:
            return options_from_dict(first.state["options"], str(first.file))
        except UserError as error:
            wanted, problems = first.state["options"].get("plugins") or [], list(error.problems)
            if wanted:  # never imported by themselves: a checkpoint must not choose what code runs
                problems.append(f"{first.file}: it was trained with {', '.join(wanted)}: name them with --plugin")
            raise UserError(*problems) from None
    if len(candidates) == 1:
        if not _same_generator(options, first):
            raise UserError(
                f"{first.file}: it holds another generator than the options of {options.name}: "
                f"{first.state['options']['generator']}, not {options.generator}"
            )
        # The options may say more than the checkpoint knew, such as published scores.
        first.name = options.name
        first.follow(options.to_dict())
    return options


def _same_generator(options: Options, network: NetworkCandidate) -> bool:
    """Tells whether a checkpoint holds the options' generator; weights trained elsewhere need only share its type."""
    held = network.state["options"]["generator"]
    if network.foreign:
        return options.generator["type"] == held["type"]
    return ARCHS.split(options.generator)[0] == ARCHS.split(held)[0]  # how its weights started is no part of it
