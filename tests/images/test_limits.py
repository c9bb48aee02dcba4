"""Limits: of an image's size, before anything is decoded, and of what a format holds."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from made_images import chunk, picture, png, saved
from PIL import Image as Pillow

from deblurkit.data.images import encode_image, image_size, write_image
from deblurkit.errors import UserError
from deblurkit.images import reading, writing
from deblurkit.images.image import Image, ImageReadError

ROOT = Path(__file__).resolve().parents[2]
RGB = picture(3)
LARGE = picture(3, height=300, width=400)
BIG_SIDE = 31623  # squared, a gigapixel


def _huge_png() -> bytes:
    header = struct.pack(">IIBBBBB", BIG_SIDE, BIG_SIDE, 8, 2, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(bytes(100_000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")


def _huge_jpeg() -> bytes:
    data = bytearray(saved(Pillow.fromarray(RGB), "JPEG"))
    at = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, at + 5, BIG_SIDE, BIG_SIDE)
    return bytes(data)


def _huge_tiff(compression: str | None = None, big: bool = False) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, RGB, photometric="rgb", metadata=None, compression=compression, bigtiff=big)
    changed = io.BytesIO(stream.getvalue())
    with tifffile.TiffFile(changed, mode="r+b") as opened:
        for tag in (256, 257, 278):
            opened.pages[0].tags[tag].overwrite(BIG_SIDE, dtype="I")
    return changed.getvalue()


def _huge_webp() -> bytes:
    data = bytearray(saved(Pillow.fromarray(RGB), "WEBP", lossless=True))
    at = data.index(b"VP8L") + 9
    struct.pack_into("<I", data, at, 16382 | 16382 << 14)
    return bytes(data)


def _huge_extended_webp() -> bytes:
    data = bytearray(saved(Pillow.fromarray(picture(4), "RGBA"), "WEBP"))
    at = data.index(b"VP8X") + 12
    data[at : at + 6] = (BIG_SIDE - 1).to_bytes(3, "little") * 2
    return bytes(data)


def _huge_bmp() -> bytes:
    data = bytearray(saved(Pillow.fromarray(RGB), "BMP"))
    struct.pack_into("<ii", data, 18, BIG_SIDE, BIG_SIDE)
    return bytes(data)


HUGE: dict[str, Callable[[], bytes]] = {
    "a.png": _huge_png,
    "a.jpg": _huge_jpeg,
    "a.tif": _huge_tiff,
    "zlib.tif": lambda: _huge_tiff("zlib"),
    "big.tif": lambda: _huge_tiff(None, True),
    "a.webp": _huge_webp,
    "extended.webp": _huge_extended_webp,
    "a.bmp": _huge_bmp,
}

READ_ALL = """
import sys
from pathlib import Path
from deblurkit.images import reading
from deblurkit.images.image import ImageReadError
for path in sorted(Path(sys.argv[1]).iterdir()):
    for action in (reading.probe, reading.read):
        try:
            action(path)
        except ImageReadError as error:
            print(error)
        else:
            print("read", path)
# Not what getrusage tells: that begins with what the parent had.
status = Path("/proc/self/status")
lines = status.read_text().splitlines() if status.exists() else []
print(*[int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM:")] or [0])
"""


def test_a_gigapixel_is_refused_by_its_header(tmp_path: Path) -> None:
    for name, make in HUGE.items():
        (tmp_path / name).write_bytes(make())
    command = [sys.executable, "-c", READ_ALL, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    *lines, peak = done.stdout.splitlines()
    assert done.stderr == ""
    assert len(lines) == 2 * len(HUGE)
    for name, line in zip(sorted([*HUGE, *HUGE]), lines, strict=True):
        side, megapixels = (16383, 268) if name == "a.webp" else (BIG_SIDE, 1000)
        size = f"{side}x{side} pixels are {megapixels} megapixels, more than 250"
        raised = "raise --max-megapixels, or DEBLURKIT_MAX_MEGAPIXELS"
        assert line == f"{tmp_path / name}: it cannot be decoded: {size}: {raised}"
    assert int(peak) < 200


def test_the_limit_is_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(LARGE, 2, 8))  # 0.12 megapixels
    monkeypatch.setenv("DEBLURKIT_MAX_MEGAPIXELS", "0.1")
    for action in (reading.probe, reading.read, image_size):
        with pytest.raises(ImageReadError, match=r"400x300 pixels are 0\.12 megapixels, more than 0\.1: "):
            action(path)
    for action in (reading.probe, reading.read):
        action(path, 0.12)
        with pytest.raises(ImageReadError, match=r"more than 0\.11"):
            action(path, 0.11)
    for text in ("0.12", " 1e3 ", "inf", ""):
        monkeypatch.setenv("DEBLURKIT_MAX_MEGAPIXELS", text)
        assert reading.read(path).pixels.shape == LARGE.shape


@pytest.mark.parametrize("text", ["many", "-1", "0", "nan", "250 MP"])
def test_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(RGB, 2, 8))
    monkeypatch.setenv("DEBLURKIT_MAX_MEGAPIXELS", text)
    for action in (reading.probe, reading.read, image_size):
        with pytest.raises(
            UserError, match=f"DEBLURKIT_MAX_MEGAPIXELS is '{text}'; expected a number above 0"
        ) as caught:
            action(path)
        assert len(caught.value.problems) == 1


def test_a_limit_above_the_decoders_own(tmp_path: Path) -> None:
    """Pillow warns from 89 megapixels and refuses from 179; its limit is not this one."""
    path = tmp_path / "wide.tif"
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.zeros((13_500, 13_500), np.uint8), photometric="minisblack", compression="zlib")
    path.write_bytes(stream.getvalue())
    assert reading.probe(path).width == 13_500
    assert reading.read(path).pixels.shape == (13_500, 13_500, 1)


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize(
    ("name", "size", "limit"),
    [
        ("a.webp", (2, 17_000), "WebP file holds, 16383"),
        ("a.webp", (17_000, 2), "WebP file holds, 16383"),
        ("a.jpg", (2, 66_000), "JPEG file holds, 65500"),
        ("a.jpeg", (65_501, 1), "JPEG file holds, 65500"),
        ("a.avif", (1, 65_537), "AVIF file holds, 65536"),
        ("a.png", (1, 1_000_001), "PNG file holds, 1000000"),
    ],
)
def test_too_long_a_side(tmp_path: Path, name: str, size: tuple[int, int], limit: str, earlier: bool) -> None:
    path = tmp_path / name
    if earlier:
        path.write_bytes(b"of an earlier run")
    wide = np.zeros((*size, 3), np.uint8)
    with pytest.raises(UserError, match=f"{name}: {size[1]}x{size[0]} pixels are more than a {limit} a side"):
        writing.write(path, Image(wide))
    with pytest.raises(UserError, match=limit):
        encode_image(wide, path.suffix)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"of an earlier run"] * earlier


@pytest.mark.parametrize(("suffix", "side"), [(".webp", 16383), (".jpg", 65500), (".png", 1_000_000)])
def test_the_longest_side_is_written(tmp_path: Path, suffix: str, side: int) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(path, np.zeros((1, side, 3), np.uint8))
    assert image_size(path) == (1, side)
    assert reading.read(path).pixels.shape == (1, side, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".avif", ".bmp"])
def test_a_refusal_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    """Of an image of no pixels."""
    path = tmp_path / f"a{suffix}"
    for earlier in (b"", b"of an earlier run"):
        if earlier:
            path.write_bytes(earlier)
        with pytest.raises(UserError, match=f"a{suffix}: ") as caught:
            writing.write(path, Image(np.zeros((0, 5, 3), np.uint8)))
        assert "\n" not in caught.value.problems[0]
        assert [file.read_bytes() for file in tmp_path.iterdir()] == [earlier] * bool(earlier)
