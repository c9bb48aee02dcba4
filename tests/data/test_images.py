from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from deblurkit.data.images import (
    IMAGE_SUFFIXES,
    ImageReadError,
    beside,
    image_size,
    read_image,
    to_tensor,
    to_uint8,
    write_image,
)
from deblurkit.errors import UserError


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_what_is_written_is_read(tmp_path: Path, photograph: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"Straße mit Bäumen 写真{suffix.upper()}"
    write_image(path, photograph)
    image = read_image(path)
    assert image.dtype == np.uint8
    if suffix in (".jpg", ".jpeg", ".jpe", ".jfif", ".avif"):
        assert np.abs(image.astype(int) - photograph).mean() < 3
    else:
        np.testing.assert_array_equal(image, photograph)
    assert image_size(path) == photograph.shape[:2]
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_kept(tmp_path: Path, photograph: np.ndarray, suffix: str) -> None:
    deep = photograph.astype(np.uint16) * 251 + 7
    write_image(tmp_path / f"deep{suffix}", deep)
    image = read_image(tmp_path / f"deep{suffix}")
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, deep)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_grey_and_alpha(tmp_path: Path, photograph: np.ndarray, suffix: str) -> None:
    deep = photograph.astype(np.uint16) * 251
    path = tmp_path / f"deep{suffix}"
    path.write_bytes(cv2.imencode(suffix, deep[..., 0])[1].tobytes())
    np.testing.assert_array_equal(read_image(path), np.repeat(deep[..., :1], 3, axis=2))
    alpha = np.full((*deep.shape[:2], 1), 1000, np.uint16)
    path.write_bytes(cv2.imencode(suffix, np.dstack([deep[..., ::-1], alpha]))[1].tobytes())
    np.testing.assert_array_equal(read_image(path), deep)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_alpha_is_dropped_and_colours_are_kept(tmp_path: Path, photograph: np.ndarray, suffix: str) -> None:
    alpha = np.arange(photograph.shape[0] * photograph.shape[1]).reshape(photograph.shape[:2]) % 256
    path = tmp_path / f"alpha{suffix}"
    options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    Image.fromarray(np.dstack([photograph, alpha.astype(np.uint8)])).save(path, **options)
    np.testing.assert_array_equal(read_image(path), photograph)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("L", ".png"), ("LA", ".png"), ("P", ".png"), ("1", ".png"), ("1", ".tif"), ("L", ".jpg"), ("P", ".bmp")],
)
def test_other_kinds_become_rgb(tmp_path: Path, photograph: np.ndarray, mode: str, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    image = Image.fromarray(photograph).convert("L" if mode == "LA" else mode)
    image.convert(mode).save(path)
    np.testing.assert_array_equal(read_image(path), np.asarray(Image.open(path).convert("RGB")))


def test_cmyk_becomes_rgb(tmp_path: Path, photograph: np.ndarray) -> None:
    Image.fromarray(photograph).convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "print.jpg").astype(int) - photograph).mean() < 4


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, photograph: np.ndarray, suffix: str, orientation: int) -> None:
    path = tmp_path / f"turned{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photograph).save(path, exif=exif, **({"lossless": True} if suffix == ".webp" else {}))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    image = read_image(path)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() <= 1
    assert image_size(path) == expected.shape[:2]


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
@pytest.mark.parametrize("part", [0.0, 0.01, 0.6])
def test_cut_short(tmp_path: Path, photograph: np.ndarray, suffix: str, part: float) -> None:
    path = tmp_path / f"cut short{suffix}"
    write_image(path, photograph)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ImageReadError, match="cut short"):
        read_image(path)
    if suffix not in (".bmp", ".tif", ".tiff") or part == 0:
        with pytest.raises(ImageReadError, match="cut short"):
            image_size(path)


def test_no_image_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("this is no image")
    with pytest.raises(ImageReadError, match=r"text\.png: it cannot be decoded"):
        read_image(tmp_path / "text.png")
    with pytest.raises(ImageReadError, match=r"none\.png: it cannot be read: No such file"):
        read_image(tmp_path / "none.png")


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "float.tif").write_bytes(cv2.imencode(".tif", np.zeros((4, 4, 3), np.float32))[1].tobytes())
    with pytest.raises(ImageReadError, match="float32"):
        read_image(tmp_path / "float.tif")


def test_writing_is_refused_with_advice(tmp_path: Path, photograph: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"'\.gif'; known: \.png, \.jpg"):
        write_image(tmp_path / "a.gif", photograph)
    with pytest.raises(UserError, match=r"\.jpg cannot hold 16 bits"):
        write_image(tmp_path / "a.jpg", photograph.astype(np.uint16))
    with pytest.raises(UserError, match="cannot be written"):
        write_image(tmp_path / "none" / "a.png", photograph)
    with pytest.raises(ValueError, match="float32"):
        write_image(tmp_path / "a.png", photograph.astype(np.float32))
    assert list(tmp_path.iterdir()) == []


def test_tensors(photograph: np.ndarray) -> None:
    tensor = to_tensor(photograph)
    assert tensor.dtype == torch.float32
    assert tensor.shape == (3, *photograph.shape[:2])
    np.testing.assert_array_equal(to_uint8(tensor), photograph)
    assert to_tensor(np.full((1, 1, 3), 65535, np.uint16)).max() == 1
    halves = torch.tensor([-1.0, 0.5 / 255, 1.5 / 255, 2.49 / 255, 7.0]).view(1, 1, 5)
    assert to_uint8(halves).ravel().tolist() == [0, 1, 2, 2, 255]
    with pytest.raises(ValueError, match="float64"):
        to_tensor(np.zeros((2, 2, 3)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_images_side_by_side(dtype: type) -> None:
    white = np.iinfo(dtype).max
    first, second = (np.full(shape, value, dtype) for shape, value in (((4, 3, 3), 7), ((2, 5, 3), 9)))
    joined = beside([first, second], 2)
    assert (joined.shape, joined.dtype) == ((4, 10, 3), dtype)
    assert np.array_equal(joined[:, :3], first)
    assert np.array_equal(joined[:2, 5:], second)
    assert (joined[:, 3:5] == white).all()
    assert (joined[2:, 5:] == white).all()
