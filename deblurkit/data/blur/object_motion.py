"""Objects that move while the shutter is open, in front of a background that may be shaken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from deblurkit.data.blur.exposure import Layer, compose, expose, warp
from deblurkit.data.blur.shake_blur import Shake, as_range, check_exposure, check_margin, kept
from deblurkit.data.blur.trajectory import object_homographies
from deblurkit.data.images import is_image, read_image
from deblurkit.data.shake import random_trajectory
from deblurkit.errors import UserError
from deblurkit.registry import BLURS

if TYPE_CHECKING:
    from torch import Tensor

_LOBES = np.arange(2, 5)  # of a blob's outline, in cycles a turn


@BLURS.register_module()
class ObjectMotion:
    """Blur by flat, soft-edged objects that move on their own paths, over a background that may be shaken too.

    An object is a part of the same photograph from another place (mirrored where that lies outside), cut out by a
    mask and laid over the photograph. Both are known in full, so what the object uncovers needs no inpainting, and
    light is added up as a sensor does:

        sharp   = alpha F + (1 - alpha) photograph
        blurred = mean_t [warp_t(alpha F) + (1 - warp_t(alpha)) warp_t(photograph)]

    in linear light. ``sharp`` is the scene in its mean pose: every path's shift, angle and size have a mean of zero
    change over time, so the two are aligned. The camera's shake moves the objects as well. Objects do not deform,
    cast no shadow and keep their light.

    Args:
        extent: Least and greatest longest distance between two points of an object's path, in pixels in a whole frame
            interval; drawn between them, as are the next three.
        rotation: Least and greatest range of its angle, in degrees in a frame interval.
        scale: Least and greatest range of its relative size in a frame interval: 0.1 goes from 95 to 105 %.
        diameter: Least and greatest diameter of its mask, as a share of the shorter side of what is kept.
        objects: How many; later ones are in front.
        feather: Width of a drawn mask's soft edge, in pixels.
        masks: A folder of mask images (white = object, their own soft edges are kept), scaled to ``diameter``;
            ``null`` draws round blobs.
        camera: Arguments of :class:`~deblurkit.data.blur.shake_blur.Shake` for the camera's own motion, without
            ``exposure``, ``margin`` and ``steps``, which are those given here; ``null`` for a camera at rest.
        exposure: Share of the frame interval in which the shutter is open, above 0 to 1; it scales all paths.
        margin: Pixels at each side that are blurred and cut off; at least what the ranges can reach.
        steps: Points on each path.

    Raises:
        ValueError: An argument is out of its range.
        UserError: ``masks`` is no folder with images.
    """

    def __init__(
        self,
        extent: Sequence[float] = (4.0, 20.0),
        rotation: Sequence[float] = (0.0, 3.0),
        scale: Sequence[float] = (0.0, 0.05),
        diameter: Sequence[float] = (0.25, 0.6),
        objects: int = 1,
        feather: float = 3.0,
        masks: str | None = None,
        camera: dict[str, Any] | None = None,
        exposure: float = 1.0,
        margin: int = 52,
        steps: int = 32,
    ) -> None:
        self.extent, self.rotation = as_range(extent, "extent"), as_range(rotation, "rotation", 45.0)
        self.scale, self.diameter = as_range(scale, "scale", 1.0), as_range(diameter, "diameter", 1.0)
        if objects < 1:
            raise ValueError(f"objects: came {objects}, expected at least 1")
        if feather <= 0:
            raise ValueError(f"feather: came {feather}, expected pixels above 0")
        check_exposure(exposure, margin, steps)
        self.objects, self.feather, self.exposure = objects, feather, exposure
        self.margin, self.steps = margin, steps
        self.masks = _mask_files(masks) if masks is not None else []
        still: dict[str, Any] = {"extent": (0.0, 0.0), "roll": (0.0, 0.0), "tilt": (0.0, 0.0)}
        self.camera = Shake(**(still if camera is None else camera), exposure=exposure, margin=margin, steps=steps)

    def draw(self, size: tuple[int, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw the camera's path, and each object's mask, colours and path.

        Args:
            size: ``(h, w)`` of the image with its margins, in pixels.
            rng: All randomness comes from here.

        Returns:
            ``homographies``: the camera's path ``(steps, 3, 3)`` float64. ``masks``: opacities
            ``(objects, h, w)`` float32 in [0, 1]. ``colours``: ``(objects, 3, 3)`` float64, what moves the
            photograph to give the object's light. ``paths``: ``(objects, steps, 3, 3)`` float64, the objects' own.

        Raises:
            UserError: Something could reach further than the margin in an image of this size, or a mask cannot be
                read.
        """
        side = min(kept(size, self.margin))
        check_margin("ObjectMotion", self.margin, self.camera.reach(size) + self._reach(side), size)
        camera = self.camera.draw(size, rng)["homographies"]
        drawn = [self._draw_object(size, side, rng) for _ in range(self.objects)]
        masks, colours, paths = (np.stack(parts) for parts in zip(*drawn, strict=True))
        return {"homographies": camera, "masks": masks, "colours": colours, "paths": paths}

    def expose(self, linear: np.ndarray, drawn: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the blurred and the sharp image with the objects: linear light, float32 ``(h, w, 3)``."""
        layers = []
        for mask, colours, path in zip(drawn["masks"], drawn["colours"], drawn["paths"], strict=True):
            alpha = mask[..., None]
            layers.append(Layer(np.concatenate([alpha * warp(linear, colours), alpha], axis=2), path))
        return expose(linear, drawn["homographies"], layers), compose(linear, layers)

    def expose_batch(self, linear: Tensor, drawn: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the blurred and the sharp images ``(n, 3, h, w)``; ``drawn`` holds stacked arrays as tensors."""
        import torch

        from deblurkit.data.blur import device_exposure

        layers = []
        for index in range(self.objects):
            alpha = drawn["masks"][:, index, None].to(linear.dtype)
            light = device_exposure.warp(linear, drawn["colours"][:, index, None])[:, :, 0]
            layers.append(device_exposure.LayerBatch(torch.cat([alpha * light, alpha], 1), drawn["paths"][:, index]))
        blurred = device_exposure.expose(linear, drawn["homographies"], layers)
        return blurred, device_exposure.compose(linear, layers)

    def _reach(self, side: int) -> float:
        extent, angle, scale = (limits[1] * self.exposure for limits in (self.extent, self.rotation, self.scale))
        radius = self.diameter[1] * side / 2
        return extent + radius * (math.radians(angle) + scale)

    def _draw_object(
        self, size: tuple[int, int], side: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        extent, angle, scale = (
            rng.uniform(*limits) * self.exposure for limits in (self.extent, self.rotation, self.scale)
        )
        height, width = kept(size, self.margin)
        centre = (self.margin + rng.uniform(0, width - 1), self.margin + rng.uniform(0, height - 1))
        diameter = rng.uniform(*self.diameter) * side
        if self.masks:
            mask = _placed_mask(self.masks[rng.integers(len(self.masks))], size, centre, diameter)
        else:
            mask = random_blob(size, centre, diameter, self.feather, rng)
        # At least an eighth of the image away, else the object could hardly be told from what it covers.
        away = rng.uniform(0.125, 0.5, 2) * (size[1], size[0]) * rng.choice([-1, 1], 2)
        colours = np.array([[1, 0, round(away[0])], [0, 1, round(away[1])], [0, 0, 1]], dtype=np.float64)
        # The walk of an angle serves for any quantity: smooth, of the range asked for, with a mean of zero.
        growth = random_trajectory(rng, 0.0, scale, self.steps).roll_deg
        path = random_trajectory(rng, extent, angle, self.steps)
        return mask, colours, object_homographies(path, 1 + growth, centre)


def random_blob(
    size: tuple[int, int], centre: tuple[float, float], diameter: float, feather: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw a soft mask whose outline is a circle with a few random lobes.

    Args:
        size: ``(h, w)`` in pixels.
        centre: ``(x, y)`` in pixels.
        diameter: Of the circle that holds it, in pixels.
        feather: Width of the edge over which opacity falls from 1 to 0, in pixels.
        rng: All randomness comes from here.

    Returns:
        Opacity, float32 ``(h, w)`` in [0, 1].
    """
    y, x = np.ogrid[: size[0], : size[1]]
    right, down = x - centre[0], y - centre[1]
    distance, angle = np.hypot(right, down), np.arctan2(down, right)
    depth = rng.uniform(0, 0.15, _LOBES.size)
    phase = rng.uniform(0, 2 * np.pi, _LOBES.size)
    outline = 1 + sum(d * np.cos(lobes * angle + p) for d, lobes, p in zip(depth, _LOBES, phase, strict=True))
    inside = diameter / 2 * outline / (1 + depth.sum()) - distance
    ramp = np.clip(inside / feather, 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)


def _placed_mask(file: Path, size: tuple[int, int], centre: tuple[float, float], diameter: float) -> np.ndarray:
    """Read a mask and scale it into the circle of that centre and diameter, float32 ``(h, w)`` in [0, 1]."""
    image = read_image(file)
    opacity = np.asarray(image.mean(axis=2) / np.iinfo(image.dtype).max, dtype=np.float32)
    scale = diameter / math.hypot(*opacity.shape)
    height, width = (max(1, round(side * scale)) for side in opacity.shape)
    # Area averaging where it shrinks, as interpolation would skip pixels.
    scaled = cv2.resize(opacity, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    to_place = np.array([[1, 0, centre[0] - (width - 1) / 2], [0, 1, centre[1] - (height - 1) / 2]])
    return np.asarray(cv2.warpAffine(scaled, to_place, (size[1], size[0]), flags=cv2.INTER_LINEAR))


def _mask_files(folder: str) -> list[Path]:
    path = Path(folder)
    if not path.is_dir():
        raise UserError(f"masks: {folder}: expected a folder of mask images, there is none")
    files = sorted(file for file in path.iterdir() if is_image(file))
    if not files:
        raise UserError(f"masks: {folder}: no image in this folder")
    return files
