"""What a folder may hold besides good pairs, and what becomes of it: the table in datasets/README.md."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

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


def _looped(file: Path, image: np.ndarray) -> None:
    file.symlink_to(file.name)


def _broken(file: Path, image: np.ndarray) -> None:
    file.symlink_to(file.parent / "nothing here.png")


REFUSED: dict[str, tuple[Spoil, str]] = {
    "cut short": (lambda file, image: file.write_bytes(_png(image)[:-2000]), "it cannot be decoded: .*cut short"),
    "cut in the header": (lambda file, image: file.write_bytes(_png(image)[:20]), "it cannot be decoded"),
    "empty": (lambda file, image: file.write_bytes(b""), "it cannot be decoded"),
    "text": (lambda file, image: file.write_text("<html>404</html>"), "it cannot be decoded: not an image"),
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


def test_damage_in_the_middle_is_named_when_it_is_read(folder: Path, photograph: np.ndarray) -> None:
    """Only decoding finds it: ``deblurkit check-data`` does, a training when it draws the pair."""
    (folder / "sharp" / "spoilt.png").unlink()
    _damaged(folder / "sharp" / "spoilt.png", photograph)
    pairs = _pairs(folder)
    pairs.verify()
    with pytest.raises(UserError, match=r"spoilt\.png: it cannot be decoded"):
        pairs.sample(1, np.random.default_rng(0))


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
