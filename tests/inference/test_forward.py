"""Padding, value ranges, cropping and precision around a generator."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from torch import Tensor, nn

from deblurkit.contracts import SizeRule
from deblurkit.data.images import to_tensor, to_uint8
from deblurkit.inference.forward import from_value_range, pad_to_size, to_value_range
from deblurkit.inference.restore import restore

SIZES = ((64, 64), (65, 97), (33, 47), (5, 7))
DIVISORS = (1, 4, 16, 32)


class Identity(nn.Module):
    """Returns its input, and remembers it."""

    def __init__(self, size_divisor: int = 1, value_range: tuple[float, float] = (0.0, 1.0)) -> None:
        super().__init__()
        self.size_divisor = size_divisor
        self.value_range = value_range
        self.seen: list[Tensor] = []

    def forward(self, blurred: Tensor) -> Tensor:
        self.seen.append(blurred)
        return blurred


def photograph(height: int, width: int) -> np.ndarray:
    return np.ascontiguousarray(skimage.data.astronaut()[40 : 40 + height, 160 : 160 + width])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("divisor", DIVISORS)
@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_identity_returns_the_photograph(size: tuple[int, int], divisor: int, value_range: tuple[float, float]) -> None:
    image = photograph(*size)
    generator = Identity(divisor, value_range)
    restored = restore(generator, to_tensor(image).unsqueeze(0))
    assert restored.dtype == torch.float32
    assert np.array_equal(to_uint8(restored[0]), image)
    (seen,) = generator.seen
    assert seen.shape[-2] % divisor == 0
    assert seen.shape[-1] % divisor == 0
    low, high = value_range
    expected = to_tensor(image) * (high - low) + low
    assert torch.allclose(seen[0, :, : size[0], : size[1]], expected, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("divisor", DIVISORS)
def test_padding_is_least_and_at_the_bottom_and_right(size: tuple[int, int], divisor: int) -> None:
    image = to_tensor(photograph(*size)).unsqueeze(0)
    padded = pad_to_size(image, SizeRule(divisor))
    assert [side % divisor for side in padded.shape[-2:]] == [0, 0]
    assert all(0 <= after - before < divisor for before, after in zip(size, padded.shape[-2:], strict=True))
    assert torch.equal(padded[..., : size[0], : size[1]], image)
    if all(side % divisor == 0 for side in size):
        assert padded is image
    rows, columns = (_source(before, after) for before, after in zip(size, padded.shape[-2:], strict=True))
    assert torch.equal(padded, image[..., rows, :][..., columns])


@pytest.mark.parametrize(
    ("size", "padded"),
    [((100, 130), (128, 160)), ((40, 128), (128, 128)), ((129, 5), (160, 128)), ((256, 128), (256, 128))],
)
def test_a_generator_with_a_least_size_sees_it(size: tuple[int, int], padded: tuple[int, int]) -> None:
    image = photograph(*size)
    generator = Identity(32)
    generator.min_size = 128
    restored = restore(generator, to_tensor(image).unsqueeze(0))
    assert np.array_equal(to_uint8(restored[0]), image)
    (seen,) = generator.seen
    assert seen.shape[-2:] == padded
    rows, columns = (_source(before, after) for before, after in zip(size, padded, strict=True))
    assert torch.equal(seen[0], to_tensor(image)[:, rows, :][:, :, columns])


def test_the_least_size_is_rounded_up_to_the_divisor() -> None:
    assert pad_to_size(torch.zeros(1, 3, 5, 40), SizeRule(16, minimum=33)).shape == (1, 3, 48, 48)


def _source(before: int, after: int) -> list[int]:
    """Which line each padded line repeats: mirrored without the edge, or the last one where that cannot be."""
    mirrored = after - before < before
    extra = range(after - before)
    return [*range(before), *(before - 2 - i if mirrored else before - 1 for i in extra)]


def test_one_axis_may_mirror_while_the_other_repeats() -> None:
    image = torch.arange(20.0).reshape(1, 1, 2, 10) / 20
    padded = pad_to_size(image, SizeRule(8))
    assert padded.shape == (1, 1, 8, 16)
    assert torch.equal(padded[0, 0, 2:, :10], image[0, 0, 1].expand(6, 10))
    assert torch.equal(padded[0, 0, 0, 10:], image[0, 0, 0, 3:9].flip(0))


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_value_ranges_are_inverse_and_differentiable(value_range: tuple[float, float]) -> None:
    levels = (torch.arange(256) / 255).requires_grad_()
    mapped = to_value_range(levels, value_range)
    assert mapped[0].item() == value_range[0]
    assert mapped[-1].item() == value_range[1]
    back = from_value_range(mapped, value_range)
    assert torch.equal(back.mul(255).round(), torch.arange(256.0))
    back.sum().backward()
    assert torch.allclose(levels.grad, torch.ones(256))


class Wrong(nn.Module):
    """Returns whatever it was made with."""

    def __init__(self, outputs: object) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, blurred: Tensor) -> object:
        return self.outputs


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (torch.zeros(1, 3, 4, 8), r"Wrong: .*for \(1, 3, 8, 8\) it returned \(1, 3, 4, 8\)"),
        (torch.zeros(1, 1, 8, 8), r"it returned \(1, 1, 8, 8\)"),
        ({"picture": torch.zeros(1, 3, 8, 8)}, "it returned a dict with 'picture'"),
        ([torch.zeros(1, 3, 8, 8)], "it returned a list"),
    ],
)
def test_wrong_outputs_name_the_generator(outputs: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        restore(Wrong(outputs), torch.zeros(1, 3, 8, 8))


def test_the_image_of_several_outputs_is_clamped() -> None:
    image = torch.tensor([-0.5, 0.25, 7.0]).reshape(1, 3, 1, 1)
    restored = restore(Wrong({"scales": None, "image": image}), torch.zeros(1, 3, 1, 1))
    assert restored.flatten().tolist() == [0.0, 0.25, 1.0]


def test_what_is_no_number_is_nan_and_not_white() -> None:
    image = torch.tensor([float("inf"), float("nan"), 0.5]).reshape(1, 3, 1, 1)
    restored = restore(Wrong(image), torch.zeros(1, 3, 1, 1)).flatten()
    assert restored.isnan().tolist() == [True, True, False]


class Convolution(nn.Module):
    """Remembers in what it computed."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
        self.dtype: torch.dtype | None = None

    def forward(self, blurred: Tensor) -> Tensor:
        outputs = self.layer(blurred)
        self.dtype = outputs.dtype
        assert isinstance(outputs, Tensor)
        return outputs


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", torch.float32), ("tf32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_precision(precision: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    generator = Convolution()
    blurred = to_tensor(photograph(16, 16)).unsqueeze(0)
    restored = restore(generator, blurred, precision)
    assert generator.dtype == dtype
    assert restored.dtype == torch.float32
    assert not restored.requires_grad
    assert torch.allclose(restored, restore(generator, blurred), atol=0.02)


def test_unknown_precision() -> None:
    with pytest.raises(ValueError, match="fp32, tf32, bf16, fp16, not 'half'"):
        restore(Identity(), torch.zeros(1, 3, 4, 4), "half")


class Shift(nn.Module):
    """Returns the image moved by one pixel, and half as bright: neither flips nor turns commute with it."""

    def forward(self, blurred: Tensor) -> Tensor:
        return 0.5 * torch.roll(blurred, 1, dims=3)


def test_x8_is_the_mean_over_flips_and_turns() -> None:
    image = to_tensor(photograph(24, 40)).unsqueeze(0)
    torch.testing.assert_close(restore(Identity(), image, inference="x8"), image)
    # Among the eight views the shift goes each of the four ways twice.
    four = [0.5 * torch.roll(image, by, dims=axis) for axis in (2, 3) for by in (1, -1)]
    torch.testing.assert_close(restore(Shift(), image, inference="x8"), torch.stack(four).mean(0))
    with pytest.raises(ValueError, match="'x4' is no inference mode"):
        restore(Identity(), image, inference="x4")
