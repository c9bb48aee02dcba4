"""The page's pictures: which images, which part of them, how large, and what an error map says."""

from __future__ import annotations

import io
import math

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from deblurkit.data.images import decode_image
from deblurkit.evaluation.showcase import MOST_PICTURES, corner, error_map, make_pictures, pictures_per_set, thumbnail
from deblurkit.report.plots import ERROR_LEVELS, error_colours
from deblurkit.results import ImageScore

SHARP = skimage.data.astronaut()
BLURRED = cv2.GaussianBlur(SHARP, (0, 0), 2)


def rows(gains: dict[str, float], before: float = 25.0) -> list[ImageScore]:
    return [ImageScore(key, {"psnr": before}, {"psnr": before + gain}, 0.1) for key, gain in gains.items()]


def load(panel: str, key: str) -> np.ndarray:
    return {"blurred": BLURRED, "sharp": SHARP}.get(panel, cv2.GaussianBlur(SHARP, (0, 0), 1))


def load_small(panel: str, key: str) -> np.ndarray:
    return np.ascontiguousarray(load(panel, key)[100:150, 200:280])


def chosen(**candidates: list[ImageScore]) -> dict[str, str]:
    return {picture.key: picture.title for picture in make_pictures(candidates, load_small, most=5)}


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
def test_thumbnails_are_small_and_keep_the_shape(name: str):
    image = getattr(skimage.data, name)()
    small = thumbnail(image)
    assert len(small) < 6000
    with Image.open(io.BytesIO(small)) as opened:
        assert max(opened.size) == 128
        assert opened.size[0] / opened.size[1] == pytest.approx(image.shape[1] / image.shape[0], rel=0.02)
    assert len(thumbnail(image[:1, :1])) > 0


def test_one_candidate_shows_its_greatest_smallest_and_median_gain_and_its_worst():
    images = rows({"a": 0.5, "b": 2.0, "c": -1.0, "d": 0.7}) + rows({"e": 0.9}, before=10.0)
    assert chosen(net=images) == {
        "b": "greatest gain",
        "c": "smallest gain",
        "d": "median gain",
        "e": "worst psnr",
        "a": "smallest gain, next",
    }


def test_where_lower_is_better_the_greatest_gain_is_the_greatest_fall():
    images = [ImageScore(key, {"lpips": 0.4}, {"lpips": 0.4 - fall}, 0.1) for key, fall in {"a": 0.1, "b": 0.3}.items()]
    first = make_pictures({"net": images}, load_small, metric="lpips", higher_is_better=False, most=1)[0]
    assert (first.key, first.title) == ("b", "greatest gain")


def test_two_candidates_show_where_each_is_ahead_first():
    first, second = rows({"a": 1.0, "b": 2.0, "c": 0.0}), rows({"a": 0.5, "b": 3.0, "c": 0.0})
    titles = list(chosen(A=first, B=second).items())
    assert titles[:2] == [("a", "A ahead of B"), ("b", "B ahead of A")]


def test_three_candidates_show_the_greatest_difference_first():
    sides = [rows({"a": 1.0, "b": gain, "c": math.inf}) for gain in (0.0, 1.0, 5.0)]
    assert next(iter(chosen(A=sides[0], B=sides[1], C=sides[2]).items())) == ("b", "greatest difference")


def test_without_scores_the_first_images_are_shown():
    unscored = [ImageScore(key, None, None, 0.1) for key in "abcdefgh"]
    assert list(chosen(net=unscored)) == list("abcde")


def test_no_picture_where_nothing_was_restored():
    assert make_pictures({"net": rows({"a": 1.0})}, lambda panel, key: None) == []
    assert make_pictures({"net": []}, load) == []


@pytest.mark.parametrize(("sets", "each"), [(0, 12), (1, 12), (5, 2), (40, 0)])
def test_all_sets_together_show_a_dozen(sets: int, each: int):
    assert pictures_per_set(sets) == each
    assert sets * each <= MOST_PICTURES


def test_panels_are_lossless_and_of_the_same_place():
    (picture,) = make_pictures({"net": rows({"a": 1.0})}, load)
    top, left = picture.corner
    panels = {name: decode_image(data, name) for name, data in picture.panels.items()}
    assert list(panels) == ["blurred", "sharp", "restored/net"]
    assert list(picture.errors) == ["blurred", "restored/net"]
    for name, crop in panels.items():
        height, width = crop.shape[:2]
        assert (crop == load(name, "a")[top : top + height, left : left + width]).all()
    assert picture.size == (512, 512)
    assert panels["sharp"].shape == (400, 512, 3)


def test_the_crop_lies_where_restorations_differ():
    spoiled = BLURRED.copy()
    spoiled[300:340, 420:460] = 255
    images = {"blurred": BLURRED, "sharp": SHARP, "restored/net": spoiled}
    top, left = corner(images, (100, 100))
    assert 240 <= top <= 300
    assert 360 <= left <= 420
    without_truth = {name: image for name, image in images.items() if name != "sharp"}
    assert corner(without_truth, (40, 40)) == (300, 420)
    assert corner({"restored/net": spoiled}, (512, 512)) == (0, 0)


def test_the_crop_of_several_lies_where_they_differ_from_each_other():
    spoiled = SHARP.copy()
    spoiled[10:50, 10:50] = 0
    both_wrong, one_wrong = spoiled.copy(), spoiled.copy()
    one_wrong[400:440, 60:100] = 255 - one_wrong[400:440, 60:100]
    images = {"blurred": BLURRED, "sharp": SHARP, "restored/a": both_wrong, "restored/b": one_wrong}
    assert corner(images, (40, 40)) == (400, 60)


def test_noise_makes_the_crop_smaller_not_the_page_larger():
    noise = np.random.default_rng(0).integers(0, 256, (500, 700, 3), np.uint8)
    sizes = []
    for most in (1, 12):
        (picture,) = make_pictures({"net": rows({"a": 1.0})}, lambda panel, key: noise, most=most)
        assert sum(map(len, [*picture.panels.values(), *picture.errors.values()])) < most * 1_100_000
        sizes.append(decode_image(picture.panels["sharp"], "sharp").shape)
    assert sizes == [(256, 384, 3), (400, 600, 3)]


def test_what_has_another_size_is_left_out():
    images = {"blurred": BLURRED, "sharp": SHARP[:100, :100]}
    (picture,) = make_pictures({"net": rows({"a": 1.0})}, lambda panel, key: images.get(panel, SHARP))
    assert list(picture.panels) == ["blurred", "restored/net"]
    assert picture.errors == {}


def test_an_error_map_shows_the_mean_difference_in_steps_of_a_level():
    sharp = np.full((1, 5, 3), 100, np.uint8)
    image = sharp.copy()
    image[0, :, 0] += np.array([0, 3, 0, 0, 0], np.uint8)  # a third of it in the mean: one level
    image[0, 2] = 100 - ERROR_LEVELS // 2
    image[0, 3] = 100 + ERROR_LEVELS
    image[0, 4] = 255
    shades = [0, round(255 / ERROR_LEVELS), round(255 / 2), 255, 255]
    assert (error_map(image, sharp)[0] == error_colours()[shades]).all()
