"""Protocols: everything that must be fixed before two scores may be compared.

A protocol is a class registered in ``PROTOCOLS`` under its id; what differs from :class:`Protocol` is stated as
class attributes, and where attributes do not reach (alignment, other averages) as overridden methods.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from deblurkit.data.images import to_uint8
from deblurkit.errors import UserError
from deblurkit.metrics.functional import Array
from deblurkit.registry import METRICS, PROTOCOLS


class Quantisation(NamedTuple):
    """What happens to an image ``(3, h, w)`` in [0, 1] before it is scored as ``(h, w, 3)``."""

    description: str
    apply: Callable[[Tensor], Array]


QUANTISATIONS = {"round_u8": Quantisation("clipped to [0, 1], times 255, rounded half up to 8 bits", to_uint8)}


class Protocol:
    """How restored images are scored against the true ones.

    Attributes:
        id: The name in ``PROTOCOLS``.
        version: Raised whenever the same images would get another score.
        description: One line: who scores like this.
        quantisation: A key of :data:`QUANTISATIONS`: what happens to an image before it is scored.
        metrics: The name of each score in reports, and the metric it comes from as an option file writes it.
        crop_border: Pixels cut off at each edge before anything is computed.
        inference: The inference mode that the protocol prescribes.
        averaging: In words, how a data set's score comes from its images.
    """

    id: ClassVar[str]
    version: ClassVar[int]
    description: ClassVar[str]
    quantisation: ClassVar[str] = "round_u8"
    metrics: ClassVar[Mapping[str, Mapping[str, Any]]]
    crop_border: ClassVar[int] = 0
    inference: ClassVar[str] = "whole"
    averaging: ClassVar[str] = "mean of the images' scores"

    def __init__(self) -> None:
        self._metrics = {
            name: METRICS.build(dict(component), where=f"{self.id}: metric {name}")
            for name, component in self.metrics.items()
        }

    def quantise(self, image: Tensor) -> Array:
        """Turn an image ``(3, h, w)`` in [0, 1] into what is scored: ``(h, w, 3)``, uint8 unless float is scored."""
        return QUANTISATIONS[self.quantisation].apply(image)

    def score(self, restored: Array, sharp: Array) -> dict[str, float]:
        """Score one image against the true one, both as :meth:`quantise` returns them."""
        inside = slice(self.crop_border, -self.crop_border or None)
        restored, sharp = restored[inside, inside], sharp[inside, inside]
        return {name: float(metric(restored, sharp)) for name, metric in self._metrics.items()}

    def average(self, scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Return a data set's scores from those of its images, of which there is at least one."""
        return {name: math.fsum(score[name] for score in scores) / len(scores) for name in self.metrics}

    def explain(self) -> str:
        """Say in a few lines what is computed."""
        metrics = "\n".join(
            f"  {name}: {', '.join(f'{key}={value}' for key, value in component.items())}"
            for name, component in self.metrics.items()
        )
        return (
            f"{self.id}, version {self.version}: {self.description}\n"
            f"images: {self.quantisation}: {QUANTISATIONS[self.quantisation].description}\n"
            f"inference: {self.inference}\ncrop_border: {self.crop_border} pixels\nmetrics:\n{metrics}\n"
            f"average: {self.averaging}"
        )


@PROTOCOLS.register_module(name="gopro-basicsr-v1")
class GoProBasicSR(Protocol):
    """GoPro and HIDE as BasicSR, mmagic and most of their forks score them."""

    id = "gopro-basicsr-v1"
    version = 1
    description = "8-bit RGB PSNR and 2-D SSIM of whole images, as BasicSR, mmagic and most forks"
    metrics: ClassVar[Mapping[str, Mapping[str, Any]]] = {"psnr": {"type": "PSNR"}, "ssim": {"type": "SSIM"}}


def get_protocol(name: str, where: str = "protocol") -> Protocol:
    """Return the protocol registered as ``name``.

    Raises:
        UserError: There is none, naming ``where`` it was asked for.
    """
    if PROTOCOLS.get(name) is None:
        raise UserError(f"{where}: {PROTOCOLS.miss(name)}")
    protocol: Protocol = PROTOCOLS.build({"type": name}, where=where)
    return protocol
