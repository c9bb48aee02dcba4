"""The sets that are scored, each with its own protocol and inference mode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from deblurkit.data.loader import ImageDataset, build_dataset
from deblurkit.errors import MissingSetError, UserError, did_you_mean
from deblurkit.evaluation.protocols.protocol import Protocol, find_protocol, get_protocol
from deblurkit.evaluation.scoring import check_truths, scored_images
from deblurkit.evaluation.settings import Settings
from deblurkit.inference.restore import check_inference
from deblurkit.registry import METRICS

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

    dataset: ImageDataset
    indices: Sequence[int]
    protocol: Protocol
    inference: str = ""
    entry: TestSet | None = None


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
    wanted = {name: entry.protocol or default for name, entry in entries.items()}
    places = {
        protocol: f"datasets.test.{name}.protocol" if entries[name].protocol else asked
        for name, protocol in wanted.items()
    }
    protocols = build_protocols(places, settings, device)
    mode = settings.inference or options.val.inference
    sets = {}
    for name, dataset in datasets.items():
        chosen = protocols[wanted[name]]
        sets[name] = scored_set(dataset, chosen, check_inference(mode or chosen.inference), entries[name])
    for line in [*missing, *_kept_protocols(entries, settings.protocol)]:
        settings.say(line)
    own = all(entry.protocol is not None for entry in entries.values())
    return OpenedSets(sets, None if own else default, missing)


def scored_set(dataset: Any, protocol: Protocol, inference: str = "", entry: TestSet | None = None) -> ScoredSet:
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
    used = {net for kind in found.values() for net in kind.networks()}
    protocols = {}
    for name, place in places.items():
        # What nobody uses goes to all, which refuse it in words.
        chosen = {
            net: file for net, file in settings.backbones.items() if net in found[name].networks() or net not in used
        }
        protocols[name] = get_protocol(name, place, backbones=chosen, single=settings.single)
        protocols[name].to(device)
    describe_metrics(protocols.values())
    return protocols


def describe_metrics(protocols: Iterable[Protocol]) -> dict[str, dict[str, Any]]:
    """Returns, of each score that the protocols give, its ``unit`` and whether higher is better.

    Raises:
        UserError: Two protocols give scores of one name that are read in different ways.
    """
    described: dict[str, dict[str, Any]] = {}
    for protocol in protocols:
        for name, component in protocol.metrics.items():
            metric = METRICS.get(str(component["type"]))
            unit, better = getattr(metric, "unit", ""), getattr(metric, "higher_is_better", True)
            facts = described.setdefault(name, {"unit": unit, "higher_is_better": better})
            if facts != {"unit": unit, "higher_is_better": better}:
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
        listed = ", ".join(known)
        raise UserError(
            *(f"no test set is named {name!r}{did_you_mean(name, known)}; known: {listed}" for name in unknown)
        )
    return {name: known[name] for name in (names or known)}


def _open_datasets(entries: Mapping[str, TestSet], required: bool) -> tuple[dict[str, Any], list[str]]:
    """Returns the sets that are there, and a line for each that is not.

    Raises:
        UserError: One is not in order; or is missing, where all are required; or none is there.
    """
    opened: dict[str, Any] = {}
    missing: list[str] = []
    problems: list[str] = []
    for name, entry in entries.items():
        try:
            opened[name] = build_dataset(entry, f"datasets.test.{name}")
        except MissingSetError as error:
            missing.append(f"{name}: not scored, its data are not here: {error.brief}")
            problems += error.problems
    if problems and (required or not opened):
        raise UserError(*problems)
    return opened, missing


def _kept_protocols(entries: Mapping[str, TestSet], asked: str | None) -> list[str]:
    """Says which sets keep a protocol of their own although another was asked for."""
    kept = [f"{name} keeps {entry.protocol}" for name, entry in entries.items() if entry.protocol not in (None, asked)]
    return [f"--protocol {asked} is for test sets that name none: {', '.join(kept)}"] if asked and kept else []
