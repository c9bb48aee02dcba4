"""Files that a folder may hold besides good pairs, and their fate: the table in datasets/README.md."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import test_paired
from PIL import Image

from deblurkit.data.checking.check import check_sets
from deblurkit.data.checking.discover import from_folder
from deblurkit.data.images import write_image
from deblurkit.data.paired import PairedImages, find_images
from deblurkit.errors import UserError

Spoil = Callable[[Path, np.ndarray], None]


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def _damaged(file: Path, image: np.ndarray) -> None:
    data = bytearray(_png(image))
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    file.write_bytes(data)


def _two_pages(file: Path, image: np.ndarray) -> None:
    page = Image.fromarray(image)
    page.save(file, "TIFF", save_all=True, append_images=[page])


def _huge(file: Path, image: np.ndarray) -> None:
    """A header that names 40,000 x 40,000 pixels, with a checksum that holds."""
    data = bytearray(_png(image))
    data[16:24] = struct.pack(">II", 40_000, 40_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    file.write_bytes(data)


def _looped(file: Path, image: np.ndarray) -> None:
    file.symlink_to(file.name)


def _broken(file: Path, image: np.ndarray) -> None:
    file.symlink_to(file.parent / "nothing here.png")


REFUSED: dict[str, tuple[Spoil, str]] = {
    "cut short": (lambda file, image: file.write_bytes(_png(image)[:-2000]), "it cannot be decoded: .*cut short"),
    "cut in the header": (lambda file, image: file.write_bytes(_png(image)[:20]), "it cannot be decoded"),
    "empty": (lambda file, image: file.write_bytes(b""), "it cannot be decoded"),
    "text": (lambda file, image: file.write_text("<html>404</html>"), "it cannot be decoded: not an image"),
    "several pages": (_two_pages, "2 images in one TIFF file; expected one"),
    "too large": (_huge, "40000x40000 pixels are 1600 megapixels, more than 250"),
    "link to nothing": (_broken, "it cannot be read: No such file"),
    "link to itself": (_looped, "it cannot be read: Too many levels of symbolic links"),
    "a folder": (lambda file, image: file.mkdir(), "has no blurred image"),
    "other size": (lambda file, image: write_image(file, image[:-1]), r"but its sharp image .* has 119 x 160"),
    "1 x 1": (lambda file, image: write_image(file, image[:1, :1]), r"but its sharp image .* has 1 x 1"),
}


@pytest.fixture
def folder(tmp_path: Path, photograph: np.ndarray) -> Path:
    for side in ("blur", "sharp"):
        (tmp_path / side).mkdir()
        for name in ("good.png", "spoilt.png"):
            write_image(tmp_path / side / name, photograph)
    return tmp_path


def _pairs(folder: Path, crop: int | None = 32) -> PairedImages:
    return PairedImages(str(folder / "blur"), str(folder / "sharp"), crop=crop)


@pytest.mark.parametrize("kind", REFUSED)
def test_named_before_training(folder: Path, photograph: np.ndarray, kind: str) -> None:
    spoil, message = REFUSED[kind]
    side = "blur" if kind == "a folder" else "sharp"
    file = folder / side / "spoilt.png"
    file.unlink()
    spoil(file, photograph)
    with pytest.raises(UserError, match=message) as caught:
        _pairs(folder).verify()
    assert len(caught.value.problems) == 1
    assert "spoilt.png" in caught.value.problems[0]


def _jpeg_with_a_hole(file: Path, image: np.ndarray) -> None:
    data = bytearray(cv2.imencode(".jpg", image)[1].tobytes())
    del data[len(data) // 2 : len(data) // 2 + 400]
    file.write_bytes(data)


@pytest.mark.parametrize(("suffix", "spoil"), [(".png", _damaged), (".jpg", _jpeg_with_a_hole)])
def test_damage_in_the_middle_is_named_when_it_is_read(
    folder: Path, photograph: np.ndarray, suffix: str, spoil: Spoil
) -> None:
    """Only decoding finds it: ``deblurkit check-data`` does, a training when it draws the pair."""
    (folder / "sharp" / "spoilt.png").unlink()
    spoil(folder / "sharp" / f"spoilt{suffix}", photograph)
    pairs = _pairs(folder)
    pairs.verify()
    with pytest.raises(UserError, match=rf"spoilt\{suffix}: it cannot be decoded"):
        pairs.sample(1, np.random.default_rng(0))
    (checked,) = check_sets(from_folder(folder)).sets
    assert [pair.problem.kind for pair in checked.pairs if pair.problem] == ["unreadable"]


def _sixteen_bits(image: np.ndarray) -> tuple[str, bytes]:
    return ".png", _png(image[..., ::-1].astype(np.uint16) * 257)


def _with_pillow(suffix: str, mode: str, **arguments: object) -> Callable[[np.ndarray], tuple[str, bytes]]:
    def encode(image: np.ndarray) -> tuple[str, bytes]:
        buffer = io.BytesIO()
        Image.fromarray(image).convert(mode).save(buffer, suffix, **arguments)
        return f".{suffix}", buffer.getvalue()

    return encode


def _sideways(image: np.ndarray) -> tuple[str, bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned to the right
    return _with_pillow("jpeg", "RGB", quality=95, exif=exif)(np.ascontiguousarray(np.rot90(image)))


TAKEN = {
    "16 bits": (_sixteen_bits, 0.0),
    "palette": (_with_pillow("png", "P"), 20.0),
    "grey": (_with_pillow("png", "L"), 30.0),
    "one bit": (_with_pillow("png", "1"), 128.0),
    "alpha": (_with_pillow("png", "RGBA"), 0.0),
    "CMYK JPEG": (_with_pillow("jpeg", "CMYK", quality=95), 4.0),
    "turned by EXIF": (_sideways, 4.0),
    "another format": (_with_pillow("webp", "RGB", lossless=True), 0.0),
}
"""How the sharp image is stored, and by how many of 255 levels it may differ on average for that."""


@pytest.mark.parametrize("kind", TAKEN)
def test_taken_as_it_is_meant_to_be_seen(folder: Path, photograph: np.ndarray, kind: str) -> None:
    encode, tolerance = TAKEN[kind]
    suffix, data = encode(photograph)
    (folder / "sharp" / "spoilt.png").unlink()
    (folder / "sharp" / f"spoilt{suffix}").write_bytes(data)
    pairs = _pairs(folder, crop=None)
    pairs.verify()
    sample = pairs.sample(1, np.random.default_rng(0))
    assert sample["sharp"].shape == sample["blurred"].shape
    assert 255 * float((sample["sharp"] - sample["blurred"]).abs().mean()) <= tolerance


def test_one_pixel(folder: Path, photograph: np.ndarray) -> None:
    for side in ("blur", "sharp"):
        write_image(folder / side / "spoilt.png", photograph[:1, :1])
    with pytest.raises(UserError, match=r"1 x 1 pixels .* smaller than the crop of 32 x 32"):
        _pairs(folder).verify()
    assert _pairs(folder, crop=None).sample(1, np.random.default_rng(0))["sharp"].shape == (3, 1, 1)


@pytest.mark.parametrize("name", ["写真 Straße 🌃", "a" * 251, "é" * 125], ids=["unicode", "255 letters", "255 bytes"])
def test_names(folder: Path, photograph: np.ndarray, name: str) -> None:
    for side in ("blur", "sharp"):
        write_image(folder / side / f"{name}.png", photograph)
    pairs = _pairs(folder)
    pairs.verify()
    keys = pairs.keys()
    assert pairs.sample(keys.index(name), np.random.default_rng(0))["key"] == name


def test_one_name_in_two_unicode_forms_is_one_key(folder: Path, photograph: np.ndarray) -> None:
    write_image(folder / "blur" / "\u00fcber.png", photograph)
    write_image(folder / "sharp" / "u\u0308ber.png", photograph)
    assert _pairs(folder).keys()[-1] == "\u00fcber"


def test_a_name_that_is_no_text(folder: Path) -> None:
    bad = os.fsencode(folder / "blur") + b"/spoilt\xff.png"
    try:
        os.rename(folder / "blur" / "spoilt.png", bad)
    except OSError:
        pytest.skip("this file system takes no such name")
    with pytest.raises(UserError) as caught:
        _pairs(folder)
    assert "\\xff.png': its name is not valid UTF-8; rename it" in caught.value.problems[0]
    str(caught.value).encode()


@pytest.mark.parametrize("pattern", ["", "/*", "/**", "/**/*.png"])
def test_links_that_lead_back_end(folder: Path, pattern: str) -> None:
    (folder / "blur" / "deep").mkdir()
    (folder / "blur" / "deep" / "back").symlink_to(folder / "blur")
    (folder / "blur" / "self").symlink_to(folder / "blur")
    (folder / "blur" / "above").symlink_to(folder.parent)
    keys = [key for key, _ in find_images(f"{folder}/blur{pattern}")]
    assert keys == ["good", "spoilt"]


def test_links_to_folders_elsewhere_are_followed(folder: Path) -> None:
    (folder / "blur" / "more").symlink_to(folder / "sharp")
    (folder / "sharp" / "more").symlink_to(folder / "blur")
    pairs = _pairs(folder)
    assert pairs.keys() == ["good", "more/good", "more/spoilt", "spoilt"]
    pairs.verify()


def test_hidden_files_and_other_endings_are_passed_over(folder: Path) -> None:
    for name in (".good.png", "good.txt", "good.gif"):
        (folder / "blur" / name).write_bytes(b"?")
    (folder / "blur" / ".hidden").mkdir()
    (folder / "blur" / ".hidden" / "more.png").write_bytes(b"?")
    assert _pairs(folder).keys() == ["good", "spoilt"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="all folders may be read by this user")
def test_a_folder_that_may_not_be_read(folder: Path) -> None:
    (folder / "blur" / "deep").mkdir()
    (folder / "blur" / "deep").chmod(0)
    try:
        with pytest.raises(UserError, match="deep"):
            _pairs(folder)
    finally:
        (folder / "blur" / "deep").chmod(0o755)


def test_a_floating_point_image_is_refused(folder: Path, photograph: np.ndarray) -> None:
    (folder / "sharp" / "spoilt.png").unlink()
    data = cv2.imencode(".tif", photograph.astype(np.float32))[1].tobytes()
    (folder / "sharp" / "spoilt.tif").write_bytes(data)
    with pytest.raises(
        UserError, match=r"spoilt\.tif: .* pixels are floating-point \(float32\); expected 8 or 16 bits"
    ):
        _pairs(folder).sample(1, np.random.default_rng(0))


SHOWN = {
    "cut short, empty, or text named `.png`": test_named_before_training,
    "damaged in the middle": test_damage_in_the_middle_is_named_when_it_is_read,
    "link to nothing, link to itself": test_named_before_training,
    "no partner, two images with one key": test_paired.test_orphans_and_double_keys,
    "blurred and sharp of different sizes": test_named_before_training,
    "smaller than the crop (1 x 1 too)": test_one_pixel,
    "16 bits a channel": test_taken_as_it_is_meant_to_be_seen,
    "palette, grey, one bit, CMYK": test_taken_as_it_is_meant_to_be_seen,
    "alpha": test_taken_as_it_is_meant_to_be_seen,
    "several pages or frames, more than 250 megapixels": test_named_before_training,
    "floating point": test_a_floating_point_image_is_refused,
    "EXIF orientation": test_taken_as_it_is_meant_to_be_seen,
    "the two images in different formats": test_taken_as_it_is_meant_to_be_seen,
    "Unicode and long names (255 bytes)": test_names,
    "a name that is not valid UTF-8": test_a_name_that_is_no_text,
    "hidden files and folders, other endings": test_hidden_files_and_other_endings_are_passed_over,
    "links to folders and files": test_links_to_folders_elsewhere_are_followed,
    "a folder that may not be read": test_a_folder_that_may_not_be_read,
}
"""Which test shows each line of the table in datasets/README.md."""


def test_the_table_has_these_lines() -> None:
    text = (Path(__file__).resolve().parents[2] / "datasets" / "README.md").read_text(encoding="utf-8")
    table = text.partition("| File | What happens |\n| --- | --- |\n")[2].partition("\n\n")[0]
    assert [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()] == list(SHOWN)
