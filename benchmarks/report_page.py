"""How long ``report.html`` takes to open in a browser, and how large it is.

A page of 1111 images, each with a thumbnail of its own, and a dozen full-resolution crops is written and opened from
disk in headless Chromium. Timed is what a reader waits for: from the start of the navigation to the load event, and to
the first picture and the first rows of the table of images being drawn. The page is opened once to warm up; the medians
are of five further openings, each in a fresh browser context.

The images are crops of photographs that scikit-image ships, blurred by a Gaussian; what stands for restorations are
unsharp masks of two strengths. Nothing of it says anything about deblurring.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data

from deblurkit.evaluation.comparison import compare
from deblurkit.evaluation.showcase import MOST_PICTURES, make_pictures, thumbnail
from deblurkit.evaluation.statistics import interval
from deblurkit.metrics.psnr import PSNR
from deblurkit.metrics.ssim import SSIM
from deblurkit.report.model import PageContent, Paper, Picture, PublishedRow
from deblurkit.report.page.page import page_html
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
)

IMAGES, OPENINGS = 1111, 5
SIZE = (128, 192)  # of the many images; the scores of larger ones take longer, the page does not
PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")
STRENGTHS = {"gentle": 0.7, "strong": 2.5}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SECONDS, MEGABYTES = 2.0, 25.0  # the claims
READY = "document.querySelector('#rows tr') && document.querySelector('#side-left img')?.naturalWidth"

Array = np.ndarray[Any, np.dtype[np.uint8]]


def browser_file() -> str | None:
    """Return the Chromium of this machine, ``DEBLURKIT_CHROMIUM`` before others; ``None`` where there is none."""
    named = os.environ.get("DEBLURKIT_CHROMIUM")
    return named or next(filter(None, map(shutil.which, BROWSERS)), None)


def sharp_images(count: int, size: tuple[int, int]) -> dict[str, Array]:
    """Cut ``count`` windows of one size out of the photographs, at most so large as they are, no two the same."""
    rng = np.random.default_rng(0)
    photographs = {name: getattr(skimage.data, name)() for name in PHOTOGRAPHS}
    images = {}
    for number in range(count):
        name = PHOTOGRAPHS[number % len(PHOTOGRAPHS)]
        photograph = photographs[name]
        height, width = (min(most, side) for most, side in zip(size, photograph.shape[:2], strict=True))
        top = rng.integers(photograph.shape[0] - height + 1)
        left = rng.integers(photograph.shape[1] - width + 1)
        images[f"{name}/{number:06d}"] = np.ascontiguousarray(photograph[top : top + height, left : left + width])
    return images


def blurred(sharp: Array, key: str) -> Array:
    """Blur an image by a Gaussian whose width depends on its key, and add a sensor's noise."""
    rng = np.random.default_rng(list(key.encode()))
    smooth = cv2.GaussianBlur(sharp, (0, 0), rng.uniform(0.6, 2.4)).astype(np.float64)
    return np.clip(smooth + rng.normal(0, 1.5, smooth.shape) + 0.5, 0, 255).astype(np.uint8)


def sharpened(image: Array, strength: float) -> Array:
    """Add ``strength`` times what a blur takes away."""
    return np.asarray(cv2.addWeighted(image, 1 + strength, cv2.GaussianBlur(image, (0, 0), 1.5), -strength, 0))


class Demo:
    """One data set of images, and what its candidates made of them."""

    def __init__(self, count: int, size: tuple[int, int], candidates: Sequence[str]) -> None:
        self.sharp = sharp_images(count, size)
        self.blurred = {key: blurred(image, key) for key, image in self.sharp.items()}
        self.candidates = candidates

    def load(self, panel: str, key: str) -> Array:
        """Return one image by its panel's name, as the page's pictures are made from it."""
        if panel.startswith("restored/"):
            return sharpened(self.blurred[key], STRENGTHS[panel.removeprefix("restored/")])
        return {"blurred": self.blurred, "sharp": self.sharp}[panel][key]

    def rows(self, candidate: str) -> list[ImageScore]:
        """Return one candidate's scores."""
        metrics = {"psnr": PSNR(), "ssim": SSIM()}
        rng = np.random.default_rng(1)
        rows = []
        for key, sharp in self.sharp.items():
            images = (self.blurred[key], self.load(f"restored/{candidate}", key))
            before, after = ({name: metric(image, sharp) for name, metric in metrics.items()} for image in images)
            rows.append(ImageScore(key, before, after, float(rng.gamma(40, 0.002))))
        return rows


def content(sets: Mapping[str, Demo], most: Mapping[str, int], title: str) -> PageContent:
    """Return a page's content: scores, thumbnails and at ``most`` so many pictures of data sets, by their names."""
    names = next(iter(sets.values())).candidates
    rows = {name: {dataset: demo.rows(name) for dataset, demo in sets.items()} for name in names}
    candidates = [result_of(name, rows[name]) for name in names]
    pictures: dict[str, list[Picture]] = {}
    for dataset, demo in sets.items():
        shown = {name: rows[name][dataset] for name in names}
        pictures[dataset] = make_pictures(shown, demo.load, most=most[dataset])
    thumbnails = {
        dataset: {key: thumbnail(demo.load(f"restored/{names[0]}", key)) for key in demo.sharp}
        for dataset, demo in sets.items()
    }
    return PageContent(
        title,
        candidates,
        compare(candidates),
        pictures,
        thumbnails,
        protocol="Images are rounded to 8 bits.\nPSNR over all pixels and channels; the mean over images.",
        command="python benchmarks/report_page.py --keep report.html",
        options="name: unsharp_mask\nstrength: 0.7\n",
        paper=Paper("No paper", {}, [PublishedRow("Someone's", "photographs", {"psnr": 27.5})]),
    )


def result_of(name: str, rows: Mapping[str, Sequence[ImageScore]]) -> CandidateResult:
    """Return what an evaluation would say of a candidate."""
    return CandidateResult(
        name=name,
        metrics={"psnr": ScoreKind("dB"), "ssim": ScoreKind()},
        weights=None,
        restored=RestoredFolder(f"unsharp mask, strength {STRENGTHS[name]}"),
        trained_on=None,
        date=None,
        environment={"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()},
        datasets={dataset: figures_of(images) for dataset, images in rows.items()},
        notes=["Gaussian blur and unsharp masks: a demonstration of the page, not of deblurring"],
        rows=rows,
    )


def figures_of(rows: Sequence[ImageScore]) -> DatasetResult:
    """Return what an evaluation would say of a data set."""
    before, after = mean([row.blurred or {} for row in rows]), mean([row.restored or {} for row in rows])
    seconds = [row.seconds or 0.0 for row in rows]
    photographs = dict.fromkeys(row.key.split("/")[0] for row in rows)
    return DatasetResult(
        protocol=ProtocolReference("gopro-basicsr-v1", 1),
        inference="whole",
        images=len(rows),
        scored=len(rows),
        blurred=before,
        restored=after,
        gain={metric: after[metric] - before[metric] for metric in after},
        intervals=Intervals(
            blurred=intervals({metric: [(row.blurred or {})[metric] for row in rows] for metric in after}),
            restored=intervals({metric: [(row.restored or {})[metric] for row in rows] for metric in after}),
            gain=intervals({metric: [row.gain(metric) or 0.0 for row in rows] for metric in after}),
        ),
        seconds_per_image=SecondsPerImage(statistics.median(seconds), float(np.quantile(seconds, 0.95))),
        seconds=SecondsSpent(0.11 * sum(seconds), sum(seconds), 0.4 * sum(seconds)),
        groups={"photograph": {name: group_of(rows, name) for name in photographs}},
        inference_used={"whole": len(rows)},
        data={"set": "crops of photographs from scikit-image", "blur": "Gaussian, 0.6 to 2.4 pixels"},
    )


def intervals(values: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, float]]:
    """Return the intervals of means that have one."""
    found = {metric: interval(listed) for metric, listed in values.items()}
    return {metric: ends for metric, ends in found.items() if ends is not None}


def group_of(rows: Sequence[ImageScore], name: str) -> Means:
    """Return the means over the crops of one photograph."""
    own = [row for row in rows if row.key.startswith(f"{name}/")]
    return Means(len(own), mean([row.blurred or {} for row in own]), mean([row.restored or {} for row in own]))


def mean(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return each metric's mean."""
    return {metric: statistics.fmean(one[metric] for one in scores) for metric in scores[0]}


def opening_times(page: Path, browser: str, openings: int) -> tuple[str, list[dict[str, float]]]:
    """Open a page once, then ``openings`` times; return Chromium's version, and seconds to ``load`` and ``ready``."""
    from playwright.sync_api import sync_playwright

    times = []
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        chromium = playwright.chromium.launch(executable_path=browser, args=arguments)
        for _ in range(openings + 1):
            context = chromium.new_context(viewport={"width": 1280, "height": 900})
            tab = context.new_page()
            tab.goto(page.as_uri(), wait_until="load")
            ready = tab.wait_for_function(f"() => {READY} > 0 && performance.now()").json_value()
            load = tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
            times.append({"load": load / 1000, "ready": ready / 1000})
            context.close()
        version = chromium.version
        chromium.close()
    return version, times[1:]


def main() -> int:
    """Measure, print, write, and say by the exit code whether the claims held."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    parser.add_argument("--keep", type=Path, help="where to keep the page")
    parser.add_argument("--tiny", action="store_true", help="a page of a few images, opened twice")
    arguments = parser.parse_args()
    browser = browser_file()
    if browser is None:
        print("no Chromium found: install one, or name it with DEBLURKIT_CHROMIUM", file=sys.stderr)
        return 2
    pictures, images, openings = (2, 8, 1) if arguments.tiny else (MOST_PICTURES, IMAGES, OPENINGS)
    names = list(STRENGTHS)
    sets = {"photographs": Demo(pictures, (400, 600), names), "crops": Demo(images, SIZE, names)}
    with tempfile.TemporaryDirectory() as folder:
        page = arguments.keep or Path(folder) / "report.html"
        shown = content(sets, {"photographs": pictures, "crops": 0}, "Two unsharp masks")
        page.write_text(page_html(shown), encoding="utf-8")
        megabytes = page.stat().st_size / 1e6
        version, times = opening_times(page.absolute(), browser, openings)
    medians = {what: statistics.median(time[what] for time in times) for what in times[0]}
    held = medians["ready"] < SECONDS and megabytes < MEGABYTES
    figures = {
        "images": {name: len(demo.sharp) for name, demo in sets.items()},
        "full_resolution_crops": sum(map(len, shown.pictures.values())),
        "megabytes": round(megabytes, 2),
        "seconds_to": {what: round(seconds, 3) for what, seconds in medians.items()},
        "each": [{what: round(seconds, 3) for what, seconds in time.items()} for time in times],
        "chromium": version,
        "cores": os.cpu_count(),
        "held": held,
    }
    print(json.dumps(figures, indent=2))
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
