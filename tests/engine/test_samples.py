"""Sample strips and the page of curves that a training leaves behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import checkpoint_of, differences, run, timeless
from tiny import TINY, merged

from deblurkit import Deblurrer, load_options, train
from deblurkit.data.images import read_image, to_tensor
from deblurkit.engine.hooks import samples
from deblurkit.errors import UserError
from deblurkit.inner_outputs import Pixel, find_outputs
from deblurkit.inspection.drawing import Frame, draw_output
from deblurkit.inspection.looking import look_inside, seen_inside

DROPOUT = {"type": "DeblurGAN", "channels": 4, "blocks": 1}


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory, pairs: dict[str, Any]) -> Path:
    """A network with dropout, validated on pairs and on images whose truth is not known."""
    paired = {"type": "PairedImages", "blurred": pairs["blurred"], "sharp": pairs["sharp"], "limit": 4}
    blind = {"type": "BlurredImages", "blurred": pairs["blurred"], "limit": 1}
    data = {"train": pairs, "val": {"pairs": paired, "blind": blind}}
    times = {"train": {"iters": 6, "checkpoint_every": 3}, "val": {"every": 2}}
    file = tmp_path_factory.mktemp("options") / "options.yml"
    file.write_text(json.dumps(merged(TINY, {"generator": DROPOUT, "datasets": data, **times})), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, options: Path) -> Path:
    """The work dir of a run of six iterations with strips at 2, 4 and 6; beside it what was printed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    wanted = ("--set", "logging.samples=3", "logging.curves=true", "logging.tensorboard=true")
    run(folder.with_suffix(".txt"), "-opt", options, "--work-dir", folder, *wanted)
    return folder


def strips(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder / "samples").as_posix() for file in folder.glob("samples/*/*"))


def test_strips_show_the_same_images(whole: Path, pairs: dict[str, Any]):
    expected = [f"{name}/iter_{iteration:08d}.jpg" for name in ("blind", "pairs") for iteration in (2, 4, 6)]
    assert strips(whole) == expected
    shown = read_image(whole / "samples" / "pairs" / "iter_00000002.jpg")
    assert shown.shape == (3 * 40 + 2 * 4, 3 * 40 + 2 * 4, 3), "three rows of three images, gaps between"
    for row, number in enumerate((0, 2, 3)):
        for kind, left in (("blurred", 0), ("sharp", 88)):
            image = read_image(Path(pairs[kind]) / f"{number:03}.png").astype(int)
            assert np.abs(image - shown[44 * row : 44 * row + 40, left : left + 40]).mean() < 3, (number, kind)
    assert read_image(whole / "samples" / "blind" / "iter_00000002.jpg").shape == (40, 2 * 40 + 4, 3)
    later = read_image(whole / "samples" / "pairs" / "iter_00000006.jpg")
    assert np.abs(later[:, :40].astype(int) - shown[:, :40]).max() < 20, "the same images"


def test_page_and_events_of_a_run(whole: Path):
    text = whole.with_suffix(".txt").read_text(encoding="utf-8")
    assert f"curves and samples: {whole / 'curves.html'}" in text
    page = (whole / "curves.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 6
    assert "pairs: psnr" in page
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(whole / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Images("samples/pairs")] == [2, 4, 6]
    assert events.Images("samples/pairs")[0].width == 128


def test_drawing_changes_nothing(tmp_path: Path, whole: Path, options: Path):
    plain = train(load_options(options), tmp_path / "plain", device="cpu")
    assert not (plain / "samples").exists()
    assert not differences(checkpoint_of(whole, 6)["generator"], checkpoint_of(plain, 6)["generator"])
    assert timeless(whole) == timeless(plain)


def test_resumed_run_draws_the_same_strips(tmp_path: Path, whole: Path, options: Path):
    broken = tmp_path / "broken"
    shutil.copytree(whole, broken)
    for iteration in (4, 6):
        (broken / "samples" / "pairs" / f"iter_{iteration:08d}.jpg").write_bytes(b"of a run that went another way")
    (broken / "samples" / "pairs" / "iter_00000002 (copy).jpg").write_bytes(b"not of the training")
    (broken / "curves.html").unlink()
    (broken / "curves.html").mkdir()
    again = ("--resume", broken / "checkpoints" / "iter_00000003.pth", "--set", "logging.samples=3", "train.iters=5")
    text = run(tmp_path / "two.txt", "-opt", options, "--work-dir", broken, *again, "logging.curves=true")
    assert "the curves could not be drawn: UserError" in text, "which does not fail the training"
    (broken / "samples" / "pairs" / "iter_00000002 (copy).jpg").unlink()
    assert strips(broken) == [f"{name}/iter_{i:08d}.jpg" for name in ("blind", "pairs") for i in (2, 4, 5)]
    for file in ("pairs/iter_00000002.jpg", "pairs/iter_00000004.jpg", "blind/iter_00000004.jpg"):
        assert (broken / "samples" / file).read_bytes() == (whole / "samples" / file).read_bytes()


def thinned(folder: Path, iterations: range) -> list[int]:
    """Draw a strip at each of the iterations, and return those that stay."""
    folder.mkdir(exist_ok=True)
    for iteration in iterations:
        (folder / f"iter_{iteration:08d}.jpg").touch()
        samples._thin(folder, iterations.step, iteration)
        assert len([*folder.iterdir()]) <= samples.KEPT
    return sorted(int(file.stem[5:]) for file in folder.iterdir())


def test_strips_are_thinned_evenly(tmp_path: Path):
    kept = thinned(tmp_path, range(10, 2000, 10))
    assert kept == [10, *range(80, 2000, 80), 1990]


@pytest.mark.parametrize("stopped", [3, 4, 7, 8, 11])
def test_resumed_run_keeps_the_same_strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: int):
    monkeypatch.setattr(samples, "KEPT", 3)
    expected = thinned(tmp_path / "whole", range(1, 12))
    assert expected == [1, 8, 11]
    for checkpoint in range(1, stopped + 1):
        broken = tmp_path / str(checkpoint)
        thinned(broken, range(1, stopped + 1))
        for file in broken.iterdir():
            if int(file.stem[5:]) > checkpoint:
                file.unlink()
        assert thinned(broken, range(checkpoint + 1, 12)) == expected


def test_resumed_training_keeps_the_same_strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Path):
    """Across more validations than there are strips kept."""
    monkeypatch.setattr(samples, "KEPT", 3)
    wanted = ["logging.samples=1", "val.every=1", "train.iters=7"]
    folder = train(load_options(options, wanted), tmp_path / "run", device="cpu")
    expected = {file: (folder / "samples" / file).read_bytes() for file in strips(folder)}
    assert list(expected) == [f"{name}/iter_{i:08d}.jpg" for name in ("blind", "pairs") for i in (1, 4, 7)]
    train(load_options(options, wanted), folder, resume=folder / "checkpoints" / "iter_00000003.pth", device="cpu")
    assert {file: (folder / "samples" / file).read_bytes() for file in strips(folder)} == expected


ATTENTIVE = {"type": "BlurAttention", "channels": [4, 6, 8], "growth": 4, "modules": 2, "layers": 2}


@pytest.fixture(scope="module")
def attentive(tmp_path_factory: pytest.TempPathFactory, pairs: dict[str, Any]) -> Path:
    """An experiment whose strips show an attention map of the averaged weights."""
    paired = {"type": "PairedImages", "blurred": pairs["blurred"], "sharp": pairs["sharp"], "limit": 2}
    blind = {"type": "BlurredImages", "blurred": pairs["blurred"], "limit": 1}
    change = {
        "generator": ATTENTIVE,
        "datasets": {"train": pairs, "val": {"pairs": paired, "blind": blind}},
        "train": {"iters": 4, "checkpoint_every": 2, "ema": {"decay": 0.9}},
        "val": {"every": 2},
    }
    file = tmp_path_factory.mktemp("attentive") / "options.yml"
    file.write_text(json.dumps(merged(TINY, change)), encoding="utf-8")
    return file


def test_strips_show_inner_outputs_and_change_nothing(tmp_path: Path, attentive: Path):
    wanted = ["logging.samples=2", "logging.outputs=[A2, encoder.1]"]
    folder = train(load_options(attentive, wanted), tmp_path / "run", device="cpu")
    strip = read_image(folder / "samples" / "pairs" / "iter_00000004.jpg")
    scale = 4 + 20  # below each map
    assert strip.shape == (2 * (40 + scale) + 4, 3 * (40 + 4) + 128 + 4 + 128, 3)
    assert read_image(folder / "samples" / "blind" / "iter_00000004.jpg").shape == (40 + scale, 2 * 44 + 260, 3)
    deblurrer = Deblurrer(folder / "checkpoints" / "iter_00000004.pth", device="cpu")
    files = load_options(attentive).datasets.val["pairs"].component["blurred"]
    image = read_image(min(Path(files).iterdir()))
    np.testing.assert_allclose(image[:40, :40].mean(), strip[:40, :40].mean(), atol=2)
    blurred = to_tensor(image)
    network = deblurrer.generator
    shown = find_outputs(network, ["A2"], seen_inside(network), "test")
    frame = Frame.of(network, image)
    expected = draw_output(shown[0], look_inside(network, blurred, shown, Pixel()).outputs[0], frame).picture
    drawn = strip[:40, 132:172].astype(int)
    assert np.abs(expected[:40, :40] - drawn).mean() < 5, "of the averaged weights, but for what JPEG changed"

    plain = train(load_options(attentive, ["logging.samples=0"]), tmp_path / "plain", device="cpu")
    for iteration in (2, 4):
        with_them, without = (checkpoint_of(run, iteration) for run in (folder, plain))
        assert not differences(with_them["generator"], without["generator"])
        assert not differences(with_them["ema"], without["ema"])
    assert timeless(folder) == timeless(plain)

    before = {file: (folder / "samples" / file).read_bytes() for file in strips(folder)}
    first = folder / "checkpoints" / "iter_00000002.pth"
    train(load_options(attentive, wanted), folder, resume=first, device="cpu")
    assert {file: (folder / "samples" / file).read_bytes() for file in strips(folder)} == before


def test_unknown_inner_outputs_are_refused_before_training(tmp_path: Path, attentive: Path):
    with pytest.raises(UserError, match=r"logging\.outputs.*no module or inner output 'encoder1' \(did you mean"):
        load_options(attentive, ["logging.outputs=[A1, encoder1]"])
    with pytest.raises(UserError, match=r"logging\.outputs: they stand in the strips, of which there are none"):
        load_options(attentive, ["logging.outputs=[A1]", "logging.samples=0"])
    plugin = tmp_path / "looks_at_values.py"
    plugin.write_text(LOOKS_AT_VALUES, encoding="utf-8")
    change = [f"plugins=[{plugin}]", "generator={type: SampledByValue}", "logging={samples: 1, outputs: [boddy]}"]
    with pytest.raises(UserError, match=r"^logging\.outputs: SampledByValue .* 'boddy' \(did you mean 'body'\?\)"):
        train(load_options(attentive, change), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


LOOKS_AT_VALUES = '''
from torch import nn

from deblurkit.registry import ARCHS


@ARCHS.register_module()
class SampledByValue(nn.Module):
    """Cannot run on the meta device, so that the options' check knows nothing of its modules."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 3, 1)

    def forward(self, blurred):
        return self.body(blurred) if blurred.mean().item() > 0 else blurred
'''
