"""From the light that reached a camera to its file: noise, saturation, response, levels and JPEG.

    photograph = JPEG(quantise(encode(clip(noise(gain * light)))))

The true sharp image is that of a sensor without noise and of a file without compression; it has the same gain, and
saturates where the light does.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from deblurkit.data.blur import camera_response
from deblurkit.data.blur.camera_response import Response, quantise
from deblurkit.data.blur.ranges import Range, as_number_or_range, as_range, as_share
from deblurkit.data.shake import add_sensor_noise
from deblurkit.errors import did_you_mean

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_NOISE = ("full_well", "read_noise")
_KNOTS = 65536  # of the curve by which light is encoded on a device: exact to 1e-5 between them


class Sensor:
    """A camera's sensor and file format.

    Args:
        response: ``linear``, ``gamma``, ``srgb``, or the file of a measured curve; or several, of which one is drawn
            for each photograph.
        noise: ``{full_well: electrons of a saturated pixel, read_noise: standard deviation of the read-out in
            electrons}``, see :func:`deblurkit.data.shake.add_sensor_noise`; ``null`` for none. Each is a number, or
            ``[least, greatest]``: a full well is then drawn log-uniformly, a read-out noise uniformly.
        gain: Least and greatest factor by which the light is multiplied before it saturates at 1, drawn uniformly:
            above 1 is a longer exposure, in which bright places burn out and leave their full trace; ``null`` for 1.
        jpeg: Least and greatest JPEG quality of the blurred image, 1 to 100, drawn uniformly (libjpeg's scale, colour
            at half the resolution); ``null`` for none.
        noise_share: Share of the photographs that have noise, in [0, 1].
        jpeg_share: Share of the photographs that are compressed, in [0, 1].

    Raises:
        UserError: A response is not known.
        ValueError: Another argument is out of its range.
    """

    def __init__(
        self,
        response: str | Sequence[str] = "srgb",
        noise: Mapping[str, float | Sequence[float]] | None = None,
        gain: Sequence[float] | None = None,
        jpeg: Sequence[int] | None = None,
        noise_share: float = 1.0,
        jpeg_share: float = 1.0,
    ) -> None:
        names = [response] if isinstance(response, str) else list(response)
        if not names:
            raise ValueError("response: got an empty list, expected a name or several")
        self.responses = tuple(camera_response.response(name) for name in names)
        self.noise: tuple[Range, Range] | None = None
        if noise is not None:
            unknown = [key for key in noise if key not in _NOISE]
            if unknown or len(noise) < len(_NOISE):
                hint = did_you_mean(unknown[0], _NOISE) if unknown else ""
                expected = "{full_well: ELECTRONS, read_noise: ELECTRONS}"
                raise ValueError(f"noise: got {dict(noise)}{hint}, expected {expected}")
            full_well = as_number_or_range(noise["full_well"], "noise: full_well", "electrons", positive=True)
            read_noise = as_number_or_range(noise["read_noise"], "noise: read_noise", "0, or electrons")
            self.noise = full_well, read_noise
        self.gain = as_range((1.0, 1.0) if gain is None else gain, "gain", positive=True)
        self.jpeg: tuple[int, int] | None = None
        if jpeg is not None:
            limits = as_range(jpeg, "jpeg", least=1.0, greatest=100.0)
            if any(int(limit) != limit for limit in limits):
                raise ValueError(f"jpeg: got {list(jpeg)}, expected whole numbers")
            self.jpeg = int(limits[0]), int(limits[1])
        self.noise_share = as_share(noise_share, "noise_share")
        self.jpeg_share = as_share(jpeg_share, "jpeg_share")

    def draw(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draws what is random about one photograph, each an array ``()``.

        ``gain``; where there is noise its ``noise_seed``, ``full_well``, ``read_noise`` and ``noisy`` (1, or 0 for a
        photograph without); where there is JPEG its ``quality``, 0 for a photograph that is not compressed; and
        ``response``, which of several.
        """
        # A seed stands for the noise: a manifest can hold it, and worker and device get the same numbers from it.
        drawn = {"gain": np.array(rng.uniform(*self.gain), dtype=np.float32)}
        if self.noise is not None:
            drawn["noise_seed"] = np.array(rng.integers(2**63))
        if self.jpeg is not None:
            drawn["quality"] = np.array(rng.integers(self.jpeg[0], self.jpeg[1] + 1))
        # What has one value draws nothing, so that a seed gives the pixels that it gave before there were ranges.
        if self.noise is not None:
            (least, most), (quietest, loudest) = self.noise
            full_well = least if least == most else least * (most / least) ** rng.random()
            read_noise = quietest if quietest == loudest else rng.uniform(quietest, loudest)
            noisy = self.noise_share == 1 or rng.random() < self.noise_share
            drawn["full_well"] = np.array(full_well, dtype=np.float32)
            drawn["read_noise"] = np.array(read_noise, dtype=np.float32)
            drawn["noisy"] = np.array(noisy, dtype=np.float32)
        if self.jpeg is not None and self.jpeg_share < 1 and rng.random() >= self.jpeg_share:
            drawn["quality"] = np.array(0)
        if len(self.responses) > 1:
            drawn["response"] = np.array(rng.integers(len(self.responses)))
        return drawn

    def response(self, drawn: Mapping[str, np.ndarray]) -> Response:
        """Returns the response that was drawn for a photograph."""
        return self.responses[int(drawn["response"]) if len(self.responses) > 1 else 0]

    def capture(
        self, blurred: np.ndarray, sharp: np.ndarray, drawn: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the blurred photograph and its true sharp image, ``uint8`` ``(h, w, 3)``.

        Takes linear light, float32 ``(h, w, 3)``, 1 = saturation before the gain, and what :meth:`draw` returned.
        """
        # In the order of a camera. Gain acts before saturation, so that burnt-out places leave their full trace. Noise
        # is that of electrons, so it comes before the response, whose steep start makes it greatest in the shadows.
        blurred, sharp = blurred * drawn["gain"], sharp * drawn["gain"]
        if self.noise is not None and drawn["noisy"]:
            levels = float(drawn["full_well"]), float(drawn["read_noise"])
            blurred = add_sensor_noise(blurred, np.random.default_rng(int(drawn["noise_seed"])), *levels)
        curve = self.response(drawn)
        photograph, truth = (quantise(curve.encode(linear)) for linear in (blurred, sharp))
        if self.jpeg is not None and drawn["quality"]:
            photograph = through_jpeg(photograph, int(drawn["quality"]))
        return photograph, truth

    def draw_field(self, size: tuple[int, int], drawn: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns what :meth:`capture_batch` takes in the place of ``drawn``, for images of ``size`` ``(h, w)``.

        That is ``gain``, ``()``; and, where there is noise, ``full_well`` and ``read_noise``, ``()``, and ``noise``,
        float32 ``(3, h, w)``: standard normal, the same numbers that :meth:`capture` draws, or zeros.
        """
        if self.noise is None:
            return {"gain": drawn["gain"]}
        # Drawn on the CPU: a device's generator gives other numbers, and the images would differ from a worker's.
        rng = np.random.default_rng(int(drawn["noise_seed"]))
        field = rng.standard_normal((*size, 3), dtype=np.float32) * drawn["noisy"]
        levels = {name: drawn[name] for name in ("gain", "full_well", "read_noise")}
        return {**levels, "noise": np.ascontiguousarray(field.transpose(2, 0, 1))}

    def capture_batch(self, blurred: Tensor, sharp: Tensor, fields: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Does what :meth:`capture` does, without JPEG, on the device where the images lie.

        Takes linear light ``(n, 3, h, w)`` float32, and the stacked arrays of :meth:`draw_field`; returns float32 of
        the same shape in [0, 1], on the 256 levels.
        """
        gain = fields["gain"].reshape(-1, 1, 1, 1)
        blurred, sharp = blurred * gain, sharp * gain
        if self.noise is not None:
            full_well, read_noise = (fields[name].reshape(-1, 1, 1, 1) for name in ("full_well", "read_noise"))
            electrons = blurred.clamp(min=0) * full_well
            blurred = (electrons + (electrons + read_noise**2).sqrt() * fields["noise"]) / full_well
        (curve,) = self.responses
        return on_levels(encode_batch(blurred, curve)), on_levels(encode_batch(sharp, curve))


def through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Returns what is left of a ``uint8`` ``(h, w, 3)`` image after JPEG of a quality from 1 to 100."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


def encode_batch(linear: Tensor, curve: Response) -> Tensor:
    """Returns the encoded values in [0, 1] of linear light, clipped to [0, 1] first; any shape, within 1e-5 of numpy's.

    The curve is interpolated linearly between 65536 levels, so that a measured one needs nothing else.
    """
    import torch

    linear = linear.clamp(0, 1).contiguous()
    knots = _knots(curve, linear.device)
    above = torch.searchsorted(knots, linear).clamp_(1, _KNOTS - 1)
    low, high = knots[above - 1], knots[above]
    share = (linear - low) / (high - low).clamp_(min=torch.finfo(linear.dtype).tiny)
    return (above - 1 + share) / (_KNOTS - 1)


def on_levels(encoded: Tensor) -> Tensor:
    """Rounds encoded values in [0, 1] to the nearest of 256 levels, halves up; still in [0, 1]."""
    return (encoded * 255 + 0.5).floor() / 255


@lru_cache(maxsize=4)
def _knots(curve: Response, device: torch.device) -> Tensor:
    import torch

    return torch.from_numpy(curve.decode(np.arange(_KNOTS, dtype=np.uint16))).to(device)
