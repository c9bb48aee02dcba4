from __future__ import annotations

import cv2
import numpy as np
import pytest

from deblurkit.data.colour import ColourJitter

STILL = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}


def _changed(image: np.ndarray, seed: int = 0, **arguments: float) -> np.ndarray:
    return ColourJitter(**STILL | arguments)({"blurred": image}, np.random.default_rng(seed))["blurred"].astype(float)


def test_nothing_drawn_is_nothing_changed(photograph: np.ndarray) -> None:
    np.testing.assert_array_equal(_changed(photograph), photograph)


def test_each_factor_does_what_it_is_called(photograph: np.ndarray) -> None:
    image = (photograph.astype(np.uint16) // 2 + 60) * 257  # nothing is clipped, and 16 bits show fine changes
    grey = np.array([0.299, 0.587, 0.114])
    ratio = _changed(image, brightness=0.2) / image
    assert ratio.std() < 1e-3
    assert 0.8 <= ratio.mean() <= 1.2

    more = _changed(image, contrast=0.2)
    middle = (image @ grey).mean()
    assert (more @ grey).mean() == pytest.approx(middle, rel=1e-4)
    slope = np.polyfit(image.ravel(), more.ravel(), 1)[0]
    assert 0.8 <= slope <= 1.2
    assert abs(slope - 1) > 0.01

    pale = _changed(image, saturation=1.0, seed=1)
    np.testing.assert_allclose(pale @ grey, image @ grey, atol=1.5)
    assert abs(pale.std(axis=2).mean() / image.std(axis=2).mean() - 1) > 0.05

    turned = _changed(image, hue=40)
    np.testing.assert_allclose(turned.sum(axis=2), image.sum(axis=2).astype(float), atol=3)
    distance = [np.linalg.norm(i - i.mean(axis=2, keepdims=True), axis=2) for i in (image.astype(float), turned)]
    np.testing.assert_allclose(distance[1], distance[0], rtol=1e-2, atol=3)


def test_all_orders_of_the_channels_come(photograph: np.ndarray) -> None:
    jitter = ColourJitter(**STILL, shuffle=True)
    orders = {jitter({"blurred": photograph}, np.random.default_rng(s))["blurred"][5, 5].tobytes() for s in range(60)}
    assert len(orders) == 6


def test_it_commutes_with_blurring(photograph: np.ndarray) -> None:
    sharp = photograph.astype(np.uint16) * 100 + 20000
    blurred = np.rint(cv2.GaussianBlur(sharp.astype(float), (0, 0), 2)).astype(np.uint16)
    for seed in range(5):
        pair = ColourJitter()({"blurred": blurred, "sharp": sharp}, np.random.default_rng(seed))
        expected = cv2.GaussianBlur(pair["sharp"].astype(float), (0, 0), 2)
        assert np.abs(expected - pair["blurred"]).max() < 3, "of 65535"


@pytest.mark.parametrize("wrong", [{"brightness": -0.1}, {"contrast": 2}, {"saturation": 1.1}, {"hue": 181}])
def test_wrong_arguments(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(wrong))}: got .*, expected a number from 0 to"):
        ColourJitter(**wrong)
