"""``deblurkit deblur`` keeps what a photograph holds besides its pixels, and tells of the rest."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image as Pillow
from PIL import ImageCms

from deblurkit import Deblurrer, __version__
from deblurkit.errors import UserError
from deblurkit.images import exif, reading, writing
from deblurkit.images.image import Image, Metadata
from deblurkit.inference.photos import Done, deblur_photos, plan

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()  # any but sRGB


@pytest.fixture
def deblurrer(weights: Path, plugin: str) -> Deblurrer:
    return Deblurrer(weights, [plugin], "cpu")


@pytest.fixture
def photo() -> Image:
    """A photograph with a profile and EXIF, as a camera writes it that was held upright."""
    block = Pillow.Exif()
    block[271], block[274], block[305] = "a maker", 1, "its firmware"
    metadata = Metadata(PROFILE, block.tobytes().removeprefix(b"Exif\0\0"), density=(300.0, 300.0))
    return Image(np.ascontiguousarray(skimage.data.astronaut()[:50, :61]), metadata=metadata)


def restored(deblurrer: Deblurrer, file: Path, out: Path, **settings: int | float | bool) -> Done:
    jobs = plan([file], out, compare=bool(settings.pop("compare", False))).jobs
    return deblur_photos(deblurrer, jobs, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["photo.png", "photo.jpg", "photo.tif", "photo.webp", "photo.avif"])
def test_what_a_file_says_is_kept(deblurrer: Deblurrer, photo: Image, tmp_path: Path, name: str) -> None:
    writing.write(tmp_path / name, photo)
    assert restored(deblurrer, tmp_path / name, tmp_path / "out") == Done([], Counter())
    found = reading.read(tmp_path / "out" / name).metadata
    assert found.profile == PROFILE
    assert found.exif is not None
    assert b"a maker" in found.exif
    assert f"deblurkit {__version__}".encode() in found.exif
    assert exif.orientation(found.exif) == 1


def test_grey_is_restored_as_luminance(deblurrer: Deblurrer, photo: Image, tmp_path: Path) -> None:
    grey = dataclasses.replace(photo, pixels=photo.pixels[..., 1:2])
    writing.write(tmp_path / "grey.png", grey)
    assert not restored(deblurrer, tmp_path / "grey.png", tmp_path / "out").failures
    found = reading.read(tmp_path / "out" / "grey.png")
    assert found.is_grey
    expected = deblurrer(np.repeat(grey.pixels, 3, axis=2)).astype(float).mean(axis=2)
    assert np.abs(found.pixels[..., 0] - expected).max() < 0.51
    assert (found.pixels != grey.pixels).any()


@pytest.mark.parametrize("name", ["clear.png", "clear.tif", "clear.webp", "clear.avif"])
def test_alpha_passes_by(deblurrer: Deblurrer, photo: Image, tmp_path: Path, name: str) -> None:
    alpha = (np.arange(50 * 61) % 256).astype(np.uint8).reshape(50, 61)
    writing.write(tmp_path / name, dataclasses.replace(photo, alpha=alpha))
    assert not restored(deblurrer, tmp_path / name, tmp_path / "out").failures
    found = reading.read(tmp_path / "out" / name)
    np.testing.assert_array_equal(found.alpha, alpha)
    stored = reading.read(tmp_path / name).pixels
    np.testing.assert_allclose(found.pixels.astype(int), deblurrer(stored), atol=3 if name.endswith(".avif") else 0)


def test_jpeg_is_compressed_as_it_was(deblurrer: Deblurrer, photo: Image, tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    Pillow.fromarray(photo.pixels).save(file, quality=71, subsampling="4:2:2")
    restored(deblurrer, file, tmp_path / "out")
    before, after = reading.read(file).jpeg, reading.read(tmp_path / "out" / "photo.jpg").jpeg
    assert before is not None
    assert before == after
    restored(deblurrer, file, tmp_path / "finer", quality=95)
    finer = reading.read(tmp_path / "finer" / "photo.jpg").jpeg
    assert finer is not None
    assert sum(map(sum, finer.tables)) < sum(map(sum, before.tables))


def test_a_comparison_that_is_too_wide_becomes_png(deblurrer: Deblurrer, tmp_path: Path) -> None:
    wide = np.repeat(skimage.data.astronaut()[:8, :100], 90, axis=1)
    writing.write(tmp_path / "wide.webp", Image(np.ascontiguousarray(wide)))
    done = restored(deblurrer, tmp_path / "wide.webp", tmp_path / "out", compare=True)
    assert done == Done([], Counter({"the comparison is a PNG file: it is wider than WebP holds": 1}))
    assert reading.read(tmp_path / "out" / "compare" / "wide.png").pixels.shape == (8, 18008, 3)


def test_what_is_too_large_is_named(deblurrer: Deblurrer, photo: Image, tmp_path: Path) -> None:
    writing.write(tmp_path / "photo.png", photo)
    (failure,) = restored(deblurrer, tmp_path / "photo.png", tmp_path / "out", max_megapixels=0.001).failures
    assert "photo.png: it cannot be decoded: 61x50 pixels are" in failure
    assert "megapixels, more than 0.001: raise --max-megapixels" in failure
    assert not list((tmp_path / "out").rglob("*.png"))


def test_files_of_a_folder_are_all_accounted_for(photo: Image, tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    folder.mkdir()
    for name in ("a.jpg", "b.jfif", "c.avif", "d.jpe"):
        writing.write(folder / name, photo)
    for name in ("e.heic", "f.nef", "g.mov", "h.txt", "i", ".j.jpg", "k.mov"):
        (folder / name).write_bytes(b"?")
    planned = plan([folder], tmp_path / "out")
    names = ["a.jpg", "b.jfif", "c.avif", "d.jpe", "e.png", "f.tif"]
    assert [job.target.name for job in planned.jobs] == names
    assert planned.passed_over == {
        ".mov, videos are not supported yet": 2,
        ".txt, no known kind of image": 1,
        "no ending in the name": 1,
        "hidden": 1,
    }


def test_two_files_whose_results_would_have_one_name(photo: Image, tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    folder.mkdir()
    writing.write(folder / "a.png", photo)
    (folder / "a.heic").write_bytes(b"?")
    with pytest.raises(UserError, match=r"would hold the results of both .*a\.heic and .*a\.png"):
        plan([folder], tmp_path / "out")
