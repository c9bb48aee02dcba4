"""Model cards: what a network in the box is, what it was trained on, what it can do and what it cannot.

A card is written by hand, ``NAME.yml``; its scores are taken from reports of ``deblurkit test`` and lie beside it in
``NAME.scores.json``, so that no number in a card was typed.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from deblurkit.errors import UserError, did_you_mean, one_line
from deblurkit.results import DatasetResult, Facts, ScoreKind, Weights
from deblurkit.weights import box


@dataclass(frozen=True)
class DataSource:
    """Photographs that a network was trained on: what they are, their licence, and where they come from."""

    what: str
    licence: str
    source: str


@dataclass(frozen=True)
class Measured:
    """One data set's results, as a report states them.

    Attributes:
        result: Mean scores with their intervals, the protocol and the inference mode.
        metrics: How each score is read.
        weights: Which file restored the images, with its digest.
        harmed: How many images have a lower PSNR than before; ``None`` where PSNR is not scored.
        environment: With which software and on which device.
    """

    result: DatasetResult
    metrics: Mapping[str, ScoreKind]
    weights: Weights
    harmed: int | None
    environment: Facts


@dataclass(frozen=True)
class Score:
    """A score that a card states, or will.

    Attributes:
        what: The images, in words.
        dataset: Their name in the report.
        command: What to run to get the score again.
    """

    what: str
    dataset: str
    command: str


@dataclass(frozen=True)
class Card:
    """A model card.

    Attributes:
        summary: One line for lists.
        placeholder: Whether the weights only stand in for others that are still being trained.
        what: What the network is and does, and how it is meant to be used.
        licence: Of the weights.
        data: What it was trained on.
        recipe: The command that trains it.
        protocol: How it was scored, and on which images it was chosen.
        scores: What is scored, by a name of its own.
        limits: What it cannot do.
        failures: How it fails where it does.
        measured: The scores that were measured, by the same names; a score that is missing here was not.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    summary: str
    placeholder: bool
    what: str
    licence: str
    data: tuple[DataSource, ...]
    recipe: str
    protocol: str
    scores: Mapping[str, Score]
    limits: tuple[str, ...]
    failures: tuple[str, ...]
    measured: Mapping[str, Measured] = dataclasses.field(default_factory=dict)


def read_card(name: str) -> Card:
    """Returns the card of a network in the box.

    Raises:
        UserError: There is no network of this name.
    """
    card = card_of(box.file_of(name).with_suffix(".yml"))
    scores = scores_file(name)
    if not scores.is_file():
        return card
    written = json.loads(scores.read_text(encoding="utf-8"))
    return dataclasses.replace(card, measured=TypeAdapter(Mapping[str, Measured]).validate_python(written))


def card_of(file: Path) -> Card:
    """Reads what was written of a network by hand, its scores left out.

    Raises:
        UserError: The file cannot be read, or is no card; names the key.
    """
    try:
        written = YAML(typ="safe", pure=True).load(file)
        return TypeAdapter(Card).validate_python(written)
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from None
    except YAMLError as error:
        raise UserError(f"{file}: is no YAML: {one_line(error)}") from None
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        raise UserError(f"{file}: {'.'.join(map(str, detail['loc']))}: {detail['msg']}") from None


def with_reports(card: Card, reports: Sequence[Path], weights: Path) -> Card:
    """Returns a card with the scores of all data sets in the reports of a network, each under its name there.

    Raises:
        UserError: A folder holds no report, or one of other weights than those in ``weights``.
    """
    from deblurkit.torchfile.read import digest  # here: cards are shown without torch

    scores, measured = dict(card.scores), dict(card.measured)
    ours = digest(weights)
    for report in reports:
        for dataset in _datasets_in(report):
            found = measured_in(report, dataset)
            if found.weights.sha256 != ours:
                raise UserError(f"{report}: scores of {found.weights.file}, not of {weights}")
            scores.setdefault(dataset, Score(dataset, dataset, f"deblurkit test --weights FILE --dataset {dataset}"))
            measured[dataset] = found
    return dataclasses.replace(card, scores=scores, measured=measured)


def scores_file(name: str) -> Path:
    """Returns the file of the measured scores of a network in the box; it need not exist."""
    return box.file_of(name).with_suffix(".scores.json")


def measured_in(report: Path, dataset: str) -> Measured:
    """Reads one data set's results from the folder of a report of ``deblurkit test``.

    Raises:
        UserError: The folder holds no report of one network, or none of this data set.
    """
    metrics = _metrics_in(report)
    with open(report / "per_image.csv", encoding="utf-8", newline="") as rows:
        images = [row for row in csv.DictReader(rows) if row["dataset"] == dataset]
    if dataset not in metrics["datasets"]:
        raise UserError(f"{report}: no data set is named {dataset!r}{did_you_mean(dataset, metrics['datasets'])}")
    # An image that has no PSNR, such as one without a sharp counterpart, is neither harmed nor spared.
    pairs = [(row.get("psnr_blurred"), row.get("psnr_restored")) for row in images]
    scored = [(float(before), float(after)) for before, after in pairs if before and after]
    harmed = sum(after < before for before, after in scored) if scored else None
    found = {
        "result": {**metrics["datasets"][dataset], "data": None},  # where the images lie is nobody else's business
        "metrics": metrics["metrics"],
        "weights": metrics["weights"],
        "harmed": harmed,
        "environment": metrics["environment"],
    }
    return TypeAdapter(Measured).validate_python(found)


def _datasets_in(report: Path) -> list[str]:
    return list(_metrics_in(report)["datasets"])


def _metrics_in(report: Path) -> dict[str, Any]:
    try:
        metrics: dict[str, Any] = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
        (report / "per_image.csv").stat()
    except (OSError, ValueError) as error:
        raise UserError(f"{report}: expected the report of one network, with metrics.json: {error}") from None
    if metrics["weights"] is None:
        raise UserError(f"{report}: expected the report of a network, got one of restored images")
    return metrics
