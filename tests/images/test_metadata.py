"""Of what a photograph's file says besides its pixels nothing is lost in silence, as exiftool sees it."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exif_blocks import MAKER_NOTE
from made_images import picture, saved
from PIL import JpegImagePlugin
from said import (
    COMMENT,
    EXTENDED_GUID,
    PROFILE,
    avif,
    bmp,
    exiftool,
    image_of,
    jpeg,
    needs_exiftool,
    opened,
    png_that_says,
    tiff_that_says,
    webp,
    xmp,
)

from deblurkit.images import exif, reading, writing
from deblurkit.images.image import Image, Metadata

PROGRAM = "deblurkit 9.9"
LONG_PROFILE = PROFILE + bytes(range(256)) * 600
"""One that a JPEG file holds in several segments."""

FILES: dict[str, Callable[[], bytes]] = {
    "rgb.jpg": jpeg,
    "motorola.jpg": lambda: jpeg(order=">"),
    "grey.jpg": lambda: jpeg(mode="L"),
    "progressive.jpg": lambda: jpeg(progressive=True),
    "halved.jpg": lambda: jpeg(subsampling="4:2:2", quality=71),
    "full.jpg": lambda: jpeg(subsampling="4:4:4", quality=97),
    "profile.jpg": lambda: jpeg(profile=LONG_PROFILE),
    "rgb.png": png_that_says,
    "motorola.png": lambda: png_that_says(order=">"),
    "srgb.png": lambda: png_that_says(of_srgb=True),
    "rgb16.png": lambda: png_that_says(bits=16),
    "grey.png": lambda: png_that_says(colour=0),
    "grey16.png": lambda: png_that_says(colour=0, bits=16),
    "grey alpha.png": lambda: png_that_says(colour=4),
    "alpha16.png": lambda: png_that_says(colour=6, bits=16),
    "rgb.tif": tiff_that_says,
    "motorola.tif": lambda: tiff_that_says(order=">"),
    "grey.tif": lambda: tiff_that_says(mode="L"),
    "alpha.tif": lambda: tiff_that_says(mode="RGBA"),
    "rgb.webp": webp,
    "alpha.webp": lambda: webp(mode="RGBA"),
    "rgb.avif": avif,
    "rgb.bmp": bmp,
    **{
        f"orientation {turn}{suffix}": lambda make=make, turn=turn: make(turn)
        for (suffix, make), turn in itertools.product(
            {".jpg": jpeg, ".png": png_that_says, ".tif": tiff_that_says, ".webp": webp, ".avif": avif}.items(),
            range(1, 9),
        )
    },
}

# What may differ, and why.
STORAGE = r"System:.*|IFD0:(Strip(Offsets|ByteCounts)|Compression|Predictor|RowsPerStrip)|QuickTime:MediaData\w+"
OURS = r"IFD0:Software|PNG:ProfileName|File:EncodingProcess"
THUMBNAIL = r"IFD1:.*"
AVIF_CODING = r"QuickTime:(ChromaFormat|CompatibleBrands)"  # chroma is not halved
TURNED = (
    r"(IFD0|XMP-tiff):Orientation|QuickTime:Rotation|QuickTime:Mirroring|QuickTime:ImageSpatialExtent"
    r"|Composite:ImageSize|(File|PNG|RIFF|IFD0):Image(Width|Height)|ExifIFD:ExifImage(Width|Height)"
    r"|(IFD0|JFIF):[XY]Resolution|PNG-pHYs:PixelsPerUnit[XY]"
)


def complaints(tags: dict[str, Any]) -> list[Any]:
    """What exiftool found wrong, but for the note that nobody knows."""
    wrong = [value for tag, value in tags.items() if re.search("Warning|Error", tag)]
    return [value for value in wrong if value != "[minor] Unrecognized MakerNotes"]


class Written:
    """Every file, written again in its own format, and what exiftool finds before and after."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images: dict[str, Image] = {}
        self.notes: dict[str, list[str]] = {}
        (folder / "before").mkdir()
        (folder / "after").mkdir()
        for name, make in FILES.items():
            (folder / "before" / name).write_bytes(make())
            self.images[name] = reading.read(folder / "before" / name)
            self.notes[name] = writing.write(folder / "after" / name, self.images[name], program=PROGRAM)

    def tags(self) -> None:
        found = exiftool(self.folder)
        self.before = {name: found[f"before/{name}"] for name in FILES}
        self.after = {name: found[f"after/{name}"] for name in FILES}

    def bytes(self, name: str) -> bytes:
        return (self.folder / "after" / name).read_bytes()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return Written(tmp_path_factory.mktemp("written"))


@pytest.fixture(scope="module")
def told(written: Written) -> Written:
    written.tags()
    return written


@needs_exiftool
@pytest.mark.parametrize("name", FILES)
def test_exiftool_finds_what_it_found(told: Written, name: str) -> None:
    before, after = told.before[name], told.after[name]
    assert complaints(before) == complaints(after) == []
    allowed = f"{STORAGE}|{OURS}|{THUMBNAIL}"
    if name.endswith(".avif"):
        allowed += f"|{AVIF_CODING}"
    if name.startswith("orientation"):
        allowed += f"|{TURNED}"
    if name.endswith(".tif"):
        allowed += "|IFD0:(Orientation|PlanarConfiguration|SamplesPerPixel)"  # which go without saying: 1
    differing = {
        tag: (before.get(tag), after.get(tag))
        for tag in before.keys() | after.keys()
        if before.get(tag) != after.get(tag) and not re.fullmatch(allowed, tag)
    }
    assert differing == {}


@needs_exiftool
@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith((".bmp", ".tif"))])
def test_they_say_much(told: Written, name: str) -> None:
    """So that the comparison is one of something."""
    found = told.after[name]
    assert found["IFD0:Make"] == "Maker"
    assert found["IFD0:Software"] == PROGRAM
    assert found["ExifIFD:ISO"] == 400
    assert found["GPS:GPSLatitude"].startswith("52 deg 31'")
    assert found["XMP-dc:Subject"] == ["Straße", "猫"]
    assert found["XMP-tiff:Orientation"] == "Horizontal (normal)"
    assert found.get("IFD0:Orientation", "Horizontal (normal)") == "Horizontal (normal)"
    if name.endswith(".jpg"):
        assert (found["File:Comment"], found["IPTC:Caption-Abstract"]) == (COMMENT.decode(), "A caption")
        assert found["IPTC:Keywords"] == ["cat", "wall"]
    if name.endswith(".png"):
        assert (found["PNG:Author"], found["PNG:Title-de"]) == ("Somebody", "Straße")


@needs_exiftool
@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".tif")])
def test_tiff_files_say_much(told: Written, name: str) -> None:
    found = told.after[name]
    assert (found["IFD0:Make"], found["IFD0:Software"], found["ExifIFD:ISO"]) == ("Maker", PROGRAM, 400)
    assert found["ExifIFD:ExposureCompensation"] == told.before[name]["ExifIFD:ExposureCompensation"]
    assert found["GPS:GPSLatitude"].startswith("52 deg 31'")
    assert found["XMP-dc:Subject"] == ["Straße", "猫"]


@pytest.mark.parametrize("name", FILES)
def test_bytes_that_pass_as_they_are(written: Written, name: str) -> None:
    image = reading.read(written.folder / "after" / name)
    before = written.images[name]
    assert written.notes[name] == []
    assert image.metadata.profile == before.metadata.profile
    if not name.endswith(".bmp"):
        assert before.metadata.profile in (PROFILE, LONG_PROFILE, None if name == "srgb.png" else PROFILE)
        assert (image.metadata.xmp, before.metadata.xmp) == (xmp(), xmp())
        assert before.metadata.exif is not None
        assert image.metadata.exif is not None
        assert MAKER_NOTE in image.metadata.exif
        if not name.endswith(".tif"):  # its directories are written anew: they and the image's stand in one file
            assert image.metadata.exif.index(MAKER_NOTE) == before.metadata.exif.index(MAKER_NOTE)
            assert image.metadata.exif[8 : len(before.metadata.exif) - 4].startswith(before.metadata.exif[8:100])
        assert MAKER_NOTE in written.bytes(name)
    assert [block.content for block in image.blocks] == [block.content for block in before.blocks]
    if name.endswith(".jpg"):
        assert EXTENDED_GUID in written.bytes(name)
        assert COMMENT in written.bytes(name)


@pytest.mark.parametrize("name", FILES)
def test_pixels(written: Written, name: str) -> None:
    image, before = reading.read(written.folder / "after" / name), written.images[name]
    assert (image.pixels.shape, image.pixels.dtype) == (before.pixels.shape, before.pixels.dtype)
    assert image.is_grey == name.startswith("grey")
    assert image.bits == (16 if "16" in name else 8)
    if name.endswith((".jpg", ".avif")):
        assert np.abs(image.pixels.astype(int) - before.pixels).mean() < 2
    else:
        np.testing.assert_array_equal(image.pixels, before.pixels)
    assert (image.alpha is None) == (before.alpha is None) == ("alpha" not in name)
    if image.alpha is not None and before.alpha is not None:
        np.testing.assert_array_equal(image.alpha, before.alpha)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".jpg")])
def test_jpeg_is_compressed_as_it_was(written: Written, name: str) -> None:
    before, after = opened((written.folder / "before" / name).read_bytes()), opened(written.bytes(name))
    assert isinstance(before, JpegImagePlugin.JpegImageFile)
    assert isinstance(after, JpegImagePlugin.JpegImageFile)
    assert after.quantization == before.quantization
    assert JpegImagePlugin.get_sampling(after) == JpegImagePlugin.get_sampling(before)


@pytest.mark.parametrize("make", [jpeg, png_that_says, tiff_that_says, webp, avif])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_they_are_turned_upright_once(tmp_path: Path, make: Callable[[int], bytes], orientation: int) -> None:
    suffix = {jpeg: ".jpg", png_that_says: ".png", tiff_that_says: ".tif", webp: ".webp", avif: ".avif"}[make]
    image = reading.decode(make(orientation), f"a{suffix}")
    stored = picture(3)
    flipped = {1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1]}
    turned = stored.transpose(1, 0, 2)
    flipped |= {5: turned, 6: turned[:, ::-1], 7: turned[::-1, ::-1], 8: turned[::-1]}
    assert image.pixels.shape == flipped[orientation].shape
    assert np.abs(image.pixels.astype(int) - flipped[orientation]).mean() < 4
    assert image.metadata.exif is not None
    assert exif.orientation(image.metadata.exif) == 1
    assert image.metadata.xmp == xmp()
    expected = (200, 300) if orientation > 4 else (300, 200)
    assert image.metadata.density == pytest.approx(expected, abs=0.01)
    writing.write(tmp_path / f"a{suffix}", image)
    again = reading.read(tmp_path / f"a{suffix}")
    assert again.pixels.shape == image.pixels.shape
    assert np.abs(again.pixels.astype(int) - image.pixels).mean() < 4


def test_chroma_that_is_halved_across_is_not_halved_downwards_too() -> None:
    image = reading.decode(jpeg(6, subsampling="4:2:2"), "a.jpg")
    assert image.jpeg is not None
    assert image.jpeg.sampling == "4:4:4"


ACROSS = {
    # by what they are written as: the notes of JPEG, PNG and TIFF photographs, in that order
    ".jpg": ([], ["texts and colour notes of another format are not kept in JPEG"], []),
    ".png": (["texts and colour notes of another format are not kept in PNG"], [], []),
    ".tif": (
        ["texts and colour notes of another format are not kept in TIFF"],
        ["texts and colour notes of another format are not kept in TIFF"],
        [],
    ),
    ".webp": (
        ["texts and colour notes of another format are not kept in WebP"],
        ["texts and colour notes of another format are not kept in WebP"],
        ["pixels an inch are not kept: WebP names none"],
    ),
    ".avif": (
        ["texts and colour notes of another format are not kept in AVIF"],
        ["texts and colour notes of another format are not kept in AVIF"],
        ["pixels an inch are not kept: AVIF names none"],
    ),
    ".bmp": (
        [
            "ICC profile, EXIF and XMP are not kept: BMP holds none",
            "texts and colour notes of another format are not kept in BMP",
        ],
        [
            "ICC profile, EXIF and XMP are not kept: BMP holds none",
            "texts and colour notes of another format are not kept in BMP",
        ],
        ["ICC profile, EXIF and XMP are not kept: BMP holds none"],
    ),
}


@pytest.mark.parametrize("suffix", ACROSS)
@pytest.mark.parametrize("number", range(3))
def test_another_format_keeps_what_it_can_hold(tmp_path: Path, suffix: str, number: int) -> None:
    made = (jpeg(6), png_that_says(6), tiff_that_says(6))[number]
    image = reading.decode(made, "a")
    path = tmp_path / f"a{suffix}"
    assert writing.write(path, image, program=PROGRAM) == ACROSS[suffix][number]
    after = reading.read(path)
    assert np.abs(after.pixels.astype(int) - image.pixels).mean() < 4
    if suffix != ".bmp":
        assert after.metadata.profile == PROFILE
        assert after.metadata.xmp == xmp()
        assert after.metadata.exif is not None
        assert MAKER_NOTE in after.metadata.exif
    if (suffix, number) not in ((".webp", 2), (".avif", 2)):
        assert after.metadata.density == pytest.approx((200, 300), abs=0.01)


@needs_exiftool
def test_exiftool_finds_it_in_another_format(tmp_path: Path) -> None:
    images = {"jpg": reading.decode(jpeg(6), "a"), "png": reading.decode(png_that_says(6, order=">"), "a")}
    images["tif"] = reading.decode(tiff_that_says(6), "a")
    for source, target in itertools.product(images, ("jpg", "png", "tif", "webp", "avif")):
        writing.write(tmp_path / f"{source} to.{target}", images[source], program=PROGRAM)
    found = exiftool(tmp_path)
    assert len(found) == 15
    wanted = {
        "IFD0:Make": "Maker",
        "IFD0:Software": PROGRAM,
        "ExifIFD:ISO": 400,
        "ExifIFD:ShutterSpeedValue": None,
        "ExifIFD:LensModel": "A lens 24-70",
        "XMP-xmp:Rating": 4,
    }
    for name, tags in found.items():
        assert complaints(tags) == [], name
        assert {tag: tags.get(tag) for tag in wanted} == wanted, name
        assert tags["GPS:GPSLongitude"].startswith("13 deg 24'")
        if not name.startswith("tif"):  # Pillow wrote none into that
            assert tags["InteropIFD:InteropIndex"].startswith("R98"), name


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_alpha_that_is_not_kept_is_told(tmp_path: Path, suffix: str) -> None:
    image = reading.decode(saved(image_of("RGBA"), "PNG"), "a.png")
    assert writing.write(tmp_path / f"a{suffix}", image) == [
        f"alpha is not kept: {suffix[1:].upper().replace('JPG', 'JPEG')} holds none"
    ]
    after = reading.read(tmp_path / f"a{suffix}")
    assert after.alpha is None
    assert np.abs(after.pixels.astype(int) - image.pixels).mean() < 3


@pytest.mark.parametrize("bits", [8, 16])
def test_multiplied_colours_are_divided_where_a_format_has_none(tmp_path: Path, bits: int) -> None:
    highest = 2**bits - 1
    dtype = np.uint8 if bits == 8 else np.uint16
    alpha = np.array([[0, highest // 2, highest]], dtype)
    pixels = np.array([[[0, 0, 0], [highest // 2, highest // 4, 0], [highest, 7, 1]]], dtype)
    image = Image(pixels, alpha, premultiplied=True)
    assert writing.write(tmp_path / "a.tif", image) == []
    after = reading.read(tmp_path / "a.tif")
    assert after.premultiplied
    np.testing.assert_array_equal(after.pixels, pixels)
    assert writing.write(tmp_path / "a.png", image) == [
        "colours that were multiplied by alpha are divided by it in PNG"
    ]
    after = reading.read(tmp_path / "a.png")
    assert not after.premultiplied
    np.testing.assert_array_equal(after.alpha, alpha)
    expected = np.array([[[0, 0, 0], [highest, highest / 2, 0], [highest, 7, 1]]])
    assert np.abs(after.pixels.astype(int) - expected).max() <= highest / 127


def test_what_has_no_room(tmp_path: Path) -> None:
    image = reading.decode(png_that_says(), "a.png")
    metadata: dict[str, Any] = {
        "exif": image.metadata.exif + bytes(65536),
        "xmp": xmp() + b" " * 65536,
        "profile": PROFILE + bytes(17 << 20),
    }
    large = Image(image.pixels, metadata=Metadata(**metadata, density=(300.0, 200.0)))
    assert writing.write(tmp_path / "a.jpg", large) == [
        "EXIF of more than 64 KB is not kept: JPEG has no room for it",
        "XMP of more than 64 KB is not kept: JPEG has no room for it",
        "an ICC profile of more than 16 MB is not kept: JPEG has no room for it",
    ]
    smaller = Image(image.pixels, metadata=dataclasses.replace(large.metadata, profile=PROFILE))
    assert writing.write(tmp_path / "a.png", smaller) == []
    after = reading.read(tmp_path / "a.png").metadata
    assert dataclasses.replace(after, density=(300.0, 200.0)) == smaller.metadata


def test_grey_in_webp_is_told(tmp_path: Path) -> None:
    assert writing.write(tmp_path / "a.webp", Image(picture(1))) == ["grey became RGB: WebP holds no grey"]
    np.testing.assert_array_equal(reading.read(tmp_path / "a.webp").pixels, np.repeat(picture(1), 3, axis=2))


def test_pictures_behind_the_first_are_told() -> None:
    image = reading.decode(jpeg() + b"a film of the moment before", "a.jpg")
    assert image.notes == ("what stands behind the image in the file is not kept",)
    assert reading.decode(jpeg() + bytes(100), "a.jpg").notes == ()


@pytest.mark.parametrize(("quality", "smaller"), [(20, True), (100, False)])
def test_quality_takes_the_place_of_the_tables(tmp_path: Path, quality: int, smaller: bool) -> None:
    image = reading.decode(jpeg(), "a.jpg")
    writing.write(tmp_path / "own.jpg", image)
    writing.write(tmp_path / "asked.jpg", image, quality=quality)
    own, asked = opened((tmp_path / "own.jpg").read_bytes()), opened((tmp_path / "asked.jpg").read_bytes())
    assert (sum(asked.quantization[0]) > sum(own.quantization[0])) == smaller
