"""Blurred and sharp pairs made from sharp photographs while training asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from deblurkit.contracts import blur_traits, transform_traits
from deblurkit.data.blur.camera import Camera, Shot
from deblurkit.data.blur.sensor import Sensor
from deblurkit.data.dataset import ImagePairs, PairFiles, Pairs
from deblurkit.data.paired import images_by_key
from deblurkit.data.transforms import HorizontalFlip, Pair, RandomResizedCrop, Rotate90, Size, VerticalFlip
from deblurkit.errors import UserError
from deblurkit.registry import BLURS, DATASETS, Nested

_FIXED = 20_261_121  # seed of the pairs that do not change, with the index
_TURNS = (HorizontalFlip, VerticalFlip, Rotate90)


@dataclass(frozen=True)
class Blurring:
    """A data set's first transform: puts a pair in the place of a photograph, of which ``crop`` ``(h, w)`` is kept."""

    camera: Camera
    crop: tuple[int, int] | None

    def __call__(self, images: Pair, rng: np.random.Generator) -> Pair:
        """Returns ``blurred`` and ``sharp`` made from the one image given."""
        (photograph,) = images.values()
        return self.camera.develop(self.camera.shoot(photograph, rng, self.crop))


class Exposing(Blurring):
    """A data set's last transform for a device: puts what :meth:`SynthesizedBlur.finish` takes in a photograph's place.

    The camera has one blur model.
    """

    def __call__(self, images: Pair, rng: np.random.Generator) -> dict[str, Any]:
        """Returns ``sharp``, ``drawn`` and ``sensor`` as tensors; see :meth:`SynthesizedBlur.sample`."""
        import torch

        (photograph,) = images.values()
        shot = self.camera.shoot(photograph, rng, self.crop)
        reach = 2 * self.camera.models[shot.blur].margin
        size = shot.linear.shape[0] - reach, shot.linear.shape[1] - reach
        sensor = self.camera.sensor.draw_field(size, shot.sensor)
        # Copies, as what was drawn may be a view that torch cannot take, turned or mirrored.
        return {
            "sharp": torch.from_numpy(np.ascontiguousarray(shot.linear.transpose(2, 0, 1))),
            "drawn": {name: torch.from_numpy(np.array(value)) for name, value in shot.drawn.items()},
            "sensor": {name: torch.from_numpy(np.array(value)) for name, value in sensor.items()},
        }


@DATASETS.register_module()
class SynthesizedBlur(Pairs):
    """Sharp photographs, blurred anew for every sample: cropped, blurred in linear light, photographed, augmented.

    Every random number of a sample comes from the generator that it is given, so that equal (seed, epoch, index) give
    equal pixels. In validation and tests, which draw by index alone, and in :meth:`read`, pairs do not change. All
    images have 8 bits, also where photographs have 16: light is decoded from 16, the sensor's levels are 256.

    Args:
        sharp: Folder or glob of sharp photographs, as in :class:`~deblurkit.data.paired.PairedImages`.
        blur: Blur models, ``{type: NAME, ...}``: ``Shake``, ``ObjectMotion``, ``Kernels`` or a plugin's. One is drawn
            for each sample, as often as its ``share`` (1 where none is given) of the sum of shares.
        response: How levels encode light: ``srgb``, ``gamma`` (2.2), ``linear``, or the file of a measured curve; or a
            list of them, of which one is drawn for each sample.
        noise: ``{full_well: electrons, read_noise: electrons}`` of the sensor, each a number or
            ``[least, greatest]``; ``null`` for none.
        gain: Least and greatest factor of the light, before it saturates; ``null`` for 1.
        jpeg: Least and greatest quality of the blurred image's compression, 1 to 100; ``null`` for none.
        noise_share: Share of the samples that have noise.
        jpeg_share: Share of the samples whose blurred image is compressed.
        resize: Side of a square or ``[h, w]`` in pixels; bicubic, before everything else.
        crop: Size of the random crop, given as ``resize``. The blur's margin is cut around it where the photograph is
            large enough, and mirrored elsewhere. Without it whole photographs are blurred, even where a transform of
            ``augment`` then keeps a small part: the time that takes grows with their size.
        windows: Crops that are drawn for each sample, of which the one with the most detail is taken: from 2 on,
            skies and walls, of which a network learns little, come less often.
        augment: Names of registered transforms of the finished pair.
        where: ``worker`` blurs on the CPU, in the loader's workers. ``device``, for training sets only, draws there
            and blurs whole batches where they are trained on, in :meth:`finish`: one blur model that can, no JPEG,
            and of the transforms only ``hflip vflip rot90``, which are then applied before the blur (with ``rot90``
            both sides of the photograph must hold the crop's longer one). Without ``augment`` both give the same
            images except for rounding.

    Raises:
        UserError: No photograph is found, keys occur twice, or a component is wrong.
        ValueError: An argument is out of its range, or ``device`` cannot do what is asked for.
    """

    nested: ClassVar[dict[str, Nested]] = {**Pairs.nested, "blur": Nested(BLURS, ("share",))}
    makes_blur: ClassVar[bool] = True

    def __init__(
        self,
        sharp: str,
        blur: Sequence[str | dict[str, Any]],
        response: str | Sequence[str] = "srgb",
        noise: Mapping[str, float | Sequence[float]] | None = None,
        gain: Sequence[float] | None = None,
        jpeg: Sequence[int] | None = None,
        noise_share: float = 1.0,
        jpeg_share: float = 1.0,
        resize: Size | None = None,
        crop: Size | None = None,
        windows: int = 1,
        augment: Sequence[str | dict[str, Any]] = (),
        where: Literal["worker", "device"] = "worker",
    ) -> None:
        problems: list[str] = []
        found = images_by_key("sharp", sharp, problems)
        if problems:
            raise UserError(*problems)
        self.photographs = ImagePairs([PairFiles(key, path, None) for key, path in found.items()], resize)
        super().__init__(resize, crop, augment)
        self.camera = Camera(blur, Sensor(response, noise, gain, jpeg, noise_share, jpeg_share), windows)
        self.sharp, self.where = sharp, where
        self._check_where()
        # The photographs are a set of single images, whose transforms begin with the blur that makes pairs of them.
        self.photographs.augment = [Blurring(self.camera, self._crop_size), *self.augment]
        if self.crop and where == "device" and any(isinstance(step, Rotate90) for step in self.augment):
            # Photographs are turned before they are cut, and may lie either way.
            self.crop.needed = (max(self.crop.size),) * 2

    def __len__(self) -> int:
        """Returns the number of photographs."""
        return len(self.photographs)

    @property
    def used(self) -> int | None:
        """How many of the first photographs are used; see :class:`~deblurkit.data.dataset.Pairs`."""
        return self.photographs.used

    @used.setter
    def used(self, count: int | None) -> None:
        self.photographs.used = count

    def keys(self) -> list[str]:
        """Returns each photograph's key, by index."""
        return self.photographs.keys()

    def place(self, index: int) -> str:
        """Returns the photograph's file."""
        return self.photographs.place(index)

    def size(self, index: int) -> tuple[int, int]:
        """Returns ``(h, w)`` of a pair: the photograph's from its header, or what it is resized to."""
        stored = self.photographs.size(index)
        return self.resize.size if self.resize else stored

    def load(self, index: int) -> dict[str, Any]:
        """Returns the whole photograph, resized, and its blurred version, the same ones at each call."""
        shot = self.shoot(index, np.random.default_rng([_FIXED, index]))
        return {**self.camera.develop(shot), "key": self.photographs.files[index].key}

    def shoot(self, index: int, rng: np.random.Generator) -> Shot:
        """Draws an exposure of the whole photograph, resized before as :meth:`sample` does."""
        images = {"sharp": self.photographs.read(index)["blurred"]}
        if self.resize:
            images = self.resize(images, rng)
        return self.camera.shoot(images["sharp"], rng)

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Returns a pair as every data set does; with ``where: device``, what :meth:`finish` makes it from.

        That is ``sharp``, linear light ``(3, h, w)`` with the blur's margin; ``drawn`` and ``sensor``, the parameters;
        and ``key``.
        """
        if self.where == "worker":
            return self.photographs.sample(index, rng)
        # A batch is finished as a whole, so what differs from image to image, as turns do, comes before the blur.
        steps = [*filter(None, (self.resize, *self.augment)), Exposing(self.camera, self._crop_size)]
        key, parts = self.photographs.transformed(index, steps, rng)
        return {**parts, "key": key}

    def finish(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Blurs a batch of ``where: device`` on the device where its tensors lie; returns another as it is.

        The batch gets ``blurred`` and ``sharp``, float32 ``(n, 3, h, w)`` in [0, 1] on 256 levels, and ``key``.
        """
        if self.where == "worker":
            return batch
        (model,) = self.camera.models
        expose_batch = blur_traits(model).expose_batch
        assert expose_batch is not None  # or the set could not have been built
        inside = slice(model.margin, -model.margin or None)
        blurred, sharp = (image[..., inside, inside] for image in expose_batch(batch["sharp"], batch["drawn"]))
        blurred, sharp = self.camera.sensor.capture_batch(blurred, sharp, batch["sensor"])
        return {"blurred": blurred, "sharp": sharp, "key": batch["key"]}

    def describe(self) -> dict[str, str | int]:
        """Returns the set's name, the pattern of the photographs, the response and the blur models."""
        responses = ", ".join(curve.name for curve in self.camera.sensor.responses)
        made = {"response": responses, "blur": ", ".join(self.camera.names)}
        return {**super().describe(), "sharp": self.sharp, **made}

    def verify(self) -> None:
        """Looks at every photograph's header, and draws each blur once for the largest images that will be blurred.

        That is the greatest height with the greatest width: how far a blur reaches may depend on either.

        Raises:
            UserError: One line for each problem found.
        """
        super().verify()
        self.notes = []
        if self.photographs.read(0)["blurred"].dtype != np.uint8:
            self.notes.append(f"{self.place(0)} has 16 bits a channel; the pairs made of {self.sharp} have 8")
        for step in self.augment:
            cuts = transform_traits(step).needed is not None or isinstance(step, RandomResizedCrop)
            if cuts and self.crop is None:
                name = type(step).__name__
                self.notes.append(f"whole photographs are blurred before {name} cuts them: crop would cut them before")
                break
        size = self._crop_size or (self.resize.size if self.resize else None)
        if size is None:
            heights, widths = zip(*map(self.size, range(len(self))), strict=True)
            size = max(heights), max(widths)
        problems = []
        for number, model in enumerate(self.camera.models):
            try:
                model.draw((size[0] + 2 * model.margin, size[1] + 2 * model.margin), np.random.default_rng(0))
            except UserError as error:
                problems += [f"blur[{number}]: {problem}" for problem in error.problems]
        if problems:
            raise UserError(*problems)

    def cache(self, count: int | None = None) -> None:
        """Decodes the first ``count`` photographs (all, by default) and keeps them in memory; blur stays random.

        Raises:
            UserError: They do not fit into the memory that is free, or a file cannot be read.
        """
        self.photographs.cache(count)

    @property
    def _crop_size(self) -> tuple[int, int] | None:
        return self.crop.size if self.crop else None

    def _check_where(self) -> None:
        """Raises ValueError for what cannot be done on the device."""
        if self.where not in ("worker", "device"):
            raise ValueError(f"where: got {self.where!r}, expected 'worker' or 'device'")
        if self.where == "worker":
            return
        models, names = self.camera.models, ", ".join(self.camera.names)
        refused = [type(step).__name__ for step in self.augment if not isinstance(step, _TURNS)]
        why = ""
        # Models are drawn for each sample, and a batch is exposed by one.
        if len(models) > 1:
            why = f"it takes one blur model, got {names}"
        elif blur_traits(models[0]).expose_batch is None:
            why = f"{names} cannot blur a batch (it has no expose_batch)"
        elif len(self.camera.sensor.responses) > 1:
            why = f"it takes one response, got {len(self.camera.sensor.responses)}"
        elif self.camera.sensor.jpeg:
            why = "there is no JPEG on a device; remove jpeg"
        elif refused:
            why = f"augment: {', '.join(refused)} cannot be applied before the blur; hflip, vflip and rot90 can"
        if why:
            raise ValueError(f"where: device: {why}; or blur with where: worker")
