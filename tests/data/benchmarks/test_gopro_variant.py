"""GoPro's two variants cannot be mixed up unseen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gopro_tree import SEQUENCE, make_gopro, mislabel

from deblurkit.data.benchmarks.gopro import GoPro


@pytest.mark.parametrize("variant", ["linear", "gamma"])
def test_the_right_variant_is_confirmed(tmp_path: Path, variant: Any) -> None:
    data = GoPro("train", variant, str(make_gopro(tmp_path)))
    assert "measured" not in data.describe()
    data.verify()
    assert data.notes == ["14 of 2103 images"]
    facts = {"set": "GoPro", "variant": variant, "split": "train", "images": 14}
    assert data.describe() == {**facts, "measured": variant}


def test_gamma_in_the_linear_folder_is_noted(tmp_path: Path) -> None:
    data = GoPro("train", "linear", str(mislabel(make_gopro(tmp_path))))
    data.verify()
    assert data.notes[1] == "says variant: linear, but its blur was averaged in light (gamma)"
    assert data.describe()["measured"] == "gamma"


def test_linear_in_the_gamma_folder_is_noted(tmp_path: Path) -> None:
    sequence = make_gopro(tmp_path) / "train" / SEQUENCE
    (sequence / "blur_gamma").rename(sequence / "aside")
    (sequence / "blur").rename(sequence / "blur_gamma")
    data = GoPro("train", "gamma", str(tmp_path))
    data.verify()
    assert data.notes[1] == "says variant: gamma, but its blur was averaged in stored values (linear)"


def test_too_few_pairs_are_unclear_and_say_so(tmp_path: Path) -> None:
    data = GoPro("train", "linear", str(mislabel(make_gopro(tmp_path, pairs=3))))
    data.verify()
    assert data.notes == ["3 of 2103 images"]
    assert data.describe()["measured"] == "unclear"
