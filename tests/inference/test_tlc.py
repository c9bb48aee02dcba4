"""Local means: nothing changes up to the window, above it they equal means taken window by window."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
import skimage.data
import torch
from shrunk import SHRUNK
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.archs.nafnet import NAFNet, SimplifiedChannelAttention
from deblurkit.errors import UserError
from deblurkit.inference.forward import restore_whole
from deblurkit.inference.restore import restore
from deblurkit.inference.tlc import local_mean, local_means
from deblurkit.registry import ARCHS

WITHOUT_POOLS = {"BlurAttention", "Crosshatch", "DeblurGAN", "DeblurGANv2", "Foreign", "MADN", "ResidualUNet"}


def alive(network: nn.Module) -> nn.Module:
    """Give the factors that start at zero, such as NAFNet's beta and gamma, values that show."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_((0.02 if weight.any() else 0.5) * torch.randn_like(weight))
    return network.eval()


def nafnet() -> nn.Module:
    """NAFNet with all its levels, one block each, and few channels."""
    return alive(NAFNet(width=4, encoder_blocks=(1, 1, 1, 1), middle_blocks=1, decoder_blocks=(1, 1, 1, 1)))


def photograph(height: int, width: int) -> Tensor:
    """A window of a photograph, ``(1, 3, height, width)``; once more where it is too small."""
    pixels = torch.from_numpy(skimage.data.astronaut()).permute(2, 0, 1)[None] / 255
    return pixels.repeat(1, 1, 2, 3)[..., :height, :width].contiguous()


def placed(size: int, window: int) -> list[tuple[int, int]]:
    """The window's start and end around each position: inside the map, the odd rest of the border behind."""
    length = min(size, window)
    before = (length - 1) // 2
    starts = [min(max(position - before, 0), size - length) for position in range(size)]
    return [(start, start + length) for start in starts]


class DirectMean(nn.Module):
    """NAFNetLocal's mean, each window added up for itself, its rows first."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[2:]
        if self.window >= height and self.window >= width:
            return features.mean((2, 3), keepdim=True)
        rows, columns = placed(height, self.window), placed(width, self.window)
        pooled = functional.avg_pool2d(features, (1, columns[0][1] - columns[0][0]), stride=1)
        pooled = functional.avg_pool2d(pooled, (rows[0][1] - rows[0][0], 1), stride=1)
        return pooled[:, :, [top for top, _ in rows]][..., [left for left, _ in columns]]


def directly_local(network: nn.Module) -> nn.Module:
    """The same network with its pools replaced by hand: windows of 192, 96, 48, 24 and 12, by the level's width."""
    for module in network.modules():
        if isinstance(module, SimplifiedChannelAttention):
            module.mean = DirectMean(192 // (module.conv.in_channels // 4))
    return network


@pytest.mark.parametrize(("height", "width"), [(256, 256), (256, 384), (384, 384), (130, 377)])
def test_nafnet_does_not_change_up_to_384(height: int, width: int):
    network, blurred = nafnet(), photograph(height, width)
    expected = restore(network, blurred)
    assert torch.equal(restore_whole(network, blurred, called=local_means(network, 256)), expected)


@pytest.mark.parametrize(("height", "width"), [(193, 193), (200, 300), (300, 104)])
def test_nafnet_equals_means_computed_directly(height: int, width: int):
    blurred = photograph(height, width).double()
    network = nafnet().double()
    plain = restore(network, blurred)
    found = restore_whole(network, blurred, called=local_means(network, 128))
    expected = restore(directly_local(network), blurred)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert (found - plain).abs().max() > 1e-4, "the test can tell"
    assert ((found > 0) & (found < 1)).float().mean() > 0.5, "clamping hides little"


def test_float32_equals_float64():
    network, blurred = nafnet(), photograph(208, 208)
    found = restore(network, blurred, inference="tlc:128")
    exact = restore_whole(network.double(), blurred.double(), called=local_means(network, 128))
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-5)


def test_windows_of_nafnet():
    """Spec of the public network: 384 // 2^level, one pool a block, however wide."""
    network = NAFNet(width=1, encoder_blocks=(1, 1, 1, 28))
    down = [384, 192, 96, *[48] * 28, 24]
    assert local_means(network, 256).windows == [(side, side) for side in [*down, 48, 96, 192, 384]]
    assert local_means(network, 250, 1.0).windows[0] == (250, 250), "calibrated at 256, the next side it takes"
    assert local_means(network, 256, 1.25).windows[33] == (80, 80)


def test_local_mean_is_the_mean_of_each_window():
    drawn = random.Random(0)
    for _ in range(30):
        height, width, *window = (drawn.randint(1, 12) for _ in range(4))
        features = torch.randn(2, 3, height, width, dtype=torch.float64)
        found = local_mean(features, (window[0], window[1]))
        for y, (top, bottom) in enumerate(placed(height, window[0])):
            for x, (left, right) in enumerate(placed(width, window[1])):
                expected = features[:, :, top:bottom, left:right].mean((2, 3))
                torch.testing.assert_close(found[:, :, y, x], expected)


@pytest.mark.parametrize("example", [(2, 3, 30, 50), (2, 3, 13, 11)])
def test_an_exported_mean_is_the_same_whatever_size_it_was_exported_from(example: tuple[int, ...]):
    class Means(nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            return local_mean(features, (24, 20))

    free = torch.export.Dim.DYNAMIC
    exported = torch.export.export(Means(), (torch.zeros(example),), dynamic_shapes=({0: free, 2: free, 3: free},))
    for size in ((24, 20), (23, 30), (40, 7), (41, 33), (25, 21)):
        features = torch.rand(1, 3, *size)
        assert torch.equal(exported.module()(features), local_mean(features, (24, 20)))


@pytest.mark.parametrize("window", [24, 384])
@pytest.mark.parametrize("kind", ["photograph", "far from zero", "half black"])
def test_float32_is_accurate_on_large_maps(window: int, kind: str):
    """A plain integral image of a million numbers around 5 misses windows of 24 by 1e-3 of their deviation."""
    features = photograph(720, 1280)[:, :1]
    if kind == "far from zero":
        features = 5 + torch.randn(features.shape, generator=torch.Generator().manual_seed(0))
    if kind == "half black":
        features = (torch.arange(1280) >= 640).float().expand_as(features)
    exact = local_mean(features.double(), (window, window))
    worst = (local_mean(features, (window, window)) - exact).abs().max() / features.std()
    assert worst < 5e-6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_sums_in_float32(dtype: torch.dtype):
    features = (100 * photograph(200, 300)).to(dtype)
    found = local_mean(features, (50, 60))
    assert found.dtype == dtype
    exact = local_mean(features.double(), (50, 60))
    torch.testing.assert_close(found.double(), exact, rtol=2 * torch.finfo(dtype).eps, atol=0)


def test_under_autocast():
    network, blurred = nafnet(), photograph(120, 160)
    exact, half = (restore(network, blurred, precision, "tlc:64") for precision in ("fp32", "bf16"))
    assert (half - exact).abs().mean() < 0.01


@pytest.mark.parametrize("name", ARCHS.names())
def test_every_generator_is_local_or_says_why_not(name: str):
    network = alive(ARCHS.get(name)(**SHRUNK.get(name, {})))
    if name in WITHOUT_POOLS:
        with pytest.raises(UserError, match=f"tlc: {name} has no global average pooling"):
            local_means(network, 64)
        return
    means = local_means(network, 64)
    for side, changes in ((96, False), (160, True)):
        blurred = photograph(side, side)
        expected = restore(network, blurred)
        found = restore_whole(network, blurred, called=means)
        assert found.shape == blurred.shape
        assert torch.equal(found, expected) is not changes
        assert torch.equal(restore(network, blurred), expected), "nothing stays behind"


def test_means_of_parameters_stay():
    network = ARCHS.get("FilterBankUNet")(**SHRUNK["FilterBankUNet"])
    assert local_means(network, 64).windows == [(48, 48), (24, 24), (48, 48), None], "the last is of the filters"


class Squeezed(nn.Module):
    """Channels weighed by their means, in any of the ways in which people write that."""

    def __init__(self, mean: Callable[[Tensor], Tensor], last: nn.Module) -> None:
        super().__init__()
        self.mean, self.last = mean, last

    def forward(self, features: Tensor) -> Tensor:
        weights = self.last(self.mean(features))
        return features * (weights if weights.dim() == 4 else weights[:, :, None, None])


def network_of(mean: Callable[[Tensor], Tensor], last: nn.Module) -> nn.Module:
    return alive(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Squeezed(mean, last), nn.Conv2d(4, 3, 1)))


MAPS: dict[str, Callable[[Tensor], Tensor]] = {
    "module": nn.AdaptiveAvgPool2d(1),
    "module of a pair": nn.AdaptiveAvgPool2d((1, 1)),
    "function": lambda x: functional.adaptive_avg_pool2d(x, 1),
    "method": lambda x: x.mean((2, 3), keepdim=True),
    "axes from behind": lambda x: x.mean(dim=[-1, -2], keepdim=True),
    "torch.mean": lambda x: torch.mean(x, (2, 3), True),
    "pool as large as the map": lambda x: functional.avg_pool2d(x, x.shape[2:]),
}


@pytest.mark.parametrize("way", MAPS)
def test_every_way_to_write_a_pool(way: str):
    network, blurred = network_of(MAPS[way], nn.Conv2d(4, 4, 1)), photograph(120, 80)
    means = local_means(network, 32)
    assert means.windows == [(48, 48)]
    found = means(blurred)
    features = network[0](blurred)
    local = features * network[1].last(DirectMean(48)(features.double()).float())
    torch.testing.assert_close(found, network[2](local))


@pytest.mark.parametrize(
    ("mean", "words"),
    [
        (lambda x: x.mean((2, 3)), "tlc: Sequential: layer '1' takes its mean as a vector"),
        (lambda x: nn.AdaptiveAvgPool2d(1)(x).flatten(1), "behind layer '1' does not take a local mean"),
        (lambda x: nn.AdaptiveAvgPool2d(1)(x).view(x.shape[0], -1), "behind layer '1' does not take a local mean"),
    ],
)
def test_vectors_are_refused(mean: Callable[[Tensor], Tensor], words: str):
    network = network_of(mean, nn.Linear(4, 4))
    assert network(photograph(32, 32)).shape == (1, 3, 32, 32)
    with pytest.raises(UserError, match=words) as refused:
        local_means(network, 32)
    assert "keepdim=True" in str(refused.value)


class Wilful(nn.Module):
    """Takes a second mean of images larger than 100 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, blurred: Tensor) -> Tensor:
        found = self.conv(blurred) - blurred.mean((2, 3), keepdim=True)
        return found if blurred.shape[2] <= 100 else found - found.mean((2, 3), keepdim=True)


def test_calls_that_depend_on_the_image_are_refused():
    with pytest.raises(UserError, match="takes other means for 64x64 than for 128x128"):
        local_means(Wilful(), 64)
    means = local_means(Wilful(), 32)
    with pytest.raises(ValueError, match="tlc: Wilful takes more means for this image than the 1"):
        means(photograph(128, 64))
    assert means(photograph(64, 64)).shape == (1, 3, 64, 64), "an error leaves nothing behind"


def test_impossible_windows_are_refused():
    for size, factor in ((0, 1.5), (16, 0.0), (4, math.nextafter(0.25, 0))):
        with pytest.raises(UserError, match="tlc: needs a size of at least 1 pixel"):
            local_means(nafnet(), size, factor)


def test_calibration_leaves_no_trace():
    network = alive(nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), network_of(MAPS["method"], nn.Conv2d(4, 4, 1))))
    network = nn.Sequential(network[0], network[1], *network[2]).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(5)
    local_means(network, 32)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert network.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


@pytest.mark.slow
def test_a_compiled_generator_runs_as_written():
    network, blurred = nafnet(), photograph(400, 400)
    expected = restore(network, blurred, inference="tlc:256")
    network.compile()
    assert torch.equal(restore(network, blurred, inference="tlc:256"), expected)


def test_the_networks_own_calls_are_left_alone():
    network, blurred = nafnet(), photograph(400, 400)
    expected = restore(network, blurred)
    local = restore_whole(network, blurred, called=local_means(network, 256))
    assert not torch.equal(local, expected)
    assert torch.equal(restore(network, blurred), expected)
