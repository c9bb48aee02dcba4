"""One network and many images: what fits the memory, what is done where it does not, and what is said of that."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from known_networks import Fails, Identity, MeanShift, Pyramid
from torch import Tensor, nn

from deblurkit.errors import UserError
from deblurkit.inference import fallback
from deblurkit.inference.forward import NonFiniteOutputError
from deblurkit.inference.memory import live_bytes, scratch
from deblurkit.inference.restore import restore
from deblurkit.inference.session import Session
from deblurkit.options.inference import parse_inference

HERE = Path(__file__).resolve().parent
CPU = torch.device("cpu")
MIB = 1 << 20


def image(height: int, width: int) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


def test_an_image_that_fits_is_whole_and_nothing_is_said() -> None:
    for mode in ("auto", "whole"):
        session = Session(Pyramid(), inference=mode)
        blurred = image(90, 70)
        assert torch.equal(session(blurred), restore(session.generator, blurred.unsqueeze(0))[0])
        assert (session.used, session.notes()) == ({"whole": 1}, [])


@pytest.mark.parametrize("extra", ["", "+x8"])
@pytest.mark.parametrize("mode", ["auto", "whole"])
def test_what_does_not_fit_is_done_in_tiles_and_that_is_said(mode: str, extra: str) -> None:
    generator = Pyramid()
    blurred = image(400, 500)
    session = Session(generator, inference=mode + extra, memory_bytes=(24 if extra else 16) * MIB)
    restored = session(blurred)
    session(image(64, 64))
    (used,) = set(session.used) - {"whole", "x8"}
    chosen = parse_inference(used)
    assert (chosen.space, chosen.x8, session.used.total()) == ("tile", bool(extra), 2)
    assert torch.equal(restored, restore(generator, blurred.unsqueeze(0), inference=used)[0])
    whole = restore(generator, blurred.unsqueeze(0), inference="whole" + extra)[0]
    assert (restored - whole).abs().max() <= 2e-6  # it is local, and the tiles overlap by enough
    assert session.notes() == [f"1 of 2 images: done in {used}: whole does not fit the memory"]
    assert re.fullmatch(
        r"whole, an image would take up to 0\.0\d\d GiB; 0\.0(16|24) GiB may be used", session.shortage()
    )


def test_the_largest_tiles_that_fit_are_taken() -> None:
    sizes = []
    for memory in (12, 24, 64):
        session = Session(MeanShift(), inference="auto", memory_bytes=memory * MIB)
        session(image(900, 1200))
        (used,) = session.used
        sizes.append(parse_inference(used).size)
        assert "tiles and crops are not the whole image for MeanShift: global average pooling" in session.notes()
    assert sizes[0] < sizes[1] < sizes[2]


def test_of_the_tiles_that_fit_those_with_the_least_work_are_taken() -> None:
    """Two rows of three of 640 pass 2.7 times the pixels of the image, two rows of three of 512 1.7 times."""
    session = Session(MeanShift(), inference="auto", memory_bytes=80 * MIB)
    session(image(720, 1280))
    (used,) = session.used
    assert used == "tile:512,128"


def test_the_memory_of_the_moment_decides_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else each image of a set could be scored in another mode, and have a note of its own."""
    moments = iter(range(16 * MIB, 0, -MIB))
    monkeypatch.setattr(fallback, "free_device_memory", lambda device: next(moments))
    session = Session(Pyramid())
    for height in (700, 500, 600, 700):
        session(image(height, 500))
    (mode,) = session.used
    assert session.notes() == [f"4 of 4 images: done in {mode}: whole does not fit the memory"]


def test_a_resumed_run_says_what_an_uninterrupted_one_does() -> None:
    whole, first, second = (Session(MeanShift(), memory_bytes=8 * MIB) for _ in range(3))
    sizes = [(400, 500), (64, 64), (700, 500)]
    for session, part in ((whole, sizes), (first, sizes[:1]), (second, sizes[1:])):
        for size in part:
            session(image(*size))
    second.used.update(first.used)
    second.events.update(first.events)
    assert (second.notes(), second.used) == (whole.notes(), whole.used)
    assert len(whole.notes()) == 2


def test_what_is_asked_once_of_a_size_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[tuple[int, int]] = []

    def count(generator: nn.Module, height: int, width: int, means: None) -> int | None:
        counted.append((height, width))
        return live_bytes(generator, height, width, means)

    monkeypatch.setattr(fallback, "live_bytes", count)
    session = Session(MeanShift(), memory_bytes=12 * MIB)
    for _ in range(2):
        session(image(1000, 1200))
    assert counted[0] == (1000, 1200)
    assert len(counted) <= 5, "the 14 sizes of tiles are not tried one by one"
    counted.clear()
    session = Session(Pyramid(), inference="tile:512,64", memory_bytes=16 * MIB)
    session(image(600, 700))
    session(image(700, 600))
    assert counted == [(512, 512)], "for what a report says of memory; nothing is chosen"


def test_tiles_that_do_not_fit_either_are_refused_or_told(monkeypatch: pytest.MonkeyPatch) -> None:
    message = r"Pyramid: an image of 300x200 takes (\d\.\d{3}) GiB at least, in tile:128,32, and 0\.001 GiB may be used"
    with pytest.raises(UserError, match=message) as refused:
        Session(Pyramid(), inference="auto", memory_bytes=MIB)(image(300, 200))
    named = re.search(message, str(refused.value))
    assert named is not None
    enough = int(float(named[1]) * 2**30)
    session = Session(Pyramid(), inference="auto", memory_bytes=enough)
    session(image(300, 200))
    assert session.used == {"tile:128,32": 1}
    monkeypatch.setattr(fallback, "free_device_memory", lambda device: MIB)
    session = Session(Pyramid())
    session(image(300, 200))
    told = "1 of 1 images: done in tile:128,32: neither whole nor these tiles, the smallest, fit the memory"
    assert session.notes()[0] == told


def test_tiles_and_grids_that_were_asked_for_are_not_replaced() -> None:
    for mode in ("tile:512,64", "grid:512"):
        session = Session(Identity(), inference=mode, memory_bytes=1)
        session(image(600, 520))
        assert session.used == {mode: 1}


def test_sizes_that_the_network_does_not_take_are_told() -> None:
    session = Session(Identity(16, 64), inference="tile:50,9")
    session(image(100, 100))
    assert session.used == {"tile:64,16": 1}
    assert session.notes()[0] == (
        "tile:50,9 was done as tile:64,16: inputs of Identity have sides that divide by 16 and are at least 64"
    )


@pytest.mark.parametrize(
    "error",
    [
        lambda: torch.OutOfMemoryError("CUDA out of memory."),
        lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        lambda: RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        lambda: MemoryError(),
    ],
)
def test_tiles_are_halved_until_they_fit(error: object) -> None:
    generator = Fails(300 * 300, error)
    session = Session(generator, inference="whole+x8")
    blurred = image(1000, 600)
    assert torch.allclose(session(blurred), 0.5 + blurred / 2, atol=1e-6)
    assert generator.tried[:3] == [(1000, 600), (500, 500), (250, 250)]
    assert session.used == {"tile:250,0+x8": 1}  # each pixel by itself: nothing has to overlap
    assert session.notes() == ["1 of 1 images: done in tile:250,0+x8: memory ran out"]
    generator.tried.clear()
    session(image(600, 700))
    assert set(generator.tried) == {(250, 250)}  # what failed is not tried again
    session(image(200, 100))
    assert session.used == {"tile:250,0+x8": 2, "x8": 1}
    assert session.notes() == ["2 of 3 images: done in tile:250,0+x8: memory ran out"]


def test_tiles_that_were_asked_for_are_halved_too() -> None:
    session = Session(Fails(300 * 300, MemoryError, 8), inference="tile:512,32")
    session(image(600, 600))
    assert session.used == {"tile:256,32": 1}
    assert session.notes() == ["1 of 1 images: done in tile:256,32: memory ran out"]


def test_what_does_not_fit_at_all_is_said() -> None:
    session = Session(Fails(100 * 100, MemoryError))
    with pytest.raises(
        UserError, match=r"Fails ran out of memory with an image of 300x200 in tile:128,0, .*: MemoryError$"
    ):
        session(image(300, 200))
    with pytest.raises(UserError, match=r"an image of 300x200 in grid:150"):
        Session(Fails(100 * 100, MemoryError), inference="grid:150")(image(300, 200))


def test_other_errors_are_not_taken_for_it() -> None:
    with pytest.raises(RuntimeError, match="sizes of tensors must match"):
        Session(Fails(0, lambda: RuntimeError("sizes of tensors must match")))(image(8, 8))


class Broken(nn.Module):
    """Divides by zero in the lower half."""

    def forward(self, blurred: Tensor) -> Tensor:
        return torch.where(torch.arange(blurred.shape[2])[:, None] < blurred.shape[2] // 2, blurred, torch.nan)


@pytest.mark.parametrize("mode", ["whole", "tile:32,8", "grid:32"])
def test_what_is_no_number_is_reported(mode: str) -> None:
    session = Session(Broken(), inference=mode)
    assert session(image(40, 40)).isnan().any()
    with pytest.raises(NonFiniteOutputError, match="Broken returned pixels that are NaN"):
        session.restore_array(np.zeros((40, 40, 3), np.uint8))


def test_auto_leaves_nothing_else_to_choose() -> None:
    with pytest.raises(UserError, match=r"'auto\+tile:64,8' names how the image passes, and leaves it to auto too"):
        Session(Identity(), inference="auto+tile:64,8")
    with pytest.raises(UserError, match="'aut' is no inference mode"):
        Session(Identity(), inference="aut")


class Wide(nn.Module):
    """Takes 8 channels of the image's size beside what it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 3, 1)
        self.register_buffer("table", torch.ones(3, 1, 1))

    def forward(self, blurred: Tensor) -> Tensor:
        return self.last(self.first(blurred)) * self.table


def test_live_tensors_are_counted_by_hand() -> None:
    generator = Wide()
    before = {name: weight.clone() for name, weight in generator.state_dict().items()}
    # The image, at most two maps at once, and how much each row and column counts.
    by_hand = 4 * ((3 + 8 + 3) * 50 * 30 + 50 + 30)
    assert live_bytes(generator, 50, 30) == by_hand
    assert Session(generator).estimate(50, 30) == by_hand
    assert all(torch.equal(weight, before[name]) for name, weight in generator.state_dict().items())
    assert {weight.device.type for weight in generator.state_dict().values()} == {"cpu"}


class Weighed(Wide):
    """Weighs 8 channels by their means."""

    def forward(self, blurred: Tensor) -> Tensor:
        features = self.first(blurred)
        return self.last(features * features.mean((2, 3), keepdim=True))


def test_calibration_of_local_means_is_not_counted() -> None:
    whole, local = Session(Weighed()), Session(Weighed(), inference="tlc:256")
    assert local.estimate(128, 128) == whole.estimate(128, 128)  # the windows are larger than the image
    assert local.estimate(600, 600) > whole.estimate(600, 600)  # maps of sums


class Looks(nn.Module):
    """Decides by what it sees, so that it cannot run without values."""

    def forward(self, blurred: Tensor) -> Tensor:
        return blurred if blurred.sum() > 0 else -blurred


def test_what_cannot_be_counted_is_tried_whole() -> None:
    session = Session(Looks(), inference="auto", memory_bytes=1)
    session(image(300, 300))
    assert (session.estimate(300, 300), session.used, session.notes()) == (None, {"whole": 1}, [])


def test_kernels_take_no_less_than_their_tensors() -> None:
    assert scratch(CPU) >= 1


LIMITED = """
import resource, sys
import numpy as np, torch
from known_networks import Pyramid
from deblurkit.inference.session import Session

torch.set_num_threads(1)
generator = Pyramid(16)
Session(generator, inference="tile:32,0").restore_array(np.zeros((64, 64, 3), np.uint8))  # loads what is used later
image = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
session = Session(generator, inference="whole", memory_bytes=1 << 40)  # so that it is tried
session.estimate(64, 64)  # loads what is used later
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
_, most = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (now + (128 << 20), most))  # whole takes 210 MiB
restored = session.restore_array(image)
resource.setrlimit(resource.RLIMIT_AS, (most, most))
(mode,) = session.used
assert np.array_equal(restored, Session(generator, inference=mode).restore_array(image))
print(mode, *session.notes(), sep="\\n")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_memory_that_really_runs_out() -> None:
    mode, note, *_ = python(LIMITED).splitlines()
    assert mode.startswith("tile:")
    assert note == f"1 of 1 images: done in {mode}: memory ran out"


MEASURED = """
import sys
import numpy as np, torch
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file
from deblurkit.data.images import read_image
from deblurkit.inference.session import Session
from known_networks import Pyramid
from peak import forget_peak, peak_bytes

height, width, channels = map(int, sys.argv[1:4])
torch.set_num_threads(1)
generator = Pyramid(channels)
Session(generator, inference="tile:32,0").restore_array(np.zeros((64, 64, 3), np.uint8))  # loads what is used later
session = Session(generator, inference="auto", memory_bytes=int(sys.argv[4]) or None)
forget_peak()
before = peak_bytes()
image = np.resize(read_image(photograph_file(PHOTOGRAPHS[0])), (height, width, 3))
assert session.restore_array(image).shape == image.shape
print(*session.used, peak_bytes() - before, session.estimate(height, width))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the account is Linux's")
@pytest.mark.parametrize(
    ("size", "channels", "memory", "most"),
    [
        ((600, 800), 16, 48 * MIB, 48 * MIB + 2 * 600 * 800 * 3 + 16 * MIB),
        pytest.param((4000, 6000), 64, 0, 2 << 30, marks=pytest.mark.slow),  # 0: the default
    ],
)
def test_a_photograph_takes_no_more_than_it_may(size: tuple[int, int], channels: int, memory: int, most: int) -> None:
    mode, peak, whole = python(MEASURED, *size, channels, memory).split()
    assert mode.startswith("tile:")
    assert int(peak) < most < int(whole)


def python(script: str, *arguments: object) -> str:
    paths = os.pathsep.join([str(HERE), str(HERE.parent), str(HERE.parents[1])])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout
