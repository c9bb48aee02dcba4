"""Objects that move while the shutter is open, in front of a background that may be shaken."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from deblurkit.data.blur.exposure import Layer, compose, expose, warp
from deblurkit.data.blur.ranges import as_positive, as_range
from deblurkit.data.blur.shake_blur import Shake, check_exposure, check_margin, kept
from deblurkit.data.blur.trajectory import object_homographies
from deblurkit.data.images import is_image, read_image
from deblurkit.data.shake import random_trajectory
from deblurkit.errors import UserError, did_you_mean
from deblurkit.registry import BLURS

if TYPE_CHECKING:
    from torch import Tensor

_LOBES = np.arange(2, 5)  # of a blob's outline, in cycles a turn
_OF_CAMERA = ("extent", "roll", "tilt", "focal", "jerk", "wander")


@BLURS.register_module()
class ObjectMotion:
    """Blur by flat, soft-edged objects that move on their own paths, over a background that may be shaken too.

    An object is a part of the same photograph from another place (mirrored where that lies outside), cut out by a
    mask and laid over the photograph. Both are known in full, so what the object uncovers needs no inpainting, and
    light is added up as a sensor does:

        sharp   = alpha F + (1 - alpha) photograph
        blurred = mean_t [warp_t(alpha F) + (1 - warp_t(alpha)) warp_t(photograph)]

    in linear light. ``sharp`` is the scene in its mean pose: over time the change of every path's shift, angle and size
    has a mean of zero, so the two are aligned. The camera's shake moves the objects as well. Objects do not deform,
    cast no shadow and keep their light.

    Args:
        extent: Least and greatest longest distance between two points of an object's path, in pixels in a whole frame
            interval; drawn between them, as are the next three.
        rotation: Least and greatest range of its angle, in degrees in a frame interval.
        scale: Least and greatest range of its relative size in a frame interval: at 0.1 its
            largest size exceeds its smallest by a tenth of that in the sharp image, which is its mean over time.
        diameter: Least and greatest diameter of its mask, as a share of the shorter side of what is kept.
        objects: How many; later ones are in front.
        feather: Width of a drawn mask's soft edge, in pixels.
        masks: A folder of mask images (white = object, their own soft edges are kept), scaled to ``diameter``;
            ``null`` draws round blobs.
        camera: ``extent roll tilt focal jerk wander`` of :class:`~deblurkit.data.blur.shake_blur.Shake` for the
            camera's own motion; ``null`` for a camera at rest.
        exposure: Share of the frame interval in which the shutter is open, above 0 to 1; it scales all paths and
            nothing else: brightness and noise do not follow.
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
        self.extent, self.rotation = as_range(extent, "extent"), as_range(rotation, "rotation", greatest=45.0)
        self.scale = as_range(scale, "scale", greatest=1.0)
        self.diameter = as_range(diameter, "diameter", greatest=1.0)
        if objects < 1:
            raise ValueError(f"objects: got {objects}, expected at least 1")
        check_exposure(exposure, margin, steps)
        self.objects, self.feather = objects, as_positive(feather, "feather", "pixels")
        self.exposure, self.margin, self.steps = exposure, margin, steps
        self.masks: list[Path] = []
        if masks is not None:
            if not Path(masks).is_dir():
                raise UserError(f"masks: {masks}: expected a folder of mask images, there is none")
            self.masks = sorted(file for file in Path(masks).iterdir() if is_image(file))
            if not self.masks:
                raise UserError(f"masks: {masks}: no image in this folder")
        self.camera = _camera(camera, exposure, margin, steps)

    def draw(self, size: tuple[int, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draws the camera's path, and each object's mask, origin and path, for ``(h, w)`` pixels, margins included.

        Returns:
            ``homographies``: the camera's path ``(steps, 3, 3)`` float64. ``masks``: opacities
            ``(objects, h, w)`` float32 in [0, 1]. ``origins``: ``(objects, 3, 3)`` float64, what moves the
            photograph to give the object's light. ``paths``: ``(objects, steps, 3, 3)`` float64, the objects' own.

        Raises:
            UserError: Something could reach further than the margin in an image of this size, or a mask cannot be
                read.
        """
        side = min(kept(size, self.margin))
        # An object's rim moves by its shift and, as it lies a radius from the centre, by its turn and its growth.
        extent, angle, scale = (limits[1] * self.exposure for limits in (self.extent, self.rotation, self.scale))
        reach = extent + self.diameter[1] * side / 2 * (math.radians(angle) + scale)
        check_margin("ObjectMotion", self.margin, self.camera.reach(size) + reach, size)
        camera = self.camera.draw(size, rng)["homographies"]
        drawn = [self._draw_object(size, side, rng) for _ in range(self.objects)]
        masks, origins, paths = (np.stack(parts) for parts in zip(*drawn, strict=True))
        return {"homographies": camera, "masks": masks, "origins": origins, "paths": paths}

    def expose(self, linear: np.ndarray, drawn: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the blurred and the sharp image with the objects: linear light, float32 ``(h, w, 3)``."""
        layers = []
        for mask, origin, path in zip(drawn["masks"], drawn["origins"], drawn["paths"], strict=True):
            # Premultiplied: warped apart from its opacity, a soft edge would mix with light that the mask leaves out.
            alpha = mask[..., None]
            layers.append(Layer(np.concatenate([alpha * warp(linear, origin), alpha], axis=2), path))
        return expose(linear, drawn["homographies"], layers), compose(linear, layers)

    def expose_batch(self, linear: Tensor, drawn: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns the blurred and the sharp images ``(n, 3, h, w)``; ``drawn`` holds stacked arrays as tensors."""
        import torch

        from deblurkit.data.blur import device_exposure

        layers = []
        for index in range(self.objects):
            alpha = drawn["masks"][:, index, None].to(linear.dtype)
            light = device_exposure.warp(linear, drawn["origins"][:, index, None])[:, :, 0]
            layers.append(device_exposure.LayerBatch(torch.cat([alpha * light, alpha], 1), drawn["paths"][:, index]))
        blurred = device_exposure.expose(linear, drawn["homographies"], layers)
        return blurred, device_exposure.compose(linear, layers)

    def identity(self) -> str:
        """Returns what tells one set of masks from another, apart from the arguments: a digest of names and sizes."""
        # Not of the contents: the folder may be large, and would be read whole.
        listed = "".join(f"{file.name} {file.stat().st_size}\n" for file in self.masks)
        return f"{len(self.masks)} masks, sha256 {hashlib.sha256(listed.encode()).hexdigest()}"

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
        origin = np.array([[1, 0, round(away[0])], [0, 1, round(away[1])], [0, 0, 1]], dtype=np.float64)
        # The walk of an angle serves for any quantity: smooth, of the range asked for, with a mean of zero.
        growth = random_trajectory(rng, 0.0, scale, self.steps).roll_deg
        path = random_trajectory(rng, extent, angle, self.steps)
        return mask, origin, object_homographies(path, 1 + growth, centre)


def random_blob(
    size: tuple[int, int], centre: tuple[float, float], diameter: float, feather: float, rng: np.random.Generator
) -> np.ndarray:
    """Draws a soft mask whose outline is a circle with a few random lobes: opacity, float32 ``size`` in [0, 1].

    ``centre`` is ``(x, y)``, ``diameter`` that of the circle that holds it, and ``feather`` the width of the edge over
    which opacity falls from 1 to 0; all in pixels.
    """
    # Only the square around it is computed, as far as that lies in the image.
    middle, radius = np.array(centre), diameter / 2
    first_x, first_y = np.maximum(0, np.floor(middle - radius)).astype(int)
    end_x, end_y = np.minimum(size[::-1], np.ceil(middle + radius) + 1).astype(int)
    y, x = np.ogrid[first_y:end_y, first_x:end_x]
    right, down = x - centre[0], y - centre[1]
    distance, angle = np.hypot(right, down), np.arctan2(down, right)
    depth = rng.uniform(0, 0.15, _LOBES.size)
    phase = rng.uniform(0, 2 * np.pi, _LOBES.size)
    outline = 1 + sum(d * np.cos(lobes * angle + p) for d, lobes, p in zip(depth, _LOBES, phase, strict=True))
    # Where all lobes reach out together the outline touches the circle. A cubic ramp has no crease at either end.
    inside = diameter / 2 * outline / (1 + depth.sum()) - distance
    ramp = np.clip(inside / feather, 0, 1)
    mask = np.zeros(size, dtype=np.float32)
    mask[first_y:end_y, first_x:end_x] = ramp * ramp * (3 - 2 * ramp)
    return mask


def _camera(given: dict[str, Any] | None, exposure: float, margin: int, steps: int) -> Shake:
    if given is None:
        given = {"extent": (0.0, 0.0), "roll": (0.0, 0.0), "tilt": (0.0, 0.0)}
    # The shutter, the margin and the steps are the objects' too, so they are not the camera's to set.
    for key in given:
        if key not in _OF_CAMERA:
            hint = did_you_mean(key, _OF_CAMERA)
            raise ValueError(f"camera: it takes no argument {key!r}{hint}; known: {', '.join(_OF_CAMERA)}")
    try:
        return Shake(**given, exposure=exposure, margin=margin, steps=steps)
    except ValueError as error:
        raise ValueError(f"camera: {error}") from error


@lru_cache(maxsize=256)
def _opacity(file: Path) -> np.ndarray:
    """Reads a mask, float32 ``(h, w)`` in [0, 1]; kept, as decoding costs more than an exposure."""
    image = read_image(file)
    return np.asarray(image.mean(axis=2) / np.iinfo(image.dtype).max, dtype=np.float32)


def _placed_mask(file: Path, size: tuple[int, int], centre: tuple[float, float], diameter: float) -> np.ndarray:
    """Reads a mask and scales it into the circle of that centre and diameter, float32 ``(h, w)`` in [0, 1]."""
    opacity = _opacity(file)
    scale = diameter / math.hypot(*opacity.shape)
    height, width = max(1, round(opacity.shape[0] * scale)), max(1, round(opacity.shape[1] * scale))
    # Area averaging where it shrinks, as interpolation would skip pixels.
    scaled = cv2.resize(opacity, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    to_place = np.array([[1, 0, centre[0] - (width - 1) / 2], [0, 1, centre[1] - (height - 1) / 2]])
    return np.asarray(cv2.warpAffine(scaled, to_place, (size[1], size[0]), flags=cv2.INTER_LINEAR))
