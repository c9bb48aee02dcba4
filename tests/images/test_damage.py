"""Damage, limits and refusals: none of them passes for an image, and none leaves anything on the disk."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from exif_blocks import exif_block
from made_images import chunk, picture, png, saved
from PIL import Image as Pillow
from said import jpeg, png_that_says

from deblurkit.data.images import encode_image, image_size
from deblurkit.images import reading, writing
from deblurkit.images.image import ImageReadError

ROOT = Path(__file__).resolve().parents[2]
RGB = picture(3)
LARGE = picture(3, height=300, width=400)
BIG_SIDE = 31623  # squared, a gigapixel


def tiff(array: np.ndarray, **settings: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **{"metadata": None, "photometric": "rgb", **settings})
    return stream.getvalue()


@pytest.mark.parametrize("order", "<>")
def test_planar_16_bits(order: str) -> None:
    """It once came out as memory that nobody had written to."""
    deep = picture(3, 16)
    data = tiff(deep.transpose(2, 0, 1), planarconfig="separate", byteorder=order, compression="zlib")
    np.testing.assert_array_equal(reading.decode(data, "a.tif").pixels, deep)


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_alpha_in_a_big_tiff(extra: int) -> None:
    """Colours were once multiplied by it."""
    samples = picture(4)
    data = tiff(samples, bigtiff=True, extrasamples=[extra], planarconfig="contig")
    image = reading.decode(data, "a.tif")
    np.testing.assert_array_equal(image.pixels, samples[:, :, :3])
    np.testing.assert_array_equal(image.alpha, samples[:, :, 3])


def _hole(data: bytes) -> bytes:
    return data[: len(data) // 2] + data[len(data) // 2 + 2000 :]


def _zeros(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes(2000) + data[len(data) // 2 + 2000 :]


def _ended(data: bytes) -> bytes:
    return data[: len(data) // 2] + b"\xff\xd9"


@pytest.mark.parametrize("damage", [_hole, _zeros, _ended], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize(
    "settings",
    [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": "4:4:4"}],
    ids=["baseline", "progressive", "restart", "full"],
)
def test_damaged_jpeg(tmp_path: Path, damage: Callable[[bytes], bytes], settings: dict[str, Any]) -> None:
    """libjpeg only warns, and goes on in grey."""
    data = saved(Pillow.fromarray(LARGE), "JPEG", quality=95, **settings)
    assert len(data) > 10_000
    path = tmp_path / "a.jpg"
    path.write_bytes(damage(data))
    with pytest.raises(ImageReadError, match=r"a\.jpg: it cannot be decoded: damaged or cut short: "):
        reading.read(path)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_damaged_jpeg_of_other_channels(mode: str) -> None:
    data = saved(Pillow.fromarray(LARGE).convert(mode), "JPEG", quality=95)
    for damage in (_hole, _ended):
        with pytest.raises(ImageReadError, match="damaged or cut short"):
            reading.decode(damage(data), "a.jpg")


@pytest.mark.parametrize("damage", [_hole, _zeros], ids=lambda damage: damage.__name__)
def test_damaged_jpeg_in_tiff(damage: Callable[[bytes], bytes]) -> None:
    data = bytearray(tiff(LARGE, compression="jpeg"))
    with tifffile.TiffFile(io.BytesIO(data)) as opened:
        start, size = opened.pages[0].dataoffsets[0], opened.pages[0].databytecounts[0]
    strip = damage(bytes(data[start : start + size]))
    data[start : start + size] = strip.ljust(size, b"\0")
    with pytest.raises(ImageReadError, match="damaged or cut short"):
        reading.decode(bytes(data), "a.tif")


def _with_strips(data: bytes, change: Callable[[list[int], list[int]], None], big: bool = False) -> bytes:
    """A TIFF file with other places or lengths of its strips."""
    changed = io.BytesIO(data)
    with tifffile.TiffFile(changed, mode="r+b") as opened:
        tags = opened.pages[0].tags
        places, sizes = list(tags[273].value), list(tags[279].value)
        change(places, sizes)
        tags[273].overwrite(tuple(places))
        tags[279].overwrite(tuple(sizes))
    return changed.getvalue()


def _beyond(places: list[int], sizes: list[int]) -> None:
    places[1] = 10_000_000


def _missing(places: list[int], sizes: list[int]) -> None:
    places[1] = sizes[1] = 0


def _short(places: list[int], sizes: list[int]) -> None:
    sizes[1] //= 2


def _fewer(places: list[int], sizes: list[int]) -> None:
    places.pop()
    sizes.pop()


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("change", [_beyond, _missing, _short, _fewer], ids=lambda change: change.__name__)
def test_strips_that_are_not_there(
    tmp_path: Path, compression: str | None, change: Callable[[list[int], list[int]], None]
) -> None:
    data = tiff(LARGE, compression=compression, rowsperstrip=50)
    assert reading.decode(data, "a.tif").pixels.shape == LARGE.shape
    path = tmp_path / "a.tif"
    path.write_bytes(_with_strips(data, change))
    with pytest.raises(ImageReadError, match=r"a\.tif: it cannot be decoded: damaged"):
        reading.read(path)
    if compression is None or change is not _short:
        assert not reading.probe(path).whole
        with pytest.raises(ImageReadError, match=r"a\.tif: it cannot be decoded: damaged"):
            image_size(path)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".avif", ".bmp"])
def test_cut_short(tmp_path: Path, suffix: str, part: float) -> None:
    whole = encode_image(LARGE, suffix)
    with pytest.raises(ImageReadError, match="cut short"):
        reading.decode(whole[: int(len(whole) * part)], f"a{suffix}")
    path = tmp_path / f"a{suffix}"
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ImageReadError, match="cut short"):
        image_size(path)


@pytest.mark.parametrize("compression", ["zstd", "lzma"])
def test_these_are_not_damaged(compression: str) -> None:
    np.testing.assert_array_equal(reading.decode(tiff(RGB, compression=compression), "a.tif").pixels, RGB)


def test_damaged_png() -> None:
    data = png(LARGE, 2, 8)
    for at in range(60, len(data) - 20, len(data) // 40):
        flipped = data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]
        with pytest.raises(ImageReadError, match="damaged or cut short"):
            reading.decode(flipped, "a.png")


def test_png_with_too_few_rows() -> None:
    """Its sums are right, and its header promises more."""
    rows = b"".join(b"\0" + row.tobytes() for row in LARGE[:-1])
    header = struct.pack(">IIBBBBB", 400, 300, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    with pytest.raises(ImageReadError, match="damaged or cut short"):
        reading.decode(b"\x89PNG\r\n\x1a\n" + b"".join(parts), "a.png")


@pytest.mark.parametrize("kind", [b"eXIf", b"iCCP", b"tEXt", b"pHYs", b"gAMA"])
def test_damaged_words_of_a_png_are_told(kind: bytes) -> None:
    data = png_that_says()
    at = data.index(kind) + 6
    image = reading.decode(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], "a.png")
    assert image.notes == (f"its {kind.decode()} is damaged, not kept",)
    np.testing.assert_array_equal(image.pixels, picture(3))


@pytest.mark.parametrize("length", [0, 4, 8, 9, 20, 200])
def test_damaged_exif_is_told_and_not_written(tmp_path: Path, length: int) -> None:
    block = exif_block("<", 6).data[:length]
    data = png(RGB, 2, 8, chunk(b"eXIf", block))
    image = reading.decode(data, "a.png")
    for suffix in (".jpg", ".png", ".tif", ".webp", ".avif"):
        notes = writing.write(tmp_path / f"a{suffix}", image, program="deblurkit")
        after = reading.read(tmp_path / f"a{suffix}")
        if image.metadata.exif is None:  # turned, and nothing kept
            assert "damaged EXIF" in image.notes[0]
        elif after.metadata.exif is None:
            assert any(note.startswith("damaged EXIF: ") for note in notes)


def test_a_jpeg_that_no_other_table_fits() -> None:
    """Quantisation tables of 16 bits, of the lowest qualities."""
    data = saved(Pillow.fromarray(RGB), "JPEG", qtables=[[1000] * 64, [300] * 64])
    image = reading.decode(data, "a.jpg")
    assert image.jpeg is not None
    encoded = writing.encode(image, writing.JPEG)
    assert Pillow.open(io.BytesIO(encoded)).quantization == Pillow.open(io.BytesIO(data)).quantization  # type: ignore[attr-defined]


def test_densities_that_no_image_has(tmp_path: Path) -> None:
    for across in (1, 4_000_000_000):
        image = reading.decode(png(RGB, 2, 8, chunk(b"pHYs", struct.pack(">IIB", across, 11811, 1))), "a.png")
        assert image.notes == ("a density that no image has is not kept",)
        for suffix in (".jpg", ".png", ".tif", ".bmp"):
            writing.write(tmp_path / f"a{suffix}", image)
            assert reading.read(tmp_path / f"a{suffix}").pixels.shape == RGB.shape


def test_a_profile_that_unpacks_to_too_much() -> None:
    bomb = zlib.compress(bytes(100 << 20), 9)
    image = reading.decode(png(RGB, 2, 8, chunk(b"iCCP", b"bomb\0\0" + bomb)), "a.png")
    assert image.metadata.profile is None
    np.testing.assert_array_equal(image.pixels, RGB)


def test_the_first_of_two_blocks_is_meant(tmp_path: Path) -> None:
    """By both ways of reading: else a size would be told that the image does not have."""
    blocks = b"".join(chunk(b"eXIf", exif_block("<", turn, size=(37, 53)).data) for turn in (6, 1))
    path = tmp_path / "a.png"
    path.write_bytes(png(RGB, 2, 8, blocks))
    assert image_size(path) == reading.read(path).pixels.shape[:2]
    first, second = jpeg(6), jpeg(1)
    segment = second[20 : 22 + int.from_bytes(second[22:24], "big")]
    assert segment.startswith(b"\xff\xe1")
    at = 22 + int.from_bytes(first[22:24], "big")
    path.write_bytes(first[:at] + segment + first[at:])
    assert image_size(path) == reading.read(path).pixels.shape[:2] == (53, 37)


def test_a_directory_that_lies_beyond_the_end(tmp_path: Path) -> None:
    """Where the block passes as it is, so does that; where its directories are written anew, its loss is told."""
    block = exif_block("<", 1)
    data = bytearray(block.data)
    struct.pack_into("<I", data, block.places[0, 0x8825], 1 << 20)
    image = reading.decode(png(RGB, 2, 8, chunk(b"eXIf", bytes(data))), "a.png")
    for suffix, notes in {
        ".jpg": [],
        ".png": [],
        ".webp": [],
        ".tif": ["damaged entries of EXIF are not kept"],
    }.items():
        assert writing.write(tmp_path / f"a{suffix}", image, program="deblurkit") == notes
        after = reading.read(tmp_path / f"a{suffix}").metadata.exif
        assert after is not None
        assert b"A lens 24-70" in after
    writing.write(tmp_path / "a.avif", image, program="deblurkit")
