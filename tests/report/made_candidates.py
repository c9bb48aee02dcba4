"""Candidates with made-up scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from deblurkit.evaluation.comparison import compare
from deblurkit.evaluation.statistics import interval
from deblurkit.report.model import PageContent, Paper, PublishedRow
from deblurkit.results import (
    CandidateResult,
    DatasetResult,
    ImageScore,
    Intervals,
    Means,
    ProtocolReference,
    RestoredFolder,
    ScoreKind,
    SecondsPerImage,
    SecondsSpent,
    Weights,
)

SCALES = {"psnr": ScoreKind("dB"), "ssim": ScoreKind(), "lpips": ScoreKind(higher_is_better=False)}
PROTOCOL = ProtocolReference("gopro-basicsr-v1", 1)
PAPER = Paper(
    "Blur & how_to",
    {},
    [
        PublishedRow("Nah", "gopro", {"psnr": 29.08, "ssim": 0.9135}),
        PublishedRow("A|B", "gopro", {"psnr": 27, "seconds": 0.85}),
    ],
)


def candidate(
    name: str,
    rows: Mapping[str, Sequence[ImageScore]],
    protocol: ProtocolReference = PROTOCOL,
    inference: str | None = "whole",
    **changed: Any,
) -> CandidateResult:
    """Describe ``rows`` as an evaluation would, all sets by one protocol; ``changed`` replaces what it says of all."""
    datasets = {dataset: entry(images, inference=inference, protocol=protocol) for dataset, images in rows.items()}
    described: dict[str, Any] = {
        "metrics": SCALES,
        "weights": Weights("w.pth", "0" * 64, 5, False),
        "restored": None,
        "trained_on": {"set": "GoPro", "variant": "linear"},
        "date": None,
        "environment": {"device": "cpu (a|b)"},
        "datasets": datasets,
        "notes": [],
    }
    return CandidateResult(name=name, rows=rows, **{**described, **changed})


def in_folder(folder: str) -> dict[str, Any]:
    """Return what is said of a candidate whose images lie in a folder."""
    return {"weights": None, "restored": RestoredFolder(folder), "trained_on": None}


def entry(rows: Sequence[ImageScore], **changed: Any) -> DatasetResult:
    """Return what is known of one data set."""
    scored = [row for row in rows if row.restored]
    sides = {side: columns([getattr(row, side) or {} for row in scored]) for side in ("blurred", "restored")}
    sides["gain"] = columns(
        [{name: gain for name in row.restored or {} if (gain := row.gain(name)) is not None} for row in scored]
    )
    blurred, restored = (mean([getattr(row, side) or {} for row in scored]) for side in ("blurred", "restored"))
    described: dict[str, Any] = {
        "protocol": PROTOCOL,
        "inference": "whole",
        "images": len(rows),
        "scored": len(scored),
        "blurred": blurred or None,
        "restored": restored or None,
        "gain": {name: restored[name] - blurred[name] for name in restored if name in blurred} or None,
        "intervals": Intervals(**{side: ends(values) for side, values in sides.items()}),
        "seconds_per_image": SecondsPerImage(0.25, 0.475),
        "seconds": SecondsSpent(0.04, 1.0, 0.5, 1.25),
        "inference_used": {"whole": len(rows)},
        "data": {"set": "GoPro", "variant": "gamma", "images": 3},
    }
    return DatasetResult(**{**described, **changed})


def videos(ssim: float) -> dict[str, Means]:
    """Return the means of two groups."""
    return {name: Means(1, {"psnr": 26.0, "ssim": ssim}, {"psnr": 27.5, "ssim": ssim + 0.0625}) for name in ("a", "b")}


def mean(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: math.fsum(values) / len(values) for name, values in columns(scores).items()}


def columns(scores: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    names = dict.fromkeys(name for score in scores for name in score)
    return {name: [score[name] for score in scores if name in score] for name in names}


def ends(values: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    found = {name: interval(listed) for name, listed in values.items()}
    return {name: bounds for name, bounds in found.items() if bounds is not None}


def images(psnr: Sequence[float], lpips: Sequence[float] | None = None, blurred: float = 20.0) -> list[ImageScore]:
    """Return one scored image for each PSNR."""
    far = lpips or [0.5] * len(psnr)
    return [
        ImageScore(f"{index:02}", {"psnr": blurred, "lpips": 0.5}, {"psnr": value, "lpips": distance}, 0.1)
        for index, (value, distance) in enumerate(zip(psnr, far, strict=True))
    ]


def content_of(*candidates: CandidateResult, **changed: Any) -> PageContent:
    """What a page of the candidates shows, without pictures."""
    shown: dict[str, Any] = {"title": ", ".join(each.name for each in candidates), "comparison": compare(candidates)}
    shown |= {"pictures": {}, "thumbnails": {}, "protocol": "explained"}
    shown |= {"command": "deblurkit test --weights w.pth"}
    return PageContent(candidates=candidates, **{**shown, **changed})
