"""What every registered blur keeps; a new one is tested by being registered and given small arguments here."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from deblurkit.data.images import write_image
from deblurkit.errors import UserError
from deblurkit.registry import BLURS

NAMES = [name for name in BLURS.names() if BLURS.get(name).__module__.startswith("deblurkit.")]
WITH_BATCHES = [name for name in NAMES if hasattr(BLURS.get(name), "expose_batch")]
SMALL: dict[str, dict[str, Any]] = {
    "Shake": {"extent": [4, 8], "roll": [0, 1], "tilt": [0, 0.1], "margin": 16, "steps": 8},
    "ObjectMotion": {"extent": [4, 8], "margin": 16, "steps": 8, "camera": {"extent": [0, 2], "tilt": [0, 0]}},
    "Kernels": {"kernels": "FILES"},
}
GREAT: dict[str, dict[str, Any]] = {  # motion; the margins are found
    "Shake": {"extent": [8, 12], "roll": [45, 45], "tilt": [1, 1], "focal": 300.0, "jerk": 3, "margin": 0},
    "ObjectMotion": {
        "extent": [0, 1],  # so that turning alone decides how far objects reach
        "rotation": [45, 45],
        "scale": [0.3, 0.3],
        "diameter": [0.5, 1],
        "objects": 2,
        "camera": {"extent": [0, 1], "roll": [0, 0.5], "tilt": [0, 0.1]},
        "exposure": 0.9,
        "margin": 0,
        "steps": 12,
    },
    "Kernels": {"kernels": "FILES", "rotate": True, "scale": [0.5, 2]},
}
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")),
]
FRAME = 40  # pixels put around an image
KEPT = (60, 72)
# OpenCV 4 rounds places to 1/32 of a pixel.
GREATEST_DIFFERENCE = 1e-3 if int(cv2.__version__.split(".")[0]) >= 5 else 2e-2


@pytest.fixture
def blur(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return build(request.param, SMALL, tmp_path)


@pytest.fixture
def great_blur(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A blur that reaches far, with the least margin that it accepts."""
    blur = build(request.param, GREAT, tmp_path)
    try:
        blur.draw(size_of(blur), np.random.default_rng(0))
    except UserError as error:
        (needed,) = re.findall(r"set margin: (\d+)", str(error))
        blur = build(request.param, GREAT, tmp_path, margin=int(needed))
    return blur


def build(name: str, table: dict[str, dict[str, Any]], folder: Path, **more: Any) -> Any:
    if name not in table:
        pytest.fail(f"{name} is registered in BLURS: add its arguments to SMALL and GREAT in {Path(__file__).name}")
    arguments = {**table[name], **more}
    if arguments.get("kernels") == "FILES":
        arguments["kernels"] = str(kernel_file(folder))
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


def framed(drawn: dict[str, np.ndarray], size: tuple[int, int]) -> dict[str, np.ndarray]:
    """What was drawn, for the same scene with ``FRAME`` more pixels on each side: masks go on as their border is."""
    shift = np.array([[1, 0, FRAME], [0, 1, FRAME], [0, 0, 1]])
    found = {}
    for name, values in drawn.items():
        if values.dtype == np.float64 and values.shape[-2:] == (3, 3):
            found[name] = shift @ values @ np.linalg.inv(shift)
        elif values.shape[-2:] == size:
            found[name] = np.pad(values, [(0, 0)] * (values.ndim - 2) + [(FRAME, FRAME)] * 2, mode="edge")
        else:
            found[name] = values
    return found


@pytest.mark.parametrize("great_blur", NAMES, indirect=True)
def test_what_is_kept_does_not_depend_on_what_lies_around_the_margin(great_blur: Any) -> None:
    size = size_of(great_blur)
    linear = scene(size)
    wider = np.pad(linear, ((FRAME, FRAME), (FRAME, FRAME), (0, 0)), constant_values=1.0)
    most = 0.0
    for seed in range(12):
        drawn = great_blur.draw(size, np.random.default_rng(seed))
        if "origins" in drawn:  # an object's light is mirrored by design where it lies outside: here it never does
            drawn["origins"] = np.broadcast_to(np.eye(3), drawn["origins"].shape)
        alone = great_blur.expose(linear, drawn)
        among = great_blur.expose(wider, framed(drawn, size))
        for one, other in zip(alone, (image[FRAME:-FRAME, FRAME:-FRAME] for image in among), strict=True):
            kept = inside(one, great_blur.margin), inside(other, great_blur.margin)
            np.testing.assert_allclose(*kept, atol=GREATEST_DIFFERENCE)
            most = max(most, float(np.abs(one - other).max()))
    assert most > 0.05  # the margin does depend on it


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("great_blur", WITH_BATCHES, indirect=True)
def test_a_batch_is_exposed_as_its_images_are(great_blur: Any, device: str) -> None:
    """Blocks, and white noise, whose edges are as strong as can be; borders included."""
    size = size_of(great_blur)
    images = [scene(size, 0), scene(size, 1), np.random.default_rng(0).random((*size, 3), dtype=np.float32)]
    drawn = [great_blur.draw(size, np.random.default_rng(seed)) for seed in (6, 7, 8)]
    stacked = {name: torch.from_numpy(np.stack([one[name] for one in drawn])).to(device) for name in drawn[0]}
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous().to(device)
    batches = great_blur.expose_batch(batch, stacked)
    for index, image in enumerate(images):
        for exposed, single in zip(batches, great_blur.expose(image, drawn[index]), strict=True):
            assert exposed.dtype == torch.float32
            np.testing.assert_allclose(exposed[index].permute(1, 2, 0).cpu().numpy(), single, atol=GREATEST_DIFFERENCE)


@pytest.mark.parametrize("name", NAMES)
def test_an_identity_is_a_line_of_text(name: str, tmp_path: Path) -> None:
    blurs = [build(name, SMALL, tmp_path) for _ in range(2)]
    if hasattr(blurs[0], "identity"):
        first, again = (blur.identity() for blur in blurs)
        assert type(first) is str
        assert first == again
        assert "\n" not in first
