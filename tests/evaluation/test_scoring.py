"""Restoring and scoring a data set, image by image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor, nn

from deblurkit.data.images import read_image, to_tensor, to_uint8
from deblurkit.errors import UserError
from deblurkit.evaluation.protocols import get_protocol
from deblurkit.evaluation.scoring import image_file, score_dataset, summarise
from deblurkit.inference.restore import NonFiniteOutputError
from deblurkit.metrics.functional import psnr, ssim

PROTOCOL = get_protocol("gopro-basicsr-v1")


class Crops:
    """Random crops of a photograph, shifted sideways for the blurred one; the last has no truth."""

    def __len__(self) -> int:
        return 3

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        top = int(rng.integers(0, 300))
        image = skimage.data.astronaut()[top : top + 40, 100:160]
        sample = {"blurred": to_tensor(np.roll(image, 1, axis=1)), "key": f"scene/{index}"}
        return sample if index == 2 else {**sample, "sharp": to_tensor(image)}


class Shift(nn.Module):
    """Undoes the shift; its parts are in different modes."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Dropout(0.5).eval()
        self.active = nn.Dropout(0.5)
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, blurred: Tensor) -> Tensor:
        return self.active(self.frozen(blurred.roll(-1, dims=3))) * self.gain


def test_scores_of_input_and_output() -> None:
    generator = Shift()
    told: list[tuple[int, int]] = []
    rows = score_dataset(generator, Crops(), PROTOCOL, seed=4, progress=lambda done, total: told.append((done, total)))
    assert [row.key for row in rows] == ["scene/0", "scene/1", "scene/2"]
    assert told == [(1, 3), (2, 3), (3, 3)]
    for index, row in enumerate(rows[:2]):
        sample = Crops().sample(index, np.random.default_rng((4, 0, index)))
        blurred, sharp = to_uint8(sample["blurred"]), to_uint8(sample["sharp"])
        assert row.blurred == {"psnr": psnr(blurred, sharp), "ssim": ssim(blurred, sharp)}
        assert row.restored == {"psnr": float("inf"), "ssim": 1.0}
        assert row.seconds > 0
    assert (rows[2].blurred, rows[2].restored) == (None, None)
    assert generator.training
    assert generator.active.training
    assert not generator.frozen.training


def test_samples_depend_on_seed_and_index_alone() -> None:
    first, second, other = (score_dataset(Shift(), Crops(), PROTOCOL, seed=seed) for seed in (4, 4, 5))
    assert [row.blurred for row in first] == [row.blurred for row in second]
    assert [row.blurred for row in first] != [row.blurred for row in other]


def test_summary() -> None:
    rows = score_dataset(Shift(), Crops(), PROTOCOL)
    summary = summarise(rows, PROTOCOL)
    assert summary["images"] == 3
    assert summary["blurred"]["psnr"] == pytest.approx((rows[0].blurred["psnr"] + rows[1].blurred["psnr"]) / 2)
    assert summary["restored"] == {"psnr": float("inf"), "ssim": 1.0}
    assert summary["seconds_per_image"]["median"] == pytest.approx(sorted(row.seconds for row in rows)[1])
    blind = summarise(rows[2:], PROTOCOL)
    assert (blind["blurred"], blind["restored"]) == (None, None)


def test_restored_images_are_saved_under_their_keys(tmp_path: Path) -> None:
    score_dataset(Shift(), Crops(), PROTOCOL, save_to=tmp_path)
    sample = Crops().sample(0, np.random.default_rng((0, 0, 0)))
    assert np.array_equal(read_image(tmp_path / "scene" / "0.png"), to_uint8(sample["sharp"]))
    assert sorted(path.name for path in (tmp_path / "scene").iterdir()) == ["0.png", "1.png", "2.png"]


@pytest.mark.parametrize("key", ["../outside", "/outside", "a/../../outside", ""])
def test_keys_cannot_leave_the_folder(key: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not stay inside a folder"):
        image_file(tmp_path, key)


def test_pixels_that_are_no_numbers_name_the_image() -> None:
    generator = Shift()
    nn.init.constant_(generator.gain, float("inf"))
    with pytest.raises(NonFiniteOutputError, match="scene/0: Shift returned pixels that are NaN or infinite"):
        score_dataset(generator, Crops(), PROTOCOL)
    assert generator.training


class Tiny(Crops):
    """Images smaller than SSIM's window."""

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        return {"blurred": torch.rand(3, 8, 8), "sharp": torch.rand(3, 8, 8), "key": "icon"}


def test_images_that_cannot_be_scored_are_named() -> None:
    with pytest.raises(UserError, match="icon: protocol gopro-basicsr-v1: SSIM needs at least 11 x 11"):
        score_dataset(Shift(), Tiny(), PROTOCOL)
