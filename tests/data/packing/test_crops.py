from __future__ import annotations

import numpy as np
import pytest

from deblurkit.data.packing.crops import check_crop, windows
from deblurkit.errors import UserError


def test_gopro_as_the_field_prepares_it() -> None:
    found = windows((720, 1280), 512, 256)
    assert found is not None
    assert [(top, left) for top, left, _, _ in found] == [(r, c) for r in (0, 208) for c in (0, 256, 512, 768)]
    assert 2103 * len(found) == 16824


@pytest.mark.parametrize("seed", range(30))
def test_the_windows_are_those_of_both_published_scripts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    crop = int(rng.integers(1, 40))
    step = int(rng.integers(1, crop + 1))
    height, width = (int(side) for side in rng.integers(crop, 120, 2))
    found = windows((height, width), crop, step)

    def restormer(length: int) -> list[int]:
        return [*np.arange(0, length - crop, step).tolist(), length - crop]

    def basicsr(length: int) -> list[int]:
        space = np.arange(0, length - crop + 1, step)
        return (np.append(space, length - crop) if length - (space[-1] + crop) > 0 else space).tolist()

    for starts in (restormer, basicsr):
        assert found == [(top, left, crop, crop) for top in starts(height) for left in starts(width)]
    covered = np.zeros((height, width), bool)
    for top, left, rows, columns in found or []:
        covered[top : top + rows, left : left + columns] = True
    assert covered.all()


def test_smaller_images_are_not_cut() -> None:
    assert windows((511, 2000), 512, 256) is None
    assert windows((512, 512), 512, 256) == [(0, 0, 512, 512)]


def test_the_step_is_half_the_crop_by_default() -> None:
    assert check_crop(512, None) == (512, 256)
    assert check_crop(1, None) == (1, 1)
    assert check_crop(None, None) is None


@pytest.mark.parametrize(
    ("crop", "step", "problem"),
    [(0, None, "crop: got 0"), (8, 9, "step: got 9"), (8, 0, "1 to 8"), (None, 8, "step: got 8 without a crop")],
)
def test_grids_with_gaps_are_refused(crop: int | None, step: int | None, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        check_crop(crop, step)
