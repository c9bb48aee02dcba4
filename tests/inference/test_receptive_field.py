"""Whether tiles of an image are the whole image: what is said of every network, and that the pixels agree."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from shrunk import SHRUNK
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.contracts import generator_traits
from deblurkit.errors import UserError
from deblurkit.inference.forward import to_value_range
from deblurkit.inference.receptive_field import LONGEST, global_layers, reach, receptive_field
from deblurkit.inference.session import Session
from deblurkit.registry import ARCHS

MEMORY = 4 << 20  # too little for 400x300 pixels, enough for 128x128
INSTANCE, POOL, MAXIMUM = "instance normalisation", "global average pooling", "global max pooling"
ATTENTION = "attention over all positions"
OWN_BATCH = "batch normalisation by the image's own statistics"
EXPECTED = {
    "BlurAttention": [INSTANCE],
    "Crosshatch": [ATTENTION],
    "DSCNet": [MAXIMUM, POOL],
    "DeblurGAN": [INSTANCE],
    "DeblurGANv2": [INSTANCE],
    "FilterBankUNet": [POOL],
    "Foreign": [],
    "MADN": [],
    "NAFNet": [POOL],
    "ResidualUNet": [],
    "StructureGuided": [INSTANCE, POOL],
}


def layers(network: nn.Module) -> list[str]:
    return global_layers(network, reach(network))


def shrunk(name: str) -> nn.Module:
    torch.manual_seed(0)
    network = ARCHS.get(name)(**SHRUNK.get(name, {}))
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return network.eval()


@pytest.mark.parametrize("name", ARCHS.names())
def test_every_generator(name: str):
    assert layers(shrunk(name)) == EXPECTED[name]


@pytest.mark.parametrize("name", ARCHS.names())
def test_pixels_agree(name: str):
    """By another way than the code's own: finite changes at one end of a strip, in float64."""
    network = shrunk(name).double()
    found = reach(network)
    far = 384
    traits = generator_traits(network)
    images = torch.rand(1, 3, traits.size_rule.fit(64), far + 128, dtype=torch.float64)
    changed = images.clone()
    changed[..., :32] = 1 - changed[..., :32]
    both = [to_value_range(x, traits.value_range) for x in (images, changed)]
    with torch.no_grad():
        outputs = [network(x) for x in both]
    first, second = (x["image"] if isinstance(x, dict) else x for x in outputs)
    touched = (first != second).any(dim=2).any(dim=1)[0].nonzero()
    assert (found is None) == (int(touched[-1]) == far + 127) == bool(EXPECTED[name])
    if found is not None:
        assert int(touched[-1]) <= 31 + found


def test_training_mode_is_another_network():
    network = shrunk("Crosshatch").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert layers(network) == [OWN_BATCH, ATTENTION]
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("layers", "taps"), [(1, 3), (3, 3), (2, 7), (40, 9)])
def test_reach_of_convolutions(layers: int, taps: int):
    network = nn.Sequential(*(nn.Conv2d(3, 3, taps, padding=taps // 2) for _ in range(layers)))
    assert reach(network) == layers * (taps // 2)
    assert reach(network.train()) == layers * (taps // 2)


def test_reach_of_a_pixel_alone_and_of_factors_that_are_zero():
    assert reach(nn.Conv2d(3, 3, 1)) == 0
    silent = nn.Conv2d(3, 3, 5, padding=2)
    nn.init.zeros_(silent.weight)
    assert reach(silent) == 2


def test_reach_further_than_the_strip():
    network = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=40, dilation=40) for _ in range(4)))
    assert reach(network, size=512) == 160
    assert reach(network, size=256) is None
    assert layers(network) == []
    deep = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=60, dilation=60) for _ in range(10)))
    assert layers(deep) == ["a pixel's influence goes further than 512 pixels"]


def test_global_layers_end_the_search_at_the_first_strip():
    lengths = []
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.InstanceNorm2d(3))
    network.register_forward_pre_hook(lambda module, inputs: lengths.append(max(inputs[0].shape)))
    assert reach(network) is None
    assert max(lengths) == 256


class Halving(nn.Module):
    """Half the size and back: how far a pixel reaches depends on where it lies."""

    size_divisor = 4

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 3, 3, 2, 1), nn.Conv2d(3, 3, 3, 2, 1))
        self.up = nn.Sequential(nn.ConvTranspose2d(3, 3, 4, 2, 1), nn.ConvTranspose2d(3, 3, 4, 2, 1))

    def forward(self, blurred: Tensor) -> Tensor:
        return {"image": blurred + self.up(self.down(blurred))}


def test_reach_is_a_bound_that_is_tight_to_the_divisor():
    network, true = Halving().double(), 0
    images = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    for place in range(28, 36):
        changed = images.clone()
        changed[..., place, place] += 1
        with torch.no_grad():
            difference = (network(images)["image"] != network(changed)["image"]).any(1)[0].nonzero()
        true = max(true, int((difference - place).abs().max()))
    assert true <= reach(network) < true + 4


class Axis(nn.Module):
    """Something over one axis of the image; over windows of 8 positions where they are asked for."""

    def __init__(self, axis: int, what: Callable[[Tensor], Tensor], window: int | None = None) -> None:
        super().__init__()
        self.axis, self.what, self.window = axis, what, window
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, blurred: Tensor) -> Tensor:
        lines = self.conv(blurred).movedim(self.axis, -1)
        parts = lines.unflatten(-1, (-1, self.window or lines.shape[-1]))
        return self.what(parts).flatten(-2).movedim(-1, self.axis)


OVER_ONE_AXIS = {
    ATTENTION: lambda x: x * x.softmax(-1),
    POOL: lambda x: x - x.mean(-1, keepdim=True),
    MAXIMUM: lambda x: x - x.amax(-1, keepdim=True),
    "statistics of the whole map": lambda x: functional.layer_norm(x, x.shape[-1:]),
    "a Fourier transform of the whole map": lambda x: torch.fft.irfft(torch.fft.rfft(x), x.shape[-1]),
}


@pytest.mark.parametrize("axis", [2, 3])
@pytest.mark.parametrize("words", OVER_ONE_AXIS)
def test_one_axis_is_enough_and_windows_are_local(words: str, axis: int):
    assert layers(Axis(axis, OVER_ONE_AXIS[words])) == [words]
    windows = Axis(axis, OVER_ONE_AXIS[words], window=8)
    windows.size_divisor = 8
    assert layers(windows) == []
    assert reach(windows) == 7


class Scaled(nn.Module):
    """Attention by the library's own functions, over all positions."""

    def __init__(self, heads: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 8, 8)
        self.heads = nn.MultiheadAttention(4, 2, batch_first=True) if heads else None

    def forward(self, blurred: Tensor) -> Tensor:
        features = self.first(blurred)
        tokens = features.flatten(2).mT
        if self.heads is None:
            mixed = functional.scaled_dot_product_attention(tokens, tokens, tokens)
        else:
            mixed = self.heads(tokens, tokens, tokens, need_weights=False)[0]
        return blurred + functional.interpolate(mixed.mT.view_as(features)[:, :3], scale_factor=8)


@pytest.mark.parametrize("heads", [False, True])
def test_library_attention(heads: bool):
    network = Scaled(heads)
    network.size_divisor = 8
    assert layers(network) == [ATTENTION]


def test_group_norm_and_nothing_known():
    assert layers(nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4), nn.Conv2d(4, 3, 1))) == ["group normalisation"]

    class Product(nn.Module):
        def forward(self, blurred: Tensor) -> Tensor:
            return blurred @ torch.ones(blurred.shape[-1], blurred.shape[-1])

    assert layers(Product()) == ["a pixel's influence goes further than 512 pixels"]


class Counting(nn.Module):
    """A 3x3 convolution that counts its forwards, and those of images with NaN, which only the probe passes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)
        self.calls = self.probed = 0

    def forward(self, blurred: Tensor) -> Tensor:
        if blurred.device.type != "meta":
            self.calls += 1
            self.probed += bool(blurred.isnan().any())
        return self.layer(blurred)


@pytest.mark.parametrize("declared", [1, "global"])
def test_a_declared_network_is_not_probed(declared: object):
    session = Session(Counting().eval(), inference="auto", memory_bytes=MEMORY)
    session.generator.receptive_field = declared
    session(torch.rand(3, 400, 300))
    (mode,) = session.used
    assert mode == ("tile:128,4" if declared == 1 else "tile:128,32")
    tiles = 4 * 3
    assert (session.generator.calls, session.generator.probed) == (tiles, 0)


def test_a_network_that_declares_nothing_is_probed():
    session = Session(Counting().eval(), inference="auto", memory_bytes=MEMORY)
    session(torch.rand(3, 400, 300))
    assert session.used == {"tile:128,4": 1}
    assert session.generator.probed > 0


def test_declarations_hold_in_eval_mode_and_are_checked():
    network = nn.Conv2d(3, 3, 3, padding=1).eval()
    network.receptive_field = 7
    assert receptive_field(network) == 7
    assert receptive_field(network.train()) == 1, "batch norms see the whole map in training"
    network.eval().receptive_field = LONGEST // 2 + 1
    assert receptive_field(network) is None, "as if it had been measured"
    for wrong in ("Global", -1, 2.5):
        network.receptive_field = wrong
        with pytest.raises(UserError, match="Conv2d: receptive_field is a number of pixels or 'global', got"):
            receptive_field(network)
