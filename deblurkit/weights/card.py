"""Model cards: what a network in the box is, what it was trained on, what it can do and what it cannot.

A card is written by hand, ``NAME.yml``; its scores are taken from reports of ``deblurkit test`` and lie beside it in
``NAME.scores.json``, so that no number in a card was typed.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter
from ruamel.yaml import YAML

from deblurkit.errors import UserError, did_you_mean
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
    file = box.file_of(name).with_suffix(".yml")
    written = YAML(typ="safe", pure=True).load(file)
    scores = scores_file(name)
    if scores.is_file():
        written["measured"] = json.loads(scores.read_text(encoding="utf-8"))
    return TypeAdapter(Card).validate_python(written)


def scores_file(name: str) -> Path:
    """Returns the file of the measured scores of a network in the box; it need not exist."""
    return box.file_of(name).with_suffix(".scores.json")


def measured_in(report: Path, dataset: str) -> Measured:
    """Reads one data set's results from the folder of a report of ``deblurkit test``.

    Raises:
        UserError: The folder holds no report of one network, or none of this data set.
    """
    try:
        metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
        with open(report / "per_image.csv", encoding="utf-8", newline="") as rows:
            images = [row for row in csv.DictReader(rows) if row["dataset"] == dataset]
    except (OSError, ValueError) as error:
        raise UserError(f"{report}: expected the report of one network, with metrics.json: {error}") from None
    if metrics["weights"] is None:
        raise UserError(f"{report}: expected the report of a network, got one of restored images")
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
