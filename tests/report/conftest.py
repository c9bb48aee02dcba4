"""Contents of a report's page, made of photographs as the benchmark makes them, and the pages made of them."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from deblurkit.evaluation.showcase import MOST_PICTURES, make_pictures, thumbnail
from deblurkit.report.model import PageContent
from deblurkit.report.page.page import page_html
from deblurkit.results import ImageScore

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from report_page import Demo, content, sharp_images


@pytest.fixture(scope="session")
def one() -> PageContent:
    """One candidate on two data sets."""
    sets = {"photographs": Demo(30, (120, 180), ["gentle"]), "small": Demo(4, (40, 60), ["gentle"])}
    made = content(sets, {"photographs": 4, "small": 1}, "An unsharp mask")
    (own,) = made.candidates
    photographs = dataclasses.replace(own.datasets["photographs"], published={"psnr": 30.2, "ssim": 0.93})
    own = dataclasses.replace(own, datasets={**own.datasets, "photographs": photographs})
    return dataclasses.replace(made, candidates=[own])


@pytest.fixture(scope="session")
def two() -> PageContent:
    """Two candidates on one data set."""
    return content({"photographs": Demo(12, (120, 180), ["gentle", "strong"])}, {"photographs": 3}, "Two unsharp masks")


@pytest.fixture(scope="session")
def many(two: PageContent) -> PageContent:
    """Two candidates on 1111 images, each with a thumbnail of its own, and a dozen crops of the largest size."""
    crops = sharp_images(1111, (96, 144))

    def rows(known: list[ImageScore]) -> list[ImageScore]:
        """Scores that are all different, from those of a few images."""
        found = []
        for number, key in enumerate(crops):
            row, shift = known[number % len(known)], number / 1000
            assert row.restored is not None
            restored = {metric: value + shift for metric, value in row.restored.items()}
            found.append(dataclasses.replace(row, key=key, restored=restored))
        return found

    large = Demo(2, (400, 600), ["gentle", "strong"])
    key = list(large.sharp)[-1]  # the photograph of 400 x 600 pixels
    unscored = {name: [ImageScore(key, None, None, None)] for name in large.candidates}
    (picture,) = make_pictures(unscored, large.load, most=1)  # as small as each of a dozen must be
    candidates = [
        dataclasses.replace(candidate, rows={"photographs": rows(list(candidate.rows["photographs"]))})
        for candidate in two.candidates
    ]
    pictures = [dataclasses.replace(picture, key=key) for key in list(crops)[:MOST_PICTURES]]
    thumbnails = {"photographs": {key: thumbnail(image) for key, image in crops.items()}}
    return dataclasses.replace(two, candidates=candidates, pictures={"photographs": pictures}, thumbnails=thumbnails)


@pytest.fixture(scope="session")
def one_page(one: PageContent) -> str:
    """The page of one candidate."""
    return page_html(one)


@pytest.fixture(scope="session")
def two_page(two: PageContent) -> str:
    """The page of two candidates."""
    return page_html(two)


@pytest.fixture(scope="session")
def many_page(many: PageContent) -> str:
    """The page of 1111 images."""
    return page_html(many)
