"""Networks of spandrel, with spandrel's own classes and its own call as the reference."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from torch import nn
from two_pairs import on_two_pairs

import deblurkit
from deblurkit import checkpoint
from deblurkit.checkpoint import CheckpointError
from deblurkit.data.images import write_image
from deblurkit.engine.train import train
from deblurkit.inference.deblurrer import Deblurrer
from deblurkit.interop.foreign import read_weights

spandrel = pytest.importorskip("spandrel", reason="networks of others: deblurkit[spandrel]")
pytest.importorskip("einops", reason="which spandrel needs")

from spandrel.architectures.ESRGAN import ESRGAN  # noqa: E402
from spandrel.architectures.FFTformer import FFTformer  # noqa: E402
from spandrel.architectures.SwinIR import SwinIR  # noqa: E402
from spandrel.architectures.Uformer import Uformer  # noqa: E402

SMALL: dict[str, Any] = {
    "FFTformer": lambda: FFTformer(dim=8, num_blocks=[1, 1, 1], num_refinement_blocks=1),
    "SwinIR": lambda: SwinIR(embed_dim=12, depths=[2, 2], num_heads=[2, 2], window_size=8),
}


def saved(network: nn.Module, file: Path, wrap: str = "") -> Path:
    weights = network.state_dict()
    torch.save({wrap: weights} if wrap else weights, file)
    return file


@pytest.fixture(params=SMALL)
def published(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file of a small network with random weights."""
    torch.manual_seed(0)
    return saved(SMALL[request.param](), tmp_path / f"{request.param}.pth", "params")


def test_restores_as_spandrel_does(published: Path) -> None:
    image = skimage.data.coffee()[100:161, 100:190]
    pixels = torch.from_numpy(image.astype(np.float32) / 255).movedim(2, 0)
    theirs = spandrel.ModelLoader().load_from_file(published)
    ours = Deblurrer(published, device="cpu", inference="whole")
    assert abs(ours.session(pixels) - theirs(pixels[None])[0]).max() < 1e-6
    assert ours.source["note"].startswith(f"{published}: weights of {published.stem}, a network of spandrel")
    if published.stem == "FFTformer":
        restored = Deblurrer(published, device="cpu", inference="tile:64,16+x8")(image)
        assert restored.shape == image.shape


RESTRICTED: dict[str, dict[str, Any]] = {
    "Restormer": {"dim": 8, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1, "heads": [1, 1, 1, 1]},
    "MPRNet": {"n_feat": 8, "scale_unetfeats": 4, "scale_orsnetfeats": 4, "num_cab": 2},
    "M3SNet": {"width": 8, "enc_blk_nums": [1, 1, 1, 2]},
}


@pytest.mark.parametrize("name", RESTRICTED)
def test_networks_with_a_licence_of_their_own(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = pytest.importorskip("spandrel_extra_arches", reason="whoever wants it installs it")
    torch.manual_seed(0)
    classes = importlib.import_module(f"spandrel_extra_arches.architectures.{name}")
    file = saved(getattr(classes, name)(**RESTRICTED[name]), tmp_path / "net.pth")
    monkeypatch.delenv("DEBLURKIT_EXTRA_ARCHES", raising=False)
    with pytest.raises(
        CheckpointError, match=f"this is {name}, whose code has a licence of its own .for non-comm"
    ) as no:
        read_weights(file)
    assert "\n" not in str(no.value)
    monkeypatch.setenv("DEBLURKIT_EXTRA_ARCHES", "1")
    image = skimage.data.coffee()[100:161, 100:190]
    pixels = torch.from_numpy(image.astype(np.float32) / 255).movedim(2, 0)
    theirs = extra.EXTRA_REGISTRY.load(torch.load(file, weights_only=True)).eval()
    ours = Deblurrer(file, device="cpu", inference="whole")
    assert abs(ours.session(pixels) - theirs(pixels[None])[0]).max() < 1e-6
    assert f"{name}, a network of spandrel whose code is for non-commercial use" in ours.source["note"]


def test_a_new_process_needs_no_preparation(tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = saved(SMALL["SwinIR"](), tmp_path / "net.pth")
    write_image(tmp_path / "photo.png", np.ascontiguousarray(skimage.data.coffee()[:40, :40]))
    words = ["-m", "deblurkit", "deblur", "photo.png", "--weights", str(file), "--out", "restored"]
    environment = {**os.environ, "PYTHONPATH": str(Path(deblurkit.__file__).parents[1])}
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "restored" / "photo.png").is_file()


def test_trains_on_and_needs_the_file_no_more(tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = saved(SMALL["FFTformer"](), tmp_path / "net.pth")
    options = on_two_pairs(tmp_path, {"type": "Foreign", "weights": str(file)}, "pairs")
    folder = train(options, tmp_path / "run", device="cpu")
    file.unlink()
    newest = sorted((folder / "checkpoints").glob("iter_*.pth"))[-1]
    state = checkpoint.load(newest)
    generator = checkpoint.load_generator(state, newest)
    assert generator.architecture == "FFTformer"
    for name, value in checkpoint.weights_of(state).items():
        assert torch.equal(generator.state_dict()[name], value)


def test_the_averaged_one_is_taken_unless_a_key_says_otherwise(tmp_path: Path) -> None:
    torch.manual_seed(0)
    both = {key: SMALL["SwinIR"]().state_dict() for key in ("params", "params_ema")}
    torch.save(both, tmp_path / "both.pth")
    for key, taken in ((None, "params_ema"), ("params", "params")):
        state = read_weights(tmp_path / "both.pth", key)
        weights = checkpoint.weights_of(state)
        assert torch.equal(weights["network.conv_first.weight"], both[taken]["conv_first.weight"])
        assert (state["ema"] is not None) == (taken == "params_ema")
    assert "the averaged weights of params_ema are taken, not params" in read_weights(tmp_path / "both.pth")["note"]


def test_what_does_not_do_for_photographs_is_one_line(tmp_path: Path) -> None:
    larger = saved(ESRGAN(num_filters=8, num_blocks=1, scale=2), tmp_path / "larger.pth")
    grey = saved(SwinIR(in_chans=1, embed_dim=12, depths=[2], num_heads=[2], window_size=8), tmp_path / "grey.pth")
    square = saved(Uformer(embed_dim=8, depths=[1] * 9, num_heads=[1] * 9), tmp_path / "square.pth")
    broken = SMALL["SwinIR"]().state_dict()
    broken["layers.7000000.residual_group.blocks.0.norm1.weight"] = torch.ones(12)
    torch.save(broken, tmp_path / "broken.pth")
    for file, message in [
        (larger, "this is ESRGAN, which makes images 2 times as large"),
        (grey, "this is SwinIR, of 1 channels to 1, expected RGB"),
        (square, "this is Uformer, which takes square images alone"),
        (
            tmp_path / "broken.pth",
            "this looks like the weights of another network",
        ),
    ]:
        with pytest.raises(CheckpointError, match=message) as caught:
            read_weights(file)
        assert "\n" not in str(caught.value)
