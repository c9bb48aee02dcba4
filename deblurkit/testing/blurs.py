"""Laws that blurs keep: light adds up, is neither made nor lost, and stays the same for the same draw."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from deblurkit.contracts import Blur, blur_traits
from deblurkit.testing.component import Component

ROUNDING = 1e-3 if int(cv2.__version__.split(".")[0]) >= 5 else 2e-2
"""How far two ways to compute one exposure may lie apart: OpenCV 4 rounds places to 1/32 of a pixel."""


def has_a_margin(component: Component) -> None:
    """Expects ``margin``, the number of pixels at each side that are cut off, to be an int that is not negative."""
    margin = component.shared().margin
    assert type(margin) is int, f"it is {margin!r}"
    assert margin >= 0, f"it is {margin}"


def draws_arrays_that_stack(component: Component) -> None:
    """Expects ``draw`` to return numpy arrays by name, of the same names, shapes and types each time."""
    blur = component.shared()
    first, second = _drawn(blur, 1), _drawn(blur, 2)
    assert list(first) == list(second), f"{list(first)}, then {list(second)}"
    for name, values in first.items():
        assert type(values) is np.ndarray, f"{name} is a {type(values).__name__}"
        assert values.dtype == second[name].dtype, f"{name} is {values.dtype}, then {second[name].dtype}"
        assert values.shape == second[name].shape, f"{name} is {values.shape}, then {second[name].shape}"
        torch.from_numpy(np.stack([values, second[name]]))  # torch lacks some of numpy's types


def draws_from_its_generator_alone(component: Component) -> None:
    """Expects equal draws from equal random generators, equal images from equal draws, and its input unchanged."""
    blur = component.shared()
    linear, before = scene(size_of(blur)), scene(size_of(blur))
    first, again = _drawn(blur, 3), _drawn(blur, 3)
    for name in first:
        assert np.array_equal(first[name], again[name]), f"{name} is drawn differently from one seed"
    for one, two in zip(blur.expose(linear, first), blur.expose(linear, again), strict=True):
        assert np.array_equal(one, two), "one draw exposes to two images"
    assert np.array_equal(linear, before), "the image that it was given is changed"


def exposes_light_and_blurs_it(component: Component) -> None:
    """Expects ``expose`` to return two finite float32 images of the input's shape, of which the first is blurred.

    A margin of 0 says that no pixel's light reaches another: then they are equal.
    """
    blur = component.shared()
    linear = scene(size_of(blur))
    blurred, sharp = blur.expose(linear, _drawn(blur, 4))
    for image in (blurred, sharp):
        assert image.shape == linear.shape, f"{image.shape} for {linear.shape}"
        assert image.dtype == np.float32, f"it is {image.dtype}"
        assert np.isfinite(image).all(), "there are pixels that are no numbers"
    most = np.abs(inside(blurred - sharp, blur.margin)).max()
    if blur.margin == 0:
        assert most == 0, f"the margin is 0, but blurred and sharp differ by {most:.3g}"
        return
    assert most > 0.05, f"blurred and sharp differ by {most:.3g} at most"


def keeps_a_wall(component: Component) -> None:
    """Expects a constant image to stay constant within the margin."""
    blur = component.shared()
    wall = np.full((*size_of(blur), 3), 0.42, np.float32)
    for seed in range(3):  # weights of an exposure that do not add up to 1 show as a change of the wall
        for image in blur.expose(wall, _drawn(blur, seed)):
            most = np.abs(inside(image, blur.margin) - 0.42).max()
            assert most <= 1e-4, f"0.42 changes by {most:.3g}"


def keeps_the_mean_light(component: Component) -> None:
    """Expects the blurred image to be as bright as the sharp one, to 3 %."""
    blur = component.shared()
    linear = scene(size_of(blur))
    for seed in range(3):
        exposed, truth = blur.expose(linear, _drawn(blur, seed))
        blurred, sharp = inside(exposed, blur.margin).mean(), inside(truth, blur.margin).mean()
        # Some light crosses the edge of what is kept, in and out, and not the same.
        assert abs(blurred - sharp) <= 0.03 * sharp, f"{blurred:.4f} for {sharp:.4f}"


def adds_light_up(component: Component) -> None:
    """Expects exposure to be linear: the image of two scenes' sum is the sum of their images."""
    blur = component.shared()
    one, other = scene(size_of(blur), 1), scene(size_of(blur), 2)
    drawn = _drawn(blur, 5)
    both, _ = blur.expose(one + 2 * other, drawn)
    # This is what tells linear light from stored levels, in which no real blur adds up.
    np.testing.assert_allclose(both, blur.expose(one, drawn)[0] + 2 * blur.expose(other, drawn)[0], atol=1e-4)


def exposes_a_batch_as_its_images(component: Component) -> None:
    """Expects ``expose_batch``, where there is one, to do with each image of a batch what ``expose`` does with it."""
    if blur_traits(component.shared()).expose_batch is not None:
        compare_batch(component.shared(), "cpu")


def identifies_itself(component: Component) -> None:
    """Expects ``identity()``, where there is one, to return one line of text, the same each time."""
    identity = blur_traits(component.build()).identity
    if identity is not None:
        first, again = identity(), component.build().identity()
        assert type(first) is str, f"it is a {type(first).__name__}"
        assert "\n" not in first, "it has several lines"
        assert first == again, f"{first}, then {again}"


def compare_batch(blur: Blur, device: str) -> None:
    """Compares ``expose_batch`` with ``expose``, for blocks and for white noise, the strongest edges of all."""
    size = size_of(blur)
    images = [scene(size, 0), scene(size, 1), np.random.default_rng(0).random((*size, 3), dtype=np.float32)]
    drawn = [_drawn(blur, seed) for seed in (6, 7, 8)]
    stacked = {name: torch.from_numpy(np.stack([one[name] for one in drawn])).to(device) for name in drawn[0]}
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous().to(device)
    expose_batch = blur_traits(blur).expose_batch
    assert expose_batch is not None
    batches = expose_batch(batch, stacked)
    for index, image in enumerate(images):
        for exposed, single in zip(batches, blur.expose(image, drawn[index]), strict=True):
            assert exposed.dtype == torch.float32, f"it is {exposed.dtype}"
            np.testing.assert_allclose(exposed[index].permute(1, 2, 0).cpu().numpy(), single, atol=ROUNDING)


def size_of(blur: Blur) -> tuple[int, int]:
    """Returns height and width of an image whose middle, inside the margin, is always 60 x 72 pixels."""
    return 60 + 2 * blur.margin, 72 + 2 * blur.margin


def scene(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Returns blocks of random colours: content at every place, with edges."""
    blocks = np.random.default_rng(seed).random((size[0] // 6 + 1, size[1] // 6 + 1, 3), dtype=np.float32)
    return np.ascontiguousarray(blocks.repeat(6, axis=0).repeat(6, axis=1)[: size[0], : size[1]])


def inside(image: np.ndarray, margin: int) -> np.ndarray:
    """Returns an image without its margin."""
    return image[margin : image.shape[0] - margin, margin : image.shape[1] - margin]


def _drawn(blur: Blur, seed: int) -> dict[str, np.ndarray]:
    return dict(blur.draw(size_of(blur), np.random.default_rng(seed)))


BLUR = (
    has_a_margin,
    draws_arrays_that_stack,
    draws_from_its_generator_alone,
    exposes_light_and_blurs_it,
    keeps_a_wall,
    keeps_the_mean_light,
    adds_light_up,
    exposes_a_batch_as_its_images,
    identifies_itself,
)
