from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deblurkit.data.images import write_image
from deblurkit.data.loader import FirstImages
from deblurkit.data.mixing import CutBlur, Mixup
from deblurkit.data.paired import PairedImages
from deblurkit.errors import UserError


def _flat(value: int, shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    return np.full((*shape, 3), value, np.uint8)


def test_cutblur_is_one_rectangle_of_one_in_the_other() -> None:
    pair = {"blurred": _flat(100), "sharp": _flat(200)}
    inner = set()
    for seed in range(30):
        result = CutBlur(ratio=0.5, probability=1.0)(pair, np.random.default_rng(seed))
        np.testing.assert_array_equal(result["sharp"], pair["sharp"])
        mixed = result["blurred"][..., 0]
        value = 200 if (mixed == 200).sum() == 20 * 30 else 100
        rows, columns = np.nonzero(mixed == value)
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1, rows.size) == (20, 30, 600)
        assert set(np.unique(mixed)) == {100, 200}
        inner.add(value)
    assert inner == {100, 200}, "both ways round"


def test_cutblur_as_often_as_told_and_its_refusals() -> None:
    pair, rng = {"blurred": _flat(100), "sharp": _flat(200)}, np.random.default_rng(0)
    changed = sum(CutBlur(probability=0.3)(pair, rng) is not pair for _ in range(1000))
    assert 250 < changed < 350
    with pytest.raises(UserError, match="as many bits"):
        CutBlur()({**pair, "sharp": pair["sharp"].astype(np.uint16)}, rng)
    with pytest.raises(ValueError, match="ratio: got 0"):
        CutBlur(ratio=0)
    with pytest.raises(ValueError, match=r"probability: got 1\.5"):
        CutBlur(probability=1.5)


def test_mixup_blends_both_images_by_one_share() -> None:
    pair, other = ({"blurred": _flat(value), "sharp": _flat(value + 5)} for value in (0, 200))
    shares = []
    for seed in range(300):
        result = Mixup(alpha=1.0, probability=1.0)(pair, np.random.default_rng(seed), lambda: other)
        assert int(result["sharp"][0, 0, 0]) - int(result["blurred"][0, 0, 0]) == 5
        shares.append(result["blurred"][0, 0, 0] / 200)
    assert np.histogram(shares, 4, (0, 1))[0].min() > 50, "Beta(1, 1) is uniform"


def test_mixup_refusals() -> None:
    mixup, pair, rng = Mixup(probability=1.0), {"blurred": _flat(3)}, np.random.default_rng(0)
    with pytest.raises(UserError, match="this data set gives none"):
        mixup(pair, rng)
    with pytest.raises(UserError, match="got 40 x 60 uint8 and 40 x 50 uint8: put it after a crop"):
        mixup(pair, rng, lambda: {"blurred": _flat(3, (40, 50))})
    with pytest.raises(ValueError, match="alpha: got 0"):
        Mixup(alpha=0)


@pytest.fixture
def shades(tmp_path: Path) -> PairedImages:
    """Five pairs of one shade each, 10 to 50, that lighten from left to right."""
    for number in range(1, 6):
        for side in ("blur", "sharp"):
            (tmp_path / side).mkdir(exist_ok=True)
            write_image(tmp_path / side / f"{number}.png", _flat(10 * number))
    mixup = {"type": "Mixup", "alpha": 1.0, "probability": 1.0}
    return PairedImages(str(tmp_path / "blur"), str(tmp_path / "sharp"), crop=16, augment=["hflip", mixup])


def _levels(pairs: PairedImages, index: int) -> set[int]:
    samples = (pairs.sample(index, np.random.default_rng([index, seed])) for seed in range(150))
    return {round(float(sample["sharp"][0, 0, 0]) * 255) for sample in samples}


def test_the_partner_is_any_other_pair_of_the_set(shades: PairedImages) -> None:
    levels = _levels(shades, 2)
    assert min(levels) < 15
    assert max(levels) > 45
    levels = _levels(shades, 0)
    assert min(levels) >= 10
    assert max(levels) > 45


def test_a_limit_holds_for_partners_too(shades: PairedImages) -> None:
    assert max(_levels(FirstImages(shades, 2), 0)) <= 20
    with pytest.raises(UserError, match="1: there is no second pair"):
        FirstImages(shades, 1).sample(0, np.random.default_rng(0))
