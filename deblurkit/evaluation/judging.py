"""One candidate on all data sets: scored, or gone on with where an earlier run stopped, and put into figures."""

from __future__ import annotations

import functools
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy
import torch

import deblurkit
from deblurkit.data.loader import describe
from deblurkit.evaluation import provenance
from deblurkit.evaluation.aggregate import figures
from deblurkit.evaluation.candidates import Contender, OpenSource
from deblurkit.evaluation.pictures import thumbnail
from deblurkit.evaluation.protocols.protocol import Protocol
from deblurkit.evaluation.resume import UNFINISHED, Journal, digest_of
from deblurkit.evaluation.scoring import Keeping, Outcome, image_file, score_dataset, undefined_notes
from deblurkit.evaluation.sets import ScoredSet, describe_metrics
from deblurkit.evaluation.settings import NamedProgress
from deblurkit.report.model import Candidate
from deblurkit.report.write import plain
from deblurkit.torchfile.read import digest


@dataclass(frozen=True)
class Evaluation:
    """What is the same for all candidates.

    Attributes:
        sets: The data by name, each with its protocol.
        missing: A line for each set that was to be scored and is not on this machine.
        device: Where networks and metrics compute.
        precision: What networks compute in.
        seed: Of the data sets' random numbers.
        save_images: Whether restored images are kept, as ``<folder>/images/<data set>/<key>.png``.
        backbones: Weights of the metrics' networks, as they were given.
        plugins: Modules and files that were imported.
        progress: Told of images done.
        say: Told, in lines, what became of work that an earlier run left.
    """

    sets: Mapping[str, ScoredSet]
    missing: Sequence[str]
    device: torch.device
    precision: str
    seed: int
    save_images: bool
    backbones: Mapping[str, str]
    plugins: Sequence[str]
    progress: NamedProgress | None
    say: Callable[[str], None]

    @property
    def protocols(self) -> list[Protocol]:
        """The protocols of all sets, each once."""
        return list({test.protocol.id: test.protocol for test in self.sets.values()}.values())

    def images_folder(self, folder: Path, name: str) -> Path | None:
        """Returns where a candidate's restored images of a data set go; ``None`` where they are not kept."""
        return folder / "images" / name if self.save_images else None


@dataclass(frozen=True)
class Judged:
    """A candidate that was scored.

    Attributes:
        contender: What was scored.
        folder: Where its report belongs.
        candidate: Its figures and rows.
        thumbnails: Small encoded pictures by data set and key.
        journals: Files to remove once the report is written.
    """

    contender: Contender
    folder: Path
    candidate: Candidate
    thumbnails: Mapping[str, Mapping[str, bytes]]
    journals: Sequence[Path]


def judge(contender: Contender, evaluation: Evaluation, folder: Path, one_of_several: bool = False) -> Judged:
    """Scores one candidate on all data sets.

    Args:
        contender: What is scored.
        evaluation: How, and on what.
        folder: Where its report belongs; journals of unfinished work are kept below.
        one_of_several: Whether progress and messages name the candidate.

    Raises:
        UserError: An image cannot be read or scored.
        NonFiniteOutputError: The generator returned pixels that are no numbers; names the image.
    """
    entries: dict[str, dict[str, Any]] = {}
    outcomes: dict[str, list[Outcome]] = {}
    notes: list[str] = []
    journals = {name: journal_file(folder, name) for name in evaluation.sets}
    with contender.opened() as source:
        for name, file in journals.items():
            journal = Journal(file, _fingerprint(contender, evaluation, name))
            title = f"{contender.name}, {name}" if one_of_several else name
            outcomes[name], entries[name], more = _judge_set(evaluation, name, folder, journal, source, title)
            alike = contender.tested_otherwise(name, evaluation.sets[name]) is None
            entries[name]["published"] = contender.published.get(name) if alike else None
            notes += more
    rows = {name: [outcome.row for outcome in listed] for name, listed in outcomes.items()}
    metrics = _metrics(contender, evaluation, entries, list(dict.fromkeys(notes)))
    thumbnails = {
        name: {outcome.row.key: outcome.thumbnail for outcome in listed if outcome.thumbnail is not None}
        for name, listed in outcomes.items()
    }
    return Judged(contender, folder, Candidate(contender.name, metrics, rows), thumbnails, list(journals.values()))


def journal_file(folder: Path, name: str) -> Path:
    """Returns the journal of a data set below a report's folder."""
    return folder / UNFINISHED / f"{name}.jsonl"


def _judge_set(
    evaluation: Evaluation, name: str, folder: Path, journal: Journal, opened: OpenSource, title: str
) -> tuple[list[Outcome], dict[str, Any], list[str]]:
    """Returns the outcomes of one data set, its entry in ``metrics.json`` but for what is published, and notes."""
    test = evaluation.sets[name]
    protocol = test.protocol
    images = evaluation.images_folder(folder, name)
    known = {
        index: outcome
        for index, outcome in journal.outcomes.items()
        if images is None or image_file(images, outcome.row.key).is_file()
    }
    _tell(evaluation.say, title, journal, len(known), len(test.indices))
    source = opened(name, test)
    source.resume(
        Counter(outcome.mode for outcome in known.values() if outcome.mode is not None),
        Counter(event for outcome in known.values() for event in outcome.events),
    )
    try:
        outcomes = score_dataset(
            source,
            test.dataset,
            protocol,
            seed=evaluation.seed,
            indices=test.indices,
            done=known,
            keeping=Keeping(images, thumbnail, journal.record),
            progress=None if evaluation.progress is None else functools.partial(evaluation.progress, title),
        )
    finally:
        journal.close()
    entry = {
        "protocol": {"id": protocol.id, "version": protocol.version, "digest": protocol.digest},
        "inference": test.inference or None,
        **figures(outcomes, protocol, journal.elapsed),
        "data": describe(test.dataset),
    }
    notes = [f"{name}: {note}" for note in source.notes()]
    for side in ("restored", "blurred"):
        facts = [getattr(outcome.row, f"{side}_facts") for outcome in outcomes]
        lines = [*protocol.facts_summary(facts), *undefined_notes(facts)]
        notes += [f"{name}, {side}: {line}" for line in lines]
    return outcomes, entry, notes


def _tell(say: Callable[[str], None], title: str, journal: Journal, known: int, total: int) -> None:
    """Says what became of an earlier run's work."""
    if known:
        say(f"{title}: {known} of {total} images were scored by an earlier run; going on from there")
    if journal.differing:
        differ = ", ".join(journal.differing)
        say(f"{title}: an earlier run was interrupted, but differed in {differ}; starting anew")


def _metrics(
    contender: Contender, evaluation: Evaluation, entries: Mapping[str, Mapping[str, Any]], notes: Sequence[str]
) -> dict[str, Any]:
    """Returns the content of ``metrics.json``."""
    protocols = evaluation.protocols
    every = [
        *contender.notes(evaluation.sets),
        *evaluation.missing,
        *provenance.set_notes(evaluation.sets),
        *notes,
        *(note for protocol in protocols for note in protocol.notes()),
    ]
    content: dict[str, Any] = plain(
        {
            "name": contender.name,
            "metrics": describe_metrics(protocols),
            **contender.facts,
            "environment": provenance.environment(evaluation.device, evaluation.precision),
            "datasets": entries,
            "notes": list(dict.fromkeys(every)),
        }
    )
    return content


def _fingerprint(contender: Contender, evaluation: Evaluation, name: str) -> dict[str, Any]:
    """Returns what an image's row depends on; rows of another fingerprint are not gone on with."""
    test = evaluation.sets[name]
    protocol = test.protocol
    return {
        "deblurkit": deblurkit.__version__,
        "libraries": [torch.__version__, np.__version__, cv2.__version__, scipy.__version__],
        "protocol": [protocol.id, protocol.version, protocol.digest, protocol.single],
        "backbones": [{net: _file_digest(file) for net, file in evaluation.backbones.items()}, protocol.notes()],
        "plugins": {plugin: _file_digest(plugin) for plugin in evaluation.plugins},
        "candidate": contender.identity,
        "inference": test.inference,
        "data set": describe(test.dataset),
        "images": len(test.dataset),
        "files": digest_of(test.dataset, len(test.dataset)),
        "chosen": hashlib.sha256(repr(list(test.indices)).encode()).hexdigest(),
        "seed": evaluation.seed,
        "saved images": evaluation.save_images,
    }


def _file_digest(file: str) -> str:
    if not os.path.isfile(file):
        return file  # a word such as random, a module's name
    return digest(Path(file))
