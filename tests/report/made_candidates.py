"""Candidates with made-up scores, described as ``metrics.json`` does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from deblurkit.report.model import Candidate, PageContent
from deblurkit.report.scores import ImageScore
from deblurkit.report.statistics import interval
from deblurkit.report.write import plain

SCALES = {
    "psnr": {"higher_is_better": True, "unit": "dB"},
    "ssim": {"higher_is_better": True, "unit": ""},
    "lpips": {"higher_is_better": False, "unit": ""},
}
PAPER = {
    "title": "Blur & how_to",
    "published": {},
    "compared": [
        {"method": "Nah", "dataset": "gopro", "psnr": 29.08, "ssim": 0.9135},
        {"method": "A|B", "dataset": "gopro", "psnr": 27, "seconds": 0.85},
    ],
}


def candidate(
    name: str,
    rows: Mapping[str, Sequence[ImageScore]],
    protocol: Mapping[str, Any] | None = None,
    inference: str | None = "whole",
    **changed: Any,
) -> Candidate:
    """Describe ``rows`` as an evaluation would, all sets by one protocol; ``changed`` replaces what it says of all."""
    metrics = {
        "name": name,
        "metrics": SCALES,
        "weights": {"file": "w.pth", "sha256": "0" * 64, "iteration": 5, "ema": False},
        "restored": None,
        "trained_on": {"set": "GoPro", "variant": "linear"},
        "environment": {"device": "cpu (a|b)"},
        "datasets": {
            dataset: entry(images, inference=inference, **({} if protocol is None else {"protocol": protocol}))
            for dataset, images in rows.items()
        },
        "notes": [],
        **changed,
    }
    return Candidate(name, plain(metrics), rows)


def entry(rows: Sequence[ImageScore], **changed: Any) -> dict[str, Any]:
    """Return what ``metrics.json`` says of one data set."""
    scored = [row for row in rows if row.restored]
    sides = {side: columns([getattr(row, side) or {} for row in scored]) for side in ("blurred", "restored")}
    sides["gain"] = columns(
        [{name: gain for name in row.restored or {} if (gain := row.gain(name)) is not None} for row in scored]
    )
    blurred, restored = (mean([getattr(row, side) or {} for row in scored]) for side in ("blurred", "restored"))
    return {
        "protocol": {"id": "gopro-basicsr-v1", "version": 1},
        "inference": "whole",
        "images": len(rows),
        "scored": len(scored),
        "blurred": blurred or None,
        "restored": restored or None,
        "gain": {name: restored[name] - blurred[name] for name in restored if name in blurred} or None,
        "intervals": {side: ends(values) for side, values in sides.items()},
        "published": None,
        "seconds_per_image": {"median": 0.25, "p95": 0.475},
        "seconds": {"decode": 0.04, "network": 1.0, "metrics": 0.5, "wall": 1.25},
        "groups": {},
        "inference_used": {"whole": len(rows)},
        "data": {"set": "GoPro", "variant": "gamma", "images": 3},
        **changed,
    }


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


def content_of(*candidates: Candidate, **changed: Any) -> PageContent:
    """What a page of the candidates shows, without pictures."""
    plain_facts: dict[str, Any] = {"title": ", ".join(each.name for each in candidates), "comparison": None}
    plain_facts |= {"pictures": {}, "thumbnails": {}, "protocol": "explained"}
    plain_facts |= {"command": "deblurkit test --weights w.pth"}
    return PageContent(candidates=candidates, **{**plain_facts, **changed})
