"""Augmentations that mix: the two images of a pair, or two pairs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deblurkit.data.blur.ranges import as_share
from deblurkit.data.transforms import Pair, draw_window
from deblurkit.errors import UserError
from deblurkit.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CutBlur:
    """Put a rectangle of the sharp image into the blurred one, or of the blurred one into the sharp; each as likely.

    The result stands in the place of ``blurred``; ``sharp`` stays the truth. The network sees where there is nothing to
    do. Values are copied, 0 to 255 or 0 to 65535.

    Args:
        ratio: The rectangle's sides as a share of the image's, above 0 and up to 1.
        probability: How often it is done at all, from 0 to 1.

    Raises:
        ValueError: A number is out of range.

    Source: Yoo, Ahn and Sohn, "Rethinking Data Augmentation for Image Super-resolution", CVPR 2020; their code takes
    a ratio of 0.7 (there with a spread of 0.01) each time.
    """

    def __init__(self, ratio: float = 0.7, probability: float = 0.5) -> None:
        if not 0 < ratio <= 1:
            raise ValueError(f"ratio: got {ratio}, expected a number above 0 and up to 1")
        self.ratio, self.probability = ratio, as_share(probability, "probability")

    def __call__(self, pair: Pair, rng: np.random.Generator) -> Pair:
        """Returns the pair with another ``blurred``, or as it is.

        Raises:
            UserError: There is no sharp image, or it has other pixels than the blurred one (8 and 16 bits).
        """
        if "sharp" not in pair or pair["sharp"].dtype != pair["blurred"].dtype:
            raise UserError("CutBlur needs a sharp image, of as many bits as the blurred one")
        if rng.random() >= self.probability:
            return pair
        # Either way round, as in the paper: what is learnt is where to restore, and to leave alone what is sharp.
        inside, outside = ("sharp", "blurred") if rng.random() < 0.5 else ("blurred", "sharp")
        height, width = pair["blurred"].shape[:2]
        sides = max(1, round(height * self.ratio)), max(1, round(width * self.ratio))
        part = draw_window((height, width), sides, rng)
        mixed = pair[outside].copy()  # the image itself may be a view of a cache or of a file
        mixed[part] = pair[inside][part]
        return {**pair, "blurred": mixed}


@TRANSFORMS.register_module()
class Mixup:
    """Blend the pair with another of the set: ``share * pair + (1 - share) * partner``, in both images alike.

    The share is drawn from Beta(alpha, alpha). The stored (encoded) values are blended, 0 to 255 or 0 to 65535, and
    rounded. It stands after a crop, so that the two are of one size.

    Args:
        alpha: Of the Beta distribution: small ones leave most pairs almost as they are, 1 is uniform.
        probability: How often it is done at all, from 0 to 1.

    Raises:
        ValueError: A number is out of range.

    Source: Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018; alpha 1.2 is
    what Yoo et al. (see :class:`CutBlur`) take for restoration.
    """

    needs_partner = True

    def __init__(self, alpha: float = 1.2, probability: float = 0.5) -> None:
        if alpha <= 0:
            raise ValueError(f"alpha: got {alpha}, expected a positive number")
        self.alpha, self.probability = alpha, as_share(probability, "probability")

    def __call__(self, pair: Pair, rng: np.random.Generator, partner: Callable[[], Pair] | None = None) -> Pair:
        """Returns the blended pair, or the pair as it is.

        Raises:
            UserError: There is no partner, or it has another size or number of bits.
        """
        if partner is None:
            raise UserError("Mixup needs a second pair, and this data set gives none")
        if rng.random() >= self.probability:
            return pair
        # The share first: the partner draws from the same generator.
        share = rng.beta(self.alpha, self.alpha)
        partners = partner()
        mixed = {}
        for name, image in pair.items():
            other = partners[name]
            if image.shape != other.shape or image.dtype != other.dtype:
                kinds = " and ".join(f"{one.shape[0]} x {one.shape[1]} {one.dtype}" for one in (image, other))
                raise UserError(f"Mixup needs two pairs of one kind, got {kinds}: put it after a crop")
            mixed[name] = np.asarray(np.rint(share * image + (1 - share) * other), dtype=image.dtype)
        return mixed
