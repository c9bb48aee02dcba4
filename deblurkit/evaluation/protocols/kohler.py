"""Koehler's benchmark: the truth of one exposure is every sharp frame along the camera's path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from deblurkit.evaluation.alignment import Aligned, Facts, align_nothing, align_shift, spectrum
from deblurkit.evaluation.protocols.protocol import Component, Protocol, Scored
from deblurkit.metrics.images import Array
from deblurkit.registry import PROTOCOLS


class Kohler(Protocol):
    """Base of the protocols of Koehler's benchmark."""

    data = "Kohler: 4 posters under 12 shakes, 48 photographs of 800 x 800"
    expects: ClassVar[Mapping[str, Mapping[str, str]]] = {"Kohler": {}}
    alignment = "shift"
    metrics: ClassVar[Mapping[str, Component]] = {
        "psnr": {"type": "PSNR", "channels": "luma"},
        "mssim": {"type": "MSSSIM", "channels": "luma", "filter": "bior97"},
        "ssim2d_luma": {"type": "SSIM", "kind": "2d", "channels": "luma"},
    }
    grouping = r"(?:.*\D)?(?P<poster>\d+)_(?P<trajectory>\d+)$"


class BestFrame(Kohler):
    """Base of those that compare an image with every sharp frame: of each metric the best value counts."""

    all_truths = True
    averaging = "mean of the images' scores; of an image, the best over its true frames, each metric by itself"

    def score(self, image: Array, truths: Iterable[Array]) -> Scored:
        """Scores one image against all true frames, as they come: one of them in memory at a time.

        A frame without any light is passed over, as one that is missing. Facts: ``best_frame``, the place of the frame
        of the best PSNR among those given, counted from 1, and what the alignment with it found out.

        Raises:
            ValueError: The images differ in shape or are too small for a metric.
        """
        align = self.aligner(image)
        best: dict[str, float] = {}
        facts: Facts = {}
        for number, truth in enumerate(truths, start=1):
            if not truth.any():  # scaled to its intensity, every image would match it
                continue
            pair = align(truth)
            scores = self.measure(pair)
            if not best or scores["psnr"] > best["psnr"]:
                facts = {"best_frame": number, **pair.facts}
            # each metric by itself, as the authors do: the best SSIM may be another frame's than the best PSNR
            for name, value in scores.items():
                best[name] = max(value, best.get(name, value))
        return Scored(best, facts)

    def aligner(self, image: Array) -> Callable[[Array], Aligned]:
        """Returns what moves the image onto a true frame."""
        return lambda truth: align_nothing(image, truth)


@PROTOCOLS.register_module(name="kohler-official-v1")
class KohlerOfficial(BestFrame):
    """Koehler's benchmark as its authors score it: the best frame counts, for each metric by itself.

    ``mssim`` is the multi-scale SSIM of the authors' code. Papers that print a single-scale ``SSIM`` took it from other
    code; ``ssim2d_luma`` is one such, and not theirs.
    """

    id = "kohler-official-v1"
    version = 1
    description = "luma PSNR and multi-scale SSIM, each the best over about 199 true frames, as Koehler et al."
    source = (
        "the authors' MATLAB code (eval_image.m, metrix_mux 1.1), which leaves out frame 30 of shot 1_3; "
        "ssim2d_luma is ours"
    )

    def aligner(self, image: Array) -> Callable[[Array], Aligned]:
        """Returns what scales and moves the image onto a true frame; facts: ``shift_y`` and ``shift_x``."""
        transform = spectrum(image)  # once, for about 199 frames
        return lambda truth: align_shift(image, truth, transform)


@PROTOCOLS.register_module(name="kohler-unaligned-v1")
class KohlerUnaligned(BestFrame):
    """Koehler's benchmark without the alignment: what ``kohler-official-v1`` gives for it."""

    id = "kohler-unaligned-v1"
    version = 1
    description = "kohler-official-v1 without its factor and its shift: the best of the true frames as they stand"
    alignment = "none"
    source = "ours: kohler-official-v1 less its alignment"


@PROTOCOLS.register_module(name="kohler-mid-v1")
class KohlerMid(Kohler):
    """Koehler's benchmark against the middle frame alone: fast, and comparable to nothing but itself."""

    id = "kohler-mid-v1"
    version = 1
    description = "kohler-official-v1 with the middle frame as the only truth, as deepinv by default: a quick look"
    source = "deepinv's data set of these images, whose truth is the middle frame; scores are lower than official ones"


@PROTOCOLS.register_module(name="kohler-mid-unaligned-v1")
class KohlerMidUnaligned(Kohler):
    """Koehler's benchmark against one true image, as if its pairs were aligned: a reading of tables near 20 dB."""

    id = "kohler-mid-unaligned-v1"
    version = 1
    description = "kohler-mid-v1 without its factor and its shift: one true image each, compared as it stands"
    alignment = "none"
    source = "ours: a reading of papers that speak of four sharp images and print 19 to 21 dB"
