"""Evaluate an experiment on its test sets and write the report."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from deblurkit import checkpoint
from deblurkit.data.loader import FirstImages, ImageDataset, build_dataset, describe
from deblurkit.errors import UserError, did_you_mean
from deblurkit.evaluation import record
from deblurkit.evaluation.protocols import Protocol, get_protocol
from deblurkit.evaluation.scoring import score_dataset, summarise
from deblurkit.evaluation.strips import write_strips
from deblurkit.inference.deblurrer import pick_device
from deblurkit.inference.restore import PRECISIONS, check_inference
from deblurkit.interop.foreign import read_weights
from deblurkit.options.dump import write_options
from deblurkit.options.load import options_from_dict
from deblurkit.registry import load_plugins
from deblurkit.report.scores import ImageScore
from deblurkit.report.write import plain, write_report

if TYPE_CHECKING:
    from deblurkit.options.schema import DatasetEntry, Options

NamedProgress = Callable[[str, int, int], None]
"""Called with the data set's name, the number of its images done and the number of all."""


@dataclass(frozen=True)
class _Experiment:
    """What is evaluated: the options that name the data, and the checkpoint with its generator."""

    options: Options
    state: dict[str, Any]
    weights: Path
    work_dir: Path
    generator: nn.Module


def evaluate(
    options: Options | None = None,
    weights: str | Path | None = None,
    *,
    plugins: Sequence[str] = (),
    datasets: Sequence[str] | None = None,
    protocol: str | None = None,
    inference: str | None = None,
    out: str | Path | None = None,
    save_images: bool = False,
    device: str | torch.device | None = None,
    precision: str = "fp32",
    work_dir: str | Path | None = None,
    progress: NamedProgress | None = None,
) -> dict[str, Any]:
    """Restore and score the test sets of an experiment and write ``metrics.json``, ``per_image.csv``, ``report.md``.

    Args:
        options: The experiment; by default the one that ``weights`` holds.
        weights: A checkpoint, or a published weight file (:mod:`deblurkit.interop`), whose generator then takes the
            place of the options'; by default the best checkpoint in the work dir, else its newest.
        plugins: Modules or files to import first. Plugins that a checkpoint names are never imported.
        datasets: Names of test sets; by default all of them.
        protocol: By default the experiment's ``val.protocol``.
        inference: By default ``val.inference``, else what the protocol prescribes.
        out: The report's folder; by default ``<work_dir>/report``.
        save_images: Also write the restored images to ``<out>/images/<data set>/<key>.png``.
        device: By default CUDA where there is one, else the CPU.
        precision: ``fp32``, ``tf32``, ``bf16`` or ``fp16``.
        work_dir: By default the one that ``weights`` lie in, else ``work_dirs/<name>``.
        progress: Told of each image done.

    Returns:
        The content of ``metrics.json``.

    Raises:
        UserError: Something asked for does not exist or does not fit together.
        NonFiniteOutputError: The generator returned pixels that are no numbers; names the image.
    """
    if precision not in PRECISIONS:
        raise UserError(f"precision: {precision!r} is unknown; known: {', '.join(PRECISIONS)}")
    where = pick_device(device)
    experiment = _gather(options, weights, tuple(plugins), work_dir)
    options = experiment.options
    chosen = get_protocol(protocol or options.val.protocol, "--protocol" if protocol else "val.protocol")
    mode = check_inference(inference or options.val.inference or chosen.inference)
    entries = _choose_sets(options, datasets)
    sets = {name: build_dataset(entry, f"datasets.test.{name}") for name, entry in entries.items()}
    folder = Path(out) if out is not None else experiment.work_dir / "report"
    runner = _Runner(
        experiment.generator.to(where), chosen, precision, mode, options.seed, folder, save_images, progress
    )
    results = {name: runner.run(name, dataset) for name, dataset in sets.items()}
    scores = {name: rows for name, (rows, _) in results.items()}

    limits = {name: (len(part), len(part.dataset)) for name, part in sets.items() if isinstance(part, FirstImages)}
    metrics: dict[str, Any] = plain(
        {
            "name": options.name,
            "protocol": {"id": chosen.id, "version": chosen.version},
            "inference": mode,
            "weights": record.weights_record(experiment.state, experiment.weights),
            "trained_on": record.trained_on(experiment.state),
            "environment": record.environment(where, precision),
            "datasets": _figures(scores, sets, chosen, options),
            "notes": [
                *record.notes(experiment.state, chosen, mode, limits),
                *record.data_notes(experiment.state, sets),
            ],
        }
    )
    foreign = "note" in experiment.state  # such weights name no data: the options that did go with the report
    write_report(
        folder,
        metrics,
        scores,
        protocol=chosen.explain(),
        command=record.command(
            experiment.weights, chosen, plugins, datasets, precision, mode, folder / "options.yml" if foreign else None
        ),
        strips={name: strips for name, (_, strips) in results.items()},
        paper=options.paper.model_dump(include={"title", "compared"}) if options.paper is not None else None,
    )
    if foreign:
        write_options(options, folder / "options.yml")
    return metrics


def _figures(
    scores: Mapping[str, list[ImageScore]], sets: Mapping[str, ImageDataset], protocol: Protocol, options: Options
) -> dict[str, Any]:
    """Return what ``metrics.json`` says of each data set."""
    published = options.paper.published if options.paper is not None else {}
    return {
        name: {**summarise(rows, protocol), "published": published.get(name), "data": describe(sets[name])}
        for name, rows in scores.items()
    }


@dataclass(frozen=True)
class _Runner:
    """What is the same for all data sets of one evaluation."""

    generator: nn.Module
    protocol: Protocol
    precision: str
    inference: str
    seed: int
    folder: Path
    save_images: bool
    progress: NamedProgress | None

    def run(self, name: str, dataset: ImageDataset) -> tuple[list[ImageScore], dict[str, str]]:
        """Score one data set; return its rows, and its strips: caption to path below the report's folder."""
        rows = score_dataset(
            self.generator,
            dataset,
            self.protocol,
            precision=self.precision,
            inference=self.inference,
            seed=self.seed,
            save_to=self.folder / "images" / name if self.save_images else None,
            progress=None if self.progress is None else functools.partial(self.progress, name),
        )
        strips = write_strips(
            self.generator,
            dataset,
            rows,
            self.folder / "strips" / name,
            metric=next(iter(self.protocol.metrics)),
            precision=self.precision,
            inference=self.inference,
            seed=self.seed,
        )
        return rows, {caption: f"strips/{name}/{file}" for caption, file in strips.items()}


def work_dir_of(weights: str | Path, name: str) -> Path:
    """Return the work dir that a checkpoint lies in, else the one that the experiment ``name`` has by default."""
    folder = Path(weights).parent
    return folder.parent if folder.name == "checkpoints" else Path("work_dirs") / name


def find_weights(work_dir: Path) -> Path:
    """Return an experiment's best checkpoint, else its newest.

    Raises:
        UserError: There is none; names the folder.
    """
    folder = work_dir / "checkpoints"
    best, last = folder / "best_psnr.pth", folder / "last"
    if best.is_file():
        return best
    if last.is_file():
        return folder / last.read_text(encoding="utf-8").strip()
    raise UserError(f"no checkpoint in {folder}: train the experiment first, or name one with --weights")


def _gather(
    options: Options | None, weights: str | Path | None, plugins: tuple[str, ...], work_dir: str | Path | None
) -> _Experiment:
    if weights is None:
        if options is None:
            raise UserError("nothing to evaluate: give the options, the weights, or both")
        file = find_weights(Path(work_dir or Path("work_dirs") / options.name))
    else:
        file = Path(weights)
    load_plugins(plugins)
    state = read_weights(file)
    generator = checkpoint.load_generator(state, file, plugins)
    if options is None and "note" in state:
        raise UserError(f"{file}: weights of {state['layout']} name no test sets: give the options that do (-opt)")
    if options is None:
        options = _options_of(state, file)
    elif not _same_generator(options, state):
        raise UserError(
            f"{file}: it holds another generator than the options of {options.name}: "
            f"{state['options']['generator']}, not {options.generator}"
        )
    return _Experiment(options, state, file, Path(work_dir or work_dir_of(file, options.name)), generator)


def _same_generator(options: Options, state: dict[str, Any]) -> bool:
    """Tell whether a checkpoint holds the options' generator; weights trained elsewhere need to share its type only."""
    held = state["options"]["generator"]
    return options.generator["type"] == held["type"] if "note" in state else options.generator == held


def _options_of(state: dict[str, Any], file: Path) -> Options:
    try:
        return options_from_dict(state["options"], str(file))
    except UserError as error:
        wanted = state["options"].get("plugins") or []
        hint = [f"{file}: it was trained with {', '.join(wanted)}: name them with --plugin"] if wanted else []
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
