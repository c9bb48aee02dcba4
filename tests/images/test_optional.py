"""HEIC and camera RAW, where their decoders are installed, and what is said where they are not."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from exif_blocks import exif_block
from made_images import picture
from said import PROFILE, xmp

from deblurkit.data.images import image_size
from deblurkit.images import exif, reading, writing
from deblurkit.images.image import ImageReadError

_IDENTITY = [number for row in range(3) for column in range(3) for number in (int(row == column), 1)]


def heic(mode: str, orientation: int = 1) -> tuple[bytes, np.ndarray]:
    """A HEIC file, turned by the format's own means, as phones write it, and its pixels as they are stored."""
    pillow_heif = pytest.importorskip("pillow_heif")
    stored = picture({"L": 1, "RGB": 3, "RGBA": 4, "RGB;16": 3}[mode], 16 if ";16" in mode else 8)
    made = pillow_heif.from_bytes(mode, (stored.shape[1], stored.shape[0]), stored.tobytes())
    stream = io.BytesIO()
    block = exif_block("<", orientation).data
    made.save(stream, quality=90, chroma=444, exif=block, xmp=xmp(orientation), icc_profile=PROFILE)
    return stream.getvalue(), stored


def dng(orientation: int = 1) -> bytes:
    """The least that passes for a camera's RAW file."""
    pytest.importorskip("rawpy")
    stream = io.BytesIO()
    tifffile.imwrite(
        stream,
        np.random.default_rng(0).integers(100, 4000, (64, 96)).astype(np.uint16),
        photometric="cfa",
        metadata=None,
        subfiletype=0,
        extratags=[
            (274, "H", 1, orientation, True),
            (271, "s", 0, "Maker", True),
            (272, "s", 0, "Model", True),
            (33421, "H", 2, (2, 2), True),
            (33422, "B", 4, bytes([0, 1, 1, 2]), True),
            (50706, "B", 4, bytes([1, 4, 0, 0]), True),
            (50708, "s", 0, "Maker Model", True),
            (50714, "H", 1, 64, True),
            (50717, "H", 1, 4095, True),
            (50721, 10, 9, _IDENTITY, True),
            (50728, 5, 3, [1, 1] * 3, True),
            (50778, "H", 1, 21, True),
        ],
    )
    return stream.getvalue()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "RGB;16"])
def test_heic(tmp_path: Path, mode: str, orientation: int) -> None:
    data, stored = heic(mode, orientation)
    path = tmp_path / "a.heic"
    path.write_bytes(data)
    image = reading.read(path)
    turned = {1: stored, 3: stored[::-1, ::-1], 6: stored.swapaxes(0, 1)[:, ::-1], 8: stored.swapaxes(0, 1)[::-1]}
    expected = turned[orientation]
    channels = min(expected.shape[2], 3)
    assert (image.pixels.shape, image.pixels.dtype) == ((*expected.shape[:2], channels), expected.dtype)
    highest = np.iinfo(expected.dtype).max
    assert np.abs(image.pixels.astype(int) - expected[:, :, :channels]).mean() < highest / 40
    assert (image.alpha is not None) == (mode == "RGBA")
    assert image_size(path) == expected.shape[:2]
    assert (image.metadata.profile, image.metadata.xmp) == (PROFILE, xmp())
    assert image.metadata.exif is not None
    assert exif.orientation(image.metadata.exif) == 1
    assert image.notes == ("written as PNG: HEIC is only read",)
    assert writing.write(tmp_path / "a.png", image) == []
    np.testing.assert_array_equal(reading.read(tmp_path / "a.png").pixels, image.pixels)


@pytest.mark.parametrize("part", [0.02, 0.5, 0.95])
def test_damaged_heic(part: float) -> None:
    data, _ = heic("RGB")
    with pytest.raises(ImageReadError, match=r"a\.heic: it cannot be decoded: damaged or cut short") as caught:
        reading.decode(data[: int(len(data) * part)], "a.heic")
    assert "\n" not in caught.value.problems[0]


@pytest.mark.parametrize("orientation", [1, 6])
def test_raw(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "a.dng"
    path.write_bytes(dng(orientation))
    image = reading.read(path)
    assert image.pixels.shape == ((96, 64, 3) if orientation == 6 else (64, 96, 3))
    assert image.bits == 16
    assert image_size(path) == image.pixels.shape[:2]
    assert image.notes == ("developed to sRGB and written as TIFF, without its metadata",)
    assert writing.write(tmp_path / "a.tif", image) == []


@pytest.mark.parametrize("part", [0.01, 0.3])
def test_damaged_raw(part: float) -> None:
    data = dng()
    with pytest.raises(ImageReadError, match=r"a\.dng: it cannot be decoded: damaged or cut short: [A-Z]"):
        reading.decode(data[: int(len(data) * part)], "a.dng")


@pytest.mark.parametrize(("module", "extra", "name"), [("pillow_heif", "heic", "a.heic"), ("rawpy", "raw", "a.nef")])
def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, extra: str, name: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    path = tmp_path / name
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    for action in (reading.probe, reading.read):
        with pytest.raises(ImageReadError, match=rf"{name}: .*it needs {module}: pip install 'deblurkit\[{extra}\]'"):
            action(path)
