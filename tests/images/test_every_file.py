"""Every kind of file is read as an independent reader or its own maker has it, or refused by its name in one line."""

from __future__ import annotations

import io
import itertools
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from made_images import Maker, jpegs, others, picture, pillow_tiffs, png, pngs, saved, tiffs, turned
from PIL import Image

from deblurkit.data.images import image_size, read_image
from deblurkit.images import image as held
from deblurkit.images import reading
from deblurkit.images.image import ImageReadError

READ = dict(itertools.chain(pngs(), tiffs(), pillow_tiffs(), jpegs(), others(), turned()))


def test_they_are_many() -> None:
    assert len(READ) >= 150


@pytest.mark.parametrize("make", READ.values(), ids=READ)
def test_it_is_read_as_it_was_made(tmp_path: Path, make: Maker, capfd: pytest.CaptureFixture[str]) -> None:
    made = make()
    path = tmp_path / f"made{made.suffix}"
    path.write_bytes(made.data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = reading.read(path)
        header = reading.probe(path)
    assert (image.pixels.shape, image.pixels.dtype) == (made.pixels.shape, made.pixels.dtype)
    _compare(image.pixels, made.pixels, made.within)
    assert (image.alpha is None) == (made.alpha is None)
    if image.alpha is not None:
        np.testing.assert_array_equal(image.alpha, made.alpha)
    assert image.premultiplied == made.premultiplied
    assert image.pixels.flags.c_contiguous
    assert ((header.height, header.width), header.frames, header.whole) == (image.pixels.shape[:2], 1, True)
    assert image_size(path) == image.pixels.shape[:2]
    shown = read_image(path)
    assert shown.shape == (*image.pixels.shape[:2], 3)
    np.testing.assert_array_equal(shown, np.broadcast_to(image.pixels, shown.shape))
    assert capfd.readouterr() == ("", "")


def _compare(found: np.ndarray, expected: np.ndarray, within: float) -> None:
    if within:
        assert np.abs(found.astype(int) - expected).mean() <= within
    else:
        np.testing.assert_array_equal(found, expected)


def _tiff(array: np.ndarray, **settings: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **{"metadata": None, **settings})
    return stream.getvalue()


def _several(kind: str, **settings: Any) -> bytes:
    frames = [Image.fromarray(picture(3, seed=seed)) for seed in range(3)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:], **settings)


def _bits(bits: int) -> bytes:
    return _tiff(picture(1, bits)[:, :, 0], bitspersample=bits, photometric="minisblack")


def _avif(bits: int) -> bytes:
    return imagecodecs.avif_encode(picture(3, bits), bitspersample=bits)


GREY, RGB = picture(1)[:, :, 0], picture(3)
REFUSED: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "float32": (".tif", lambda: _tiff(RGB.astype(np.float32), photometric="rgb"), r"floating-point \(float32\)"),
    "float16": (".tif", lambda: _tiff(RGB.astype(np.float16), photometric="rgb"), r"floating-point \(float16\)"),
    "int16": (".tif", lambda: _tiff(RGB.astype(np.int16), photometric="rgb"), r"signed \(int16\)"),
    "int8": (".tif", lambda: _tiff(GREY.astype(np.int8)), r"signed \(int8\)"),
    "uint32": (".tif", lambda: _tiff(RGB.astype(np.uint32), photometric="rgb"), "32 bits a channel; expected 8 or 16"),
    "complex": (".tif", lambda: _tiff(GREY.astype(np.complex64)), "other than unsigned"),
    "4 bits": (".tif", lambda: _bits(4), "4 bits a channel; expected 8 or 16"),
    "12 bits": (".tif", lambda: _bits(12), "12 bits a channel; expected 8 or 16"),
    "5 channels": (
        ".tif",
        lambda: _tiff(picture(5), photometric="rgb", extrasamples=[0, 0], planarconfig="contig"),
        "5 channels; expected 3, and perhaps alpha",
    ),
    "CMYK and alpha": (
        ".tif",
        lambda: _tiff(picture(5), photometric="separated", extrasamples=[2], planarconfig="contig"),
        "5 channels; expected 4",
    ),
    "grey JPEG with alpha": (
        ".tif",
        lambda: _tiff(picture(2), photometric="minisblack", extrasamples=[2], compression="jpeg"),
        "2 channels",
    ),
    "CIELAB": (".tif", lambda: _tiff(RGB, photometric="cielab"), "colours are CIELAB; expected grey, RGB"),
    "a camera's own pattern": (".tif", lambda: _tiff(GREY, photometric="cfa"), "colours are CFA"),
    "YCbCr as it is": (".tif", lambda: saved(Image.fromarray(RGB).convert("YCbCr"), "TIFF"), "colours are YCBCR"),
    "pages": (".tif", lambda: _several("TIFF"), "3 images in one TIFF file; expected one"),
    "planes": (
        ".tif",
        lambda: _tiff(picture(4).transpose(2, 0, 1), photometric="minisblack"),
        "4 images in one TIFF file",
    ),
    "APNG": (".png", lambda: _several("PNG"), "3 images in one PNG file"),
    "animated WebP": (".webp", lambda: _several("WEBP", lossless=True), "3 images in one WebP file"),
    "animated AVIF": (".avif", lambda: _several("AVIF"), "3 images in one AVIF file"),
    "AVIF of 10 bits": (".avif", lambda: _avif(10), "10 or 12 bits a channel in an AVIF file; expected 8"),
    "AVIF of 12 bits": (".avif", lambda: _avif(12), "10 or 12 bits a channel in an AVIF file; expected 8"),
    "GIF": (".png", lambda: saved(Image.fromarray(RGB), "GIF"), "not an image"),
    "text": (".jpg", lambda: b"this is no image", "not an image"),
    "nothing": (".tif", lambda: b"", "not an image"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_is_refused_by_its_name(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    suffix, make, words = REFUSED[name]
    path = tmp_path / f"refused{suffix}"
    path.write_bytes(make())
    with pytest.raises(ImageReadError, match=words) as caught:
        reading.read(path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}: ")
    assert "\n" not in problem
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("bits", "sampled"), [(8, 2), (8, 1), (16, 2)])
def test_other_bits_of_jpeg(tmp_path: Path, bits: int, sampled: int) -> None:
    """JPEG of 12 bits, and with chroma that is halved downwards alone."""
    if bits == 16:
        data = imagecodecs.jpeg8_encode(picture(3, 12), bitspersample=12)
        with pytest.raises(ImageReadError, match="12 bits a channel in a JPEG file; expected 8"):
            reading.decode(data, "deep.jpg")
        return
    data = imagecodecs.jpeg8_encode(picture(3), level=90, subsampling=(1, sampled))
    image = reading.decode(data, "a.jpg")
    assert image.jpeg is not None
    assert image.jpeg.sampling == "4:4:4"
    assert np.abs(image.pixels.astype(int) - picture(3)).mean() < 3


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("scale", [257, 1])
def test_tiff_with_a_small_palette(bits: int, scale: int) -> None:
    """Of 16 bits a colour, and of 8 as some writers have it. tifffile writes none: grey is made one."""
    numbers = picture(1, bits)[:, :, 0]
    palette = np.random.default_rng(1).integers(0, 256, (3, 2**bits)).astype(np.uint16)
    colours = (palette * scale).ravel().tolist()
    grey = _tiff(
        numbers.astype(bool) if bits == 1 else numbers,
        photometric="minisblack",
        bitspersample=bits,
        extratags=[(320, "H", len(colours), colours, True)],
    )
    changed = io.BytesIO(grey)
    with tifffile.TiffFile(changed, mode="r+b") as opened:
        opened.pages[0].tags[262].overwrite(3)
    image = reading.decode(changed.getvalue(), "a.tif")
    np.testing.assert_array_equal(image.pixels, palette.astype(np.uint8)[:, numbers].transpose(1, 2, 0))
    assert image.notes == ("its palette became RGB",)


def test_a_big_tiff_that_says_something() -> None:
    said = {"description": "A cat", "software": "S 1", "datetime": "2024:05:06 07:08:09", "resolution": (300, 200)}
    for order in "<>":
        image = reading.decode(_tiff(RGB, photometric="rgb", bigtiff=True, byteorder=order, **said), "a.tif")
        assert image.metadata.density == (300, 200)
        block = Image.Exif()
        block.load(b"Exif\0\0" + (image.metadata.exif or b""))
        assert dict(block) == {270: "A cat", 305: "S 1", 306: "2024:05:06 07:08:09"}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_three_equal_channels_are_one_again(dtype: type) -> None:
    levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(-1, 16, 1)
    grey = held.Image(levels)
    np.testing.assert_array_equal(grey.with_pixels(grey.rgb()).pixels, levels)
    apart = np.repeat(levels[:1], 3, axis=2) + np.array([0, 1, 1], dtype)
    np.testing.assert_array_equal(grey.with_pixels(apart).pixels, levels[:1] + 1)  # two thirds are rounded up
    apart[:, :, 2] -= 1
    np.testing.assert_array_equal(grey.with_pixels(apart).pixels, levels[:1])
    colour = held.Image(picture(3))
    assert colour.rgb() is colour.pixels


def test_other_programs_hear_tifffile(caplog: pytest.LogCaptureFixture) -> None:
    damaged = _tiff(RGB, photometric="rgb", rowsperstrip=16)[:-100]
    logger = logging.getLogger("tifffile")
    before = logger.level
    with caplog.at_level(logging.DEBUG, logger="tifffile"):
        for data in (damaged, _tiff(RGB, photometric="rgb", extratags=[(700, 1, 3, b"abc", True)])):
            with pytest.raises(ImageReadError):
                reading.decode(data[:-90], "a.tif")
        assert caplog.records == []
        logger.warning("heard")
        assert [record.message for record in caplog.records] == ["heard"]
    assert logger.level == before


def test_a_small_copy_or_a_mask_is_no_second_image(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        writer.write(RGB, photometric="rgb", metadata=None)
        writer.write(RGB[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
    np.testing.assert_array_equal(reading.decode(stream.getvalue(), "a.tif").pixels, RGB)


@pytest.mark.parametrize("suffix", [".heic", ".png", ".tif"])
def test_the_contents_tell_the_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"misnamed{suffix}"
    path.write_bytes(png(RGB, 2, 8))
    np.testing.assert_array_equal(reading.read(path).pixels, RGB)
