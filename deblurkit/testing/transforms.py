"""Laws that transforms keep: a pair stays a pair."""

from __future__ import annotations

import numpy as np
import skimage.data

from deblurkit.contracts import transform_traits
from deblurkit.data.transforms import Pair
from deblurkit.errors import UserError
from deblurkit.testing.component import Component, expect_refusal

_SEEDS = 12


def keeps_the_pair(component: Component) -> None:
    """Expects what it is given to stay as it is, equal images to stay equal, and their type, channels and size.

    The size may change where the transform declares ``keeps_size = False``.
    """
    _check_pairs(component, np.uint8)


def keeps_16_bits(component: Component) -> None:
    """Expects a pair of 16 bits to be kept like one of 8, or a refusal that says so with ``eight_bits_only``."""
    if component.traits.eight_bits_only:
        expect_refusal(lambda: _call(component, _pair(np.uint16), 0), UserError, "8 bits")
    else:
        _check_pairs(component, np.uint16)


def _check_pairs(component: Component, dtype: type) -> None:
    pair = _pair(dtype)
    keeps_size = transform_traits(component.shared()).keeps_size
    for seed in range(_SEEDS):
        result = _call(component, pair, seed)
        assert list(result) == ["blurred", "sharp"], f"it returns {list(result)}"
        blurred, sharp = result.values()
        assert blurred.dtype == sharp.dtype == dtype, f"{blurred.dtype} and {sharp.dtype} for {dtype.__name__}"
        assert blurred.shape == sharp.shape, f"a pair of {blurred.shape} and {sharp.shape}"
        assert blurred.shape[2:] == (3,), f"images of shape {blurred.shape}"
        alike = sorted(blurred.shape[:2]) == sorted(pair["blurred"].shape[:2])
        assert alike or not keeps_size, f"{pair['blurred'].shape} becomes {blurred.shape}; declare keeps_size = False"
        same = np.array_equal(blurred, sharp)
        assert same or component.traits.adds_blur, "equal images differ afterwards; say Traits(adds_blur=True) if meant"
    for side, image in _pair(dtype).items():
        assert np.array_equal(pair[side], image), f"the {side} image that it was given is changed"


def draws_from_its_generator_alone(component: Component) -> None:
    """Expects the same for equal random generators, and not always the same unless ``without_chance``."""
    pair, seen = _pair(np.uint8), set()
    for seed in range(_SEEDS):
        first, again = _call(component, pair, seed), _call(component, pair, seed)
        for side, image in first.items():
            assert np.array_equal(image, again[side]), f"the {side} image differs between two calls with one seed"
        seen.add(first["blurred"].tobytes())
    assert len(seen) > 1 or component.traits.without_chance, f"{_SEEDS} seeds give one result"


def wraps_nothing_around(component: Component) -> None:
    """Expects light grey to become lighter or somewhat darker, never black, whatever is drawn."""
    grey = {side: np.full((120, 160, 3), 250, np.uint8) for side in ("blurred", "sharp")}
    for seed in range(8):
        for image in _call(component, grey, seed).values():
            # 8 bits that overflow begin again at 0.
            assert image.min() > 60, f"250 becomes {image.min()}"


def takes_a_blurred_image_alone(component: Component) -> None:
    """Expects a blurred image alone to become what it becomes in a pair, or a refusal with ``needs_sharp``."""
    pair = _pair(np.uint8)
    alone = {"blurred": pair["blurred"]}
    if component.traits.needs_sharp:
        expect_refusal(lambda: _call(component, alone, 0), UserError, "needs a sharp image")
        return
    same = np.array_equal(_call(component, alone, 0)["blurred"], _call(component, pair, 0)["blurred"])
    assert same, "it becomes something else"


def _pair(dtype: type) -> Pair:
    # 257 takes 255 to 65535.
    photograph = skimage.data.chelsea()[60:180, 100:260].astype(dtype) * (257 if dtype is np.uint16 else 1)
    return {"blurred": photograph, "sharp": photograph.copy()}


def _call(component: Component, pair: Pair, seed: int) -> Pair:
    transform = component.shared()
    # Another pair, which differs from the first wherever that is not symmetric.
    partner = {side: image[::-1] for side, image in pair.items()}
    more = [lambda: partner] if transform_traits(transform).needs_partner else []
    return transform(pair, np.random.default_rng(seed), *more)


TRANSFORM = (
    keeps_the_pair,
    keeps_16_bits,
    draws_from_its_generator_alone,
    wraps_nothing_around,
    takes_a_blurred_image_alone,
)
