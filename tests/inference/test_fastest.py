"""The fastest way of a network on this machine: how it is chosen, remembered and told."""

from __future__ import annotations

import json
import math
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor, nn

from deblurkit import Deblurrer
from deblurkit.data.images import to_tensor
from deblurkit.errors import UserError
from deblurkit.inference import fastest as fastest_module
from deblurkit.inference.fastest import LEAST_DB, PLAIN, Choice, Way, fastest
from deblurkit.weights import box

BF16 = Way("bf16", channels_last=True)
PHOTOGRAPH = skimage.data.astronaut()[:150, :200]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where choices are remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "deblurkit" / "fastest.json"


class Convolving(nn.Module):
    """A convolution beside its input, its ``strength`` times; may ``refuse`` half precision."""

    def __init__(self, strength: float = 0.05, refuse: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.strength = strength
        self.refuse = refuse
        self.eval()

    def forward(self, blurred: Tensor) -> Tensor:
        if self.refuse and torch.is_autocast_enabled("cpu"):
            raise RuntimeError('"linalg" not implemented for BFloat16')
        return blurred + self.strength * self.conv(blurred)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes the clock's word that bf16 is fast: a machine without it would find that it is not."""
    times = {("fp32", True): 3.0, ("fp32", False): 4.0, ("bf16", True): 1.0}
    now = [0.0]
    restore = fastest_module.restore_whole

    def timed(generator: nn.Module, crop: Tensor, precision: str) -> Tensor:
        last = generator.conv.weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr, operator]
        now[0] += times[precision, last]
        return restore(generator, crop, precision)  # type: ignore[arg-type]

    monkeypatch.setattr(fastest_module, "restore_whole", timed)
    monkeypatch.setattr("time.perf_counter", lambda: now[0])


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("network", "way", "ratio"),
    [
        (Convolving(), BF16, 0.25),
        (Convolving(strength=50.0), Way("fp32", channels_last=True), 0.75),  # bf16 is 40 dB away
        (Convolving(refuse=True), Way("fp32", channels_last=True), 0.75),
    ],
)
def test_the_fastest_that_agrees_is_taken(cache: Path, network: Convolving, way: Way, ratio: float) -> None:
    file = box.find("starter")
    choice = fastest(network, to_tensor(PHOTOGRAPH), file)
    assert (choice.way, choice.ratio, choice.pixels, choice.remembered) == (way, ratio, (128, 128), False)
    assert choice.agreement_db >= LEAST_DB
    assert network.conv.weight.is_contiguous()
    again = fastest(network, to_tensor(PHOTOGRAPH[:140]), file)  # of the same class of sizes
    assert again == Choice(way, ratio, choice.agreement_db, (128, 128), remembered=True)
    assert not fastest(network, to_tensor(PHOTOGRAPH[:100]), file).remembered
    assert len(json.loads(cache.read_text())) == 2


@pytest.mark.usefixtures("clock")
def test_other_weights_are_measured_again(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "net.pth"
    shutil.copy(box.find("starter"), file)
    assert not fastest(Convolving(), to_tensor(PHOTOGRAPH), file).remembered
    assert fastest(Convolving(), to_tensor(PHOTOGRAPH), file).remembered
    file.write_bytes(b"others")
    assert not fastest(Convolving(), to_tensor(PHOTOGRAPH), file).remembered


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("content", ["", "[]", '{"a": 1', "precision", "\udcff"])
def test_a_damaged_memory_is_made_anew(cache: Path, content: str) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_bytes(content.encode(errors="surrogateescape"))
    assert not fastest(Convolving(), to_tensor(PHOTOGRAPH), box.find("starter")).remembered
    found = json.loads(cache.read_text())
    found[next(iter(found))]["precision"] = "fp8"
    cache.write_text(json.dumps(found))
    assert not fastest(Convolving(), to_tensor(PHOTOGRAPH), box.find("starter")).remembered


@pytest.mark.usefixtures("clock")
def test_without_a_place_to_remember_it_goes_on(cache: Path) -> None:
    cache.parent.parent.mkdir(parents=True)
    cache.parent.write_text("no folder")
    assert fastest(Convolving(), to_tensor(PHOTOGRAPH), box.find("starter")).way == BF16


def test_a_photograph_is_restored_in_it(cache: Path) -> None:
    plain, fast = Deblurrer(device="cpu"), Deblurrer(device="cpu", fast=True)
    assert fast.choice is None
    restored: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: restored.append(fast(PHOTOGRAPH))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fast.choice is not None
    assert fast.session.precision == fast.choice.way.precision
    difference = plain(PHOTOGRAPH).astype(int) - restored[0]
    assert abs(difference).max() <= 2
    assert all(np.array_equal(restored[0], other) for other in restored[1:])
    assert len(json.loads(cache.read_text())) == 1


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (Choice(PLAIN, 1.0, math.inf, (128, 256)), "plain fp32: nothing faster agrees to 60 dB (measured on 128x256 "),
        (Choice(BF16, 0.312, 71.04, (64, 64), True), "bf16, channels last: 0.31 of the time of plain fp32, alike to 7"),
    ],
)
def test_it_is_told_in_one_line(choice: Choice, said: str) -> None:
    assert str(choice).startswith(said)
    assert "\n" not in str(choice)


def test_two_precisions_are_refused() -> None:
    with pytest.raises(UserError, match="precision: bf16 is asked for, and the fastest one too: say one of them"):
        Deblurrer(device="cpu", precision="bf16", fast=True)
