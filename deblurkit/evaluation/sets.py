"""The sets that are scored, each with its own protocol and inference mode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch

from deblurkit.contracts import Dataset, metric_traits
from deblurkit.data.loader import build_dataset
from deblurkit.errors import MissingSetError, UserError, did_you_mean
from deblurkit.evaluation.protocols.protocol import Protocol, find_protocol, get_protocol
from deblurkit.evaluation.resume import kept_images
from deblurkit.evaluation.scoring import check_truths, image_file, scored_images
from deblurkit.evaluation.settings import Settings
from deblurkit.inference.restore import check_inference
from deblurkit.registry import METRICS
from deblurkit.results import ScoreKind

if TYPE_CHECKING:
    from deblurkit.options.schema import Options, TestSet


@dataclass(frozen=True)
class ScoredSet:
    """A data set and how it is scored.

    Attributes:
        dataset: The set, its files looked at.
        indices: Which images are scored.
        protocol: How.
        inference: The mode in which networks restore its images; empty for images that were restored elsewhere.
        entry: The set as its option file describes it; ``None`` where a command line names it.
    """

    dataset: Dataset
    indices: Sequence[int]
    protocol: Protocol
    inference: str = ""
    entry: TestSet | None = None


def protocols_of(sets: Mapping[str, ScoredSet]) -> list[Protocol]:
    """Returns the protocols of some sets, each once."""
    return list({test.protocol.id: test.protocol for test in sets.values()}.values())


@dataclass(frozen=True)
class Evaluation:
    """Everything that is the same for all candidates.

    Attributes:
        settings: How to score.
        sets: The data by name, each with its protocol.
        missing: A line for each set that was to be scored and is not on this machine.
        device: Where networks and metrics compute.
        precision: What networks compute in; empty where none does.
    """

    settings: Settings
    sets: Mapping[str, ScoredSet]
    missing: Sequence[str]
    device: torch.device
    precision: str

    seed: ClassVar[int] = 0
    """Of every test: windows that a test set cuts at random are the same for all experiments, whatever their seeds."""

    @property
    def protocols(self) -> list[Protocol]:
        """The protocols of all sets, each once."""
        return protocols_of(self.sets)

    def images_folder(self, folder: Path, name: str) -> Path:
        """Returns where restored images of a data set are saved, below a report's folder, if they are."""
        return folder / "images" / name

    def restored_file(self, folder: Path, name: str, index: int, key: str) -> Path:
        """Returns where a restored image lies until the pages are written; longer, if restored images are saved.

        Until then every restored image of every candidate is kept, as PNG: which ones the pages show is known when all
        are scored, and of several candidates an image of the first one may be chosen for the score of the last. So the
        disk needs as much room meanwhile as ``--save-images`` takes for good, 1.5 MB for an image of 720p, and memory
        none.
        """
        if self.settings.save_images:
            return image_file(self.images_folder(folder, name), key)
        return kept_images(folder, name) / f"{index:06}.png"  # keys need not be fit to name files


@dataclass(frozen=True)
class OpenedSets:
    """The test sets of an experiment.

    Attributes:
        sets: Those that are scored, by name.
        default: The protocol of those that name none; ``None`` where all name one.
        missing: A line for each set that is not on this machine.
    """

    sets: Mapping[str, ScoredSet]
    default: str | None
    missing: Sequence[str]


def open_test_sets(options: Options, settings: Settings, device: torch.device) -> OpenedSets:
    """Opens the test sets that are asked for, their files looked at.

    A published set whose folder does not exist is left out, and said to be, unless ``settings`` name it.

    Raises:
        UserError: A set is not known, not in order, or does not fit its protocol; or there is none to score.
    """
    entries = _choose_entries(options, settings.datasets)
    default = settings.protocol or options.val.protocol
    asked = "--protocol" if settings.protocol else "val.protocol"
    find_protocol(default, asked)  # also where all sets name their own
    datasets, missing = _open_datasets(entries, required=bool(settings.datasets))
    entries = {name: entry for name, entry in entries.items() if name in datasets}
    places: dict[str, str] = {}
    for name, entry in entries.items():
        places[entry.protocol or default] = f"datasets.test.{name}.protocol" if entry.protocol else asked
    protocols = build_protocols(places, settings, device)
    mode = settings.inference or options.val.inference
    sets = {}
    for name, dataset in datasets.items():
        chosen = protocols[entries[name].protocol or default]
        sets[name] = scored_set(dataset, chosen, check_inference(mode or chosen.inference), entries[name])
    asked_for = (None, settings.protocol)
    kept = [f"{name} keeps {entry.protocol}" for name, entry in entries.items() if entry.protocol not in asked_for]
    for line in missing:
        settings.say(line)
    if settings.protocol is not None and kept:
        settings.say(f"--protocol {settings.protocol} is for test sets that name none: {', '.join(kept)}")
    own = all(entry.protocol is not None for entry in entries.values())
    return OpenedSets(sets, None if own else default, missing)


def scored_set(dataset: Dataset, protocol: Protocol, inference: str = "", entry: TestSet | None = None) -> ScoredSet:
    """Puts a data set and its protocol together.

    Raises:
        UserError: The set does not have what the protocol needs.
    """
    check_truths(dataset, protocol)
    return ScoredSet(dataset, scored_images(dataset, protocol), protocol, inference, entry)


def build_protocols(places: Mapping[str, str], settings: Settings, device: torch.device) -> dict[str, Protocol]:
    """Returns protocols ready to score, by id.

    Args:
        places: Where each was asked for, for messages.
        settings: ``backbones`` go to those that use them, ``single`` to all.
        device: Where metrics that are networks compute.

    Raises:
        UserError: A protocol is not known or lacks weights, none uses a backbone, or two call different scores alike.
    """
    found = {name: find_protocol(name, place) for name, place in places.items()}
    used: set[str] = set()
    for kind in found.values():
        used |= kind.networks()
    protocols = {}
    for name, place in places.items():
        own = found[name].networks()
        # What nobody uses goes to all, which refuse it in words.
        chosen = {net: file for net, file in settings.backbones.items() if net in own or net not in used}
        protocols[name] = get_protocol(name, place, backbones=chosen, single=settings.single)
        protocols[name].to(device)
    describe_metrics(protocols.values())
    return protocols


def describe_metrics(protocols: Iterable[Protocol]) -> dict[str, ScoreKind]:
    """Returns how each score is read that the protocols give.

    Raises:
        UserError: Two protocols give scores of one name that are read in different ways.
    """
    described: dict[str, ScoreKind] = {}
    for protocol in protocols:
        for name, component in protocol.metrics.items():
            traits = metric_traits(METRICS.get(str(component["type"])))
            kind = ScoreKind(traits.unit, traits.higher_is_better)
            if described.setdefault(name, kind) != kind:
                raise UserError(
                    f"{protocol.id}: another protocol's {name!r} has another unit or direction: one report cannot hold "
                    "both; score the sets one by one (--dataset)"
                )
    return described


def _choose_entries(options: Options, names: Sequence[str] | None) -> dict[str, TestSet]:
    known = options.datasets.test
    if not known:
        raise UserError(f"{options.name}: it has no test sets (datasets.test)")
    unknown = [name for name in names or () if name not in known]
    if unknown:
        listed = f"known: {', '.join(known)}"
        raise UserError(*(f"no test set is named {name!r}{did_you_mean(name, known)}; {listed}" for name in unknown))
    return {name: known[name] for name in (names or known)}  # in the order in which they are asked for


def _open_datasets(entries: Mapping[str, TestSet], required: bool) -> tuple[dict[str, Dataset], list[str]]:
    """Returns the sets that are there, and a line for each that is not.

    Raises:
        UserError: One is not in order; or is missing, where all are required; or none is there.
    """
    opened: dict[str, Dataset] = {}
    missing: list[str] = []
    problems: list[str] = []
    for name, entry in entries.items():
        try:
            opened[name] = build_dataset(entry, f"datasets.test.{name}")
        except MissingSetError as error:  # published sets are large, and few machines have all
            missing.append(f"{name}: not scored, its data are not here: {error.brief}")
            problems += error.problems
    if problems and (required or not opened):
        raise UserError(*problems)
    return opened, missing
