"""What every registered blur keeps; a new one is tested by being registered and given small arguments here."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from deblurkit.data.images import write_image
from deblurkit.registry import BLURS

NAMES = [name for name in BLURS.names() if BLURS.get(name).__module__.startswith("deblurkit.")]
WITH_BATCHES = [name for name in NAMES if hasattr(BLURS.get(name), "expose_batch")]
SMALL: dict[str, dict[str, Any]] = {
    "Shake": {"extent": [4, 8], "roll": [0, 1], "tilt": [0, 0.1], "margin": 16, "steps": 8},
    "ObjectMotion": {"extent": [4, 8], "margin": 16, "steps": 8, "camera": {"extent": [0, 2], "tilt": [0, 0]}},
    "Kernels": {"kernels": "FILES"},
}
KEPT = (60, 72)
# OpenCV 4 rounds places to 1/32 of a pixel.
GREATEST_DIFFERENCE = 1e-3 if int(cv2.__version__.split(".")[0]) >= 5 else 2e-2


@pytest.fixture
def blur(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    name = request.param
    if name not in SMALL:
        pytest.fail(f"{name} is registered in BLURS: add its small arguments to SMALL in {Path(__file__).name}")
    arguments = dict(SMALL[name])
    if arguments.get("kernels") == "FILES":
        arguments["kernels"] = str(kernel_file(tmp_path))
    return BLURS.build({"type": name, **arguments})


def kernel_file(folder: Path) -> Path:
    """A short diagonal stroke."""
    stroke = np.eye(7, dtype=np.uint8)[..., None].repeat(3, axis=2) * 255
    path = folder / "kernel.png"
    write_image(path, stroke)
    return path


def size_of(blur: Any) -> tuple[int, int]:
    return KEPT[0] + 2 * blur.margin, KEPT[1] + 2 * blur.margin


def scene(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Blocks of random colours: content at every place, with edges."""
    blocks = np.random.default_rng(seed).random((size[0] // 6 + 1, size[1] // 6 + 1, 3), dtype=np.float32)
    return np.ascontiguousarray(blocks.repeat(6, axis=0).repeat(6, axis=1)[: size[0], : size[1]])


def inside(image: np.ndarray, margin: int) -> np.ndarray:
    return image[margin : image.shape[0] - margin, margin : image.shape[1] - margin]


every_blur = pytest.mark.parametrize("blur", NAMES, indirect=True)


@pytest.mark.parametrize("name", NAMES)
def test_constructor_names_its_arguments(name: str) -> None:
    parameters = inspect.signature(BLURS.get(name).__init__).parameters.values()
    assert not [p.name for p in parameters if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]


@every_blur
def test_margin_is_a_number_of_pixels(blur: Any) -> None:
    assert type(blur.margin) is int
    assert blur.margin >= 0


@every_blur
def test_draws_plain_arrays_that_stack(blur: Any) -> None:
    first, second = (blur.draw(size_of(blur), np.random.default_rng(seed)) for seed in (1, 2))
    assert list(first) == list(second)
    for name, values in first.items():
        assert type(values) is np.ndarray
        assert values.dtype != object
        assert values.shape == second[name].shape
        assert values.dtype == second[name].dtype
        torch.from_numpy(np.stack([values, second[name]]))


@every_blur
def test_equal_generators_draw_equally_and_equal_draws_expose_equally(blur: Any) -> None:
    linear = scene(size_of(blur))
    before = linear.copy()
    drawn = [blur.draw(size_of(blur), np.random.default_rng(3)) for _ in range(2)]
    for name in drawn[0]:
        np.testing.assert_array_equal(drawn[0][name], drawn[1][name])
    for first, again in zip(blur.expose(linear, drawn[0]), blur.expose(linear, drawn[1]), strict=True):
        np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(linear, before)


@every_blur
def test_exposes_light_of_the_same_size_and_type_and_blurs_it(blur: Any) -> None:
    linear = scene(size_of(blur))
    blurred, sharp = blur.expose(linear, blur.draw(size_of(blur), np.random.default_rng(4)))
    for image in (blurred, sharp):
        assert image.shape == linear.shape
        assert image.dtype == np.float32
        assert np.isfinite(image).all()
    assert np.abs(inside(blurred - sharp, blur.margin)).max() > 0.05


@every_blur
def test_a_constant_image_stays_constant(blur: Any) -> None:
    wall = np.full((*size_of(blur), 3), 0.42, np.float32)
    for seed in range(3):
        for image in blur.expose(wall, blur.draw(size_of(blur), np.random.default_rng(seed))):
            np.testing.assert_allclose(inside(image, blur.margin), 0.42, atol=1e-4)


@every_blur
def test_mean_light_is_kept(blur: Any) -> None:
    linear = scene(size_of(blur))
    for seed in range(3):
        blurred, sharp = blur.expose(linear, blur.draw(size_of(blur), np.random.default_rng(seed)))
        assert inside(blurred, blur.margin).mean() == pytest.approx(inside(sharp, blur.margin).mean(), rel=0.03)


@every_blur
def test_light_adds_up(blur: Any) -> None:
    """Exposure is linear: twice the light is twice the image, and two scenes' sum is their images' sum."""
    size = size_of(blur)
    drawn = blur.draw(size, np.random.default_rng(5))
    one, other = scene(size, 1), scene(size, 2)
    parts = [blur.expose(image, drawn)[0] for image in (one, other, one + 2 * other)]
    np.testing.assert_allclose(parts[2], parts[0] + 2 * parts[1], atol=1e-4)


@pytest.mark.parametrize("blur", WITH_BATCHES, indirect=True)
def test_a_batch_is_exposed_as_its_images_are(blur: Any) -> None:
    images = [scene(size_of(blur), seed) for seed in range(2)]
    drawn = [blur.draw(size_of(blur), np.random.default_rng(seed)) for seed in (6, 7)]
    stacked = {name: torch.from_numpy(np.stack([one[name] for one in drawn])) for name in drawn[0]}
    batches = blur.expose_batch(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), stacked)
    for index, image in enumerate(images):
        for batch, single in zip(batches, blur.expose(image, drawn[index]), strict=True):
            np.testing.assert_allclose(batch[index].permute(1, 2, 0).numpy(), single, atol=GREATEST_DIFFERENCE)
