"""Sample strips and the page of curves that a training leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from runs import checkpoint_of, differences, run, timeless

from deblurkit.data.images import read_image
from deblurkit.engine.hooks.samples import KEPT, _thin

DROPOUT = {"type": "DeblurGAN", "channels": 4, "blocks": 1}


@pytest.fixture
def options(option_file: Callable[..., Path], pairs: dict) -> Path:
    """A network with dropout, validated on pairs and on images whose truth is not known."""
    paired = {"type": "PairedImages", "blurred": pairs["blurred"], "sharp": pairs["sharp"], "limit": 4}
    blind = {"type": "BlurredImages", "blurred": pairs["blurred"], "limit": 1}
    data = {"train": pairs, "val": {"pairs": paired, "blind": blind}}
    return option_file(
        {"generator": DROPOUT, "datasets": data, "train": {"iters": 6, "checkpoint_every": 3}, "val": {"every": 2}}
    )


def strips(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder / "samples").as_posix() for file in folder.glob("samples/*/*"))


def test_strips_and_curves_of_a_run(tmp_path: Path, options: Path, pairs: dict):
    folder = tmp_path / "run"
    wanted = ("--set", "logging.samples=3", "logging.curves=true", "logging.tensorboard=true")
    text = run(tmp_path / "run.txt", "-opt", options, "--work-dir", folder, *wanted)
    expected = [f"{name}/iter_{iteration:08d}.jpg" for name in ("blind", "pairs") for iteration in (2, 4, 6)]
    assert strips(folder) == expected

    shown = read_image(folder / "samples" / "pairs" / "iter_00000002.jpg")
    assert shown.shape == (3 * 40 + 2 * 4, 3 * 40 + 2 * 4, 3), "three rows of three images, gaps between"
    for row, number in enumerate((0, 2, 3)):
        for kind, left in (("blurred", 0), ("sharp", 88)):
            image = read_image(Path(pairs[kind]) / f"{number:03}.png").astype(int)
            assert np.abs(image - shown[44 * row : 44 * row + 40, left : left + 40]).mean() < 3, (number, kind)
    assert read_image(folder / "samples" / "blind" / "iter_00000002.jpg").shape == (40, 2 * 40 + 4, 3)
    later = read_image(folder / "samples" / "pairs" / "iter_00000006.jpg")
    assert np.abs(later[:, :40].astype(int) - shown[:, :40]).max() < 20, "the same images"

    assert f"curves and samples: {folder / 'curves.html'}" in text
    page = (folder / "curves.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 6
    assert "pairs: psnr" in page
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Images("samples/pairs")] == [2, 4, 6]
    assert events.Images("samples/pairs")[0].width == 128

    plain = tmp_path / "plain"
    run(tmp_path / "plain.txt", "-opt", options, "--work-dir", plain)
    assert not (plain / "samples").exists()
    assert not differences(checkpoint_of(folder, 6)["generator"], checkpoint_of(plain, 6)["generator"])
    assert timeless(folder) == timeless(plain), "drawing changes nothing"


def test_resumed_run_draws_the_same_strips(tmp_path: Path, options: Path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(tmp_path / "whole.txt", "-opt", options, "--work-dir", whole, "--set", "logging.samples=1")
    run(tmp_path / "one.txt", "-opt", options, "--work-dir", broken, "--set", "logging.samples=1")
    for iteration in (4, 6):
        (broken / "samples" / "pairs" / f"iter_{iteration:08d}.jpg").write_bytes(b"of a run that went another way")
    again = ("--resume", broken / "checkpoints" / "iter_00000003.pth", "--set", "logging.samples=1", "train.iters=5")
    (broken / "curves.html").mkdir()
    text = run(tmp_path / "two.txt", "-opt", options, "--work-dir", broken, *again, "logging.curves=true")
    assert "the curves could not be drawn: UserError" in text, "which does not fail the training"
    assert strips(broken) == [f"{name}/iter_{i:08d}.jpg" for name in ("blind", "pairs") for i in (2, 4, 5)]
    for file in strips(broken)[:2]:
        assert (broken / "samples" / file).read_bytes() == (whole / "samples" / file).read_bytes()
    file = "samples/pairs/iter_00000004.jpg"
    assert (broken / file).read_bytes() == (whole / file).read_bytes()


def test_strips_are_thinned_evenly(tmp_path: Path):
    for iteration in range(1, 200):
        (tmp_path / f"iter_{iteration:08d}.jpg").touch()
        _thin(tmp_path)
    kept = sorted(int(file.stem[5:]) for file in tmp_path.iterdir())
    assert len(kept) == KEPT
    assert (kept[0], kept[-1]) == (1, 199)
    assert np.diff(kept).max() <= 16
