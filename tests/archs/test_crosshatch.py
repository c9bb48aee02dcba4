"""The crosshatch generator against the specification's counts, and its attention against loops."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from counting import count, gmacs
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from deblurkit import build_generator, load_options
from deblurkit.archs.crosshatch import Crosshatch, CrosshatchAttention, PreActivationResBlock, _chunks

OPTIONS = Path(__file__).parents[2] / "options"
SMALL = {"encoder": [4, 8, 16], "res_channels": 16, "blocks": 2, "decoder": [8, 4]}
LITERAL = {"encoder": [64, 256, 512]}
READINGS = {  # arguments, parameters, GMAC at 256x256, GMAC at 720x1280
    "default": ({}, 11_470_916, 57.286, 811.753),
    "deconv": ({"upsample": "deconv"}, 11_470_916, 50.038, 709.831),
    "attention after each block": ({"attention": "each"}, 12_128_844, 61.178, 915.857),
    "one convolution a block": ({"convs_per_block": 1}, 6_155_588, 35.543, 505.988),
    "literal encoder": (LITERAL, 12_562_372, 62.655, 887.250),
    "literal encoder, wide decoder": ({**LITERAL, "decoder": [256, 64]}, 12_931_396, 72.318, 1023.146),
    "wide blocks": ({**LITERAL, "res_channels": 512, "decoder": [256, 64]}, 45_499_780, 213.062, 3008.530),
    "norm and ReLU first": ({"block_order": "pre"}, 11_470_916, 57.286, 811.753),
    "64, 256, 256": ({"encoder": [64, 256, 256]}, 11_839_940, 59.702, 845.727),
}


def small(**arguments: object) -> Crosshatch:
    torch.manual_seed(0)
    return Crosshatch(**{**SMALL, **arguments})


def attention(channels: int = 8, reduction: int = 2, chunk_bytes: int | None = None, **arguments: bool):
    torch.manual_seed(0)
    module = CrosshatchAttention(channels, reduction, **arguments).double()
    nn.init.ones_(module.gamma)
    if chunk_bytes is not None:
        module.chunk_bytes = chunk_bytes
    return module


def image(*size: int) -> Tensor:
    return torch.randn(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("reading", READINGS)
def test_parameters_and_macs_of_each_reading(reading: str):
    arguments, parameters, at_256, at_720p = READINGS[reading]
    with torch.device("meta"):
        network = Crosshatch(**arguments).eval()
    assert count(network) == parameters
    assert gmacs(network, 256, 256) == pytest.approx(at_256, rel=1e-3)
    assert gmacs(network, 720, 1280) == pytest.approx(at_720p, rel=1e-3)


def test_macs_do_not_depend_on_the_path():
    with torch.device("meta"):
        network = Crosshatch()
    assert gmacs(network, 256, 256, gradients=True) == pytest.approx(57.286, rel=1e-3)


@pytest.mark.parametrize(("reduction", "parameters"), [(8, 82_241), (16, 74_017), (1, 197_377)])
def test_parameters_of_the_attention(reduction: int, parameters: int):
    assert count(CrosshatchAttention(256, reduction)) == parameters


def dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum()


def projected(module: nn.Conv2d, features: Tensor) -> Tensor:
    """A 1x1 convolution written as a matrix product, (c, h, w) to (d, h, w)."""
    return torch.einsum("dc,chw->dhw", module.weight[:, :, 0, 0], features) + module.bias[:, None, None]


def by_pixel(module: CrosshatchAttention, features: Tensor) -> Tensor:
    """The paper's section 3.1 pixel by pixel, V before the weights."""
    results = []
    for one in features:
        q, k, v = (projected(conv, one) for conv in (module.query, module.key, module.value))
        _, h, w = one.shape
        result = torch.zeros_like(one)
        for y in range(h):
            for x in range(w):
                row = torch.stack([dot(q[:, y, x], k[:, y, i]) for i in range(w)]).softmax(0)
                column = torch.stack([dot(q[:, y, x], k[:, i, x]) for i in range(h)]).softmax(0)
                total = sum(row[i] * v[:, y, i] for i in range(w)) + sum(column[i] * v[:, i, x] for i in range(h))
                place = torch.zeros_like(one[:1])
                place[0, y, x] = 1
                result = result + place * total[:, None, None]
        results.append(one + module.gamma * result)
    return torch.stack(results)


def joint_softmax(module: CrosshatchAttention, features: Tensor) -> Tensor:
    """CCNet's: one softmax over the h + w - 1 positions of row and column, the pixel itself counted once."""
    q, k, v = module.query(features), module.key(features), module.value(features)
    h, w = features.shape[-2:]
    same_row = torch.eye(h, dtype=torch.bool)[:, None, :, None].expand(h, w, h, w)
    same_column = torch.eye(w, dtype=torch.bool)[None, :, None, :].expand(h, w, h, w)
    cross = (same_row | same_column).reshape(h * w, h * w)
    assert (cross.sum(1) == h + w - 1).all()
    logits = q.flatten(2).mT @ k.flatten(2)
    weights = logits.masked_fill(~cross, -torch.inf).softmax(-1)
    return features + module.gamma * (v.flatten(2) @ weights.mT).view_as(features)


@pytest.mark.parametrize("size", [(3, 5), (5, 3), (1, 4)])
def test_attention_equals_a_loop_over_pixels_and_so_do_its_gradients(size: tuple[int, int]):
    module, features = attention(), image(2, 8, *size).requires_grad_()
    direction = image(2, 8, *size).flip(0)
    leaves = [features, *module.parameters()]
    found, wanted = module(features), by_pixel(module, features)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    for one, other in zip(
        torch.autograd.grad((found * direction).sum(), leaves),
        torch.autograd.grad((wanted * direction).sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("chunk_bytes", [1, 2000, 10**9])
def test_chunks_change_nothing(chunk_bytes: int):
    """One line at a time, a number that does not divide the size, and all at once."""
    module, features = attention(chunk_bytes=chunk_bytes), image(2, 8, 5, 7)
    whole = module(features)
    before = features.clone()
    with torch.no_grad():
        chunked = module(features)
    assert whole.requires_grad
    torch.testing.assert_close(chunked, whole.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(chunked, by_pixel(module, features).detach(), rtol=0, atol=1e-6)
    assert torch.equal(features, before)


def test_chunks_keep_to_their_bound():
    """The temporary tensors of a chunk, in fp32, stay below ``chunk_bytes``; in the backward pass too."""
    lines = image(2, 8, 30, 9)[0].permute(1, 0, 2)
    chunks = list(_chunks(lines, 4, 20_000))
    rows = chunks[0].stop
    squares, q_or_k, line = rows * 9 * 9, rows * 9 * 4, rows * 9 * 8
    # weights, their gradients and the product of both; copies of features and gradients, and a result; Q and K
    size = 4 * (3 * squares + 3 * line + 2 * q_or_k)
    assert 10_000 < size <= 20_000
    assert [row for chunk in chunks for row in range(30)[chunk]] == list(range(30))


def test_training_in_chunks_keeps_no_weights():
    """What stays for the backward pass grows with the pixels, not with the length of lines."""

    def kept(side: int) -> int:
        module, sizes = attention(chunk_bytes=1), dict[int, int]()
        note = lambda x: sizes.setdefault(x.data_ptr(), x.numel()) and x  # noqa: E731
        with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
            module(image(1, 8, side, side).requires_grad_())
        return sum(sizes.values())

    assert kept(64) < 4.5 * kept(32)
    assert kept(64) < 64 * 64 * 8 * 8


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("chunk_bytes", [1, 2000])
def test_gradients_in_chunks_are_those_of_the_whole(chunk_bytes: int, layout: torch.memory_format):
    features = image(2, 8, 5, 7).to(memory_format=layout).requires_grad_()
    direction = image(2, 8, 5, 7).flip(0)
    found = []
    for module in (attention(chunk_bytes=chunk_bytes), attention()):
        leaves = [features, *module.parameters()]
        found.append(torch.autograd.grad((module(features) * direction).sum(), leaves))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_gradients_in_chunks_can_be_differentiated():
    """A gradient penalty, say; and the numbers agree with finite differences."""
    module, features = attention(2, 1, chunk_bytes=1), image(1, 2, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(module, (features,))
    assert torch.autograd.gradgradcheck(module, (features,))


def test_gradients_in_chunks_under_autocast():
    features = image(1, 8, 6, 6).float().requires_grad_()
    found = []
    for chunk_bytes in (1, 10**9):
        module = attention(chunk_bytes=chunk_bytes).float()
        leaves = [features, *module.parameters()]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = module(features).square().mean()
        found.append(torch.autograd.grad(loss, leaves))
        assert all(one.dtype == torch.float32 for one in found[-1])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.02)


def test_attention_is_not_the_joint_softmax_of_ccnet():
    module, features = attention(), image(1, 8, 7, 9)
    joint = joint_softmax(module, features)
    assert (module(features) - joint).abs().max() > 0.1


def test_weights_of_row_and_column_sum_to_one_each():
    """With V constant everywhere the sum of both is twice V; a joint softmax would give V."""
    module, features = attention(), image(1, 8, 4, 6)
    nn.init.zeros_(module.value.weight)
    nn.init.ones_(module.value.bias)
    torch.testing.assert_close(module(features) - features, torch.full_like(features, 2.0))
    torch.testing.assert_close(joint_softmax(module, features) - features, torch.ones_like(features))


def test_a_pixel_reaches_its_row_and_column_only():
    module, features = attention(), image(1, 8, 5, 6)
    features.requires_grad_()
    (gradient,) = torch.autograd.grad(module(features)[0, :, 2, 3].sum(), features)
    reached = gradient[0].abs().sum(0) > 0
    cross = torch.zeros(5, 6, dtype=torch.bool)
    cross[2], cross[:, 3] = True, True
    assert torch.equal(reached, cross)


def test_scaled_logits_divide_by_the_root_of_the_reduced_channels():
    plain, scaled, features = attention(), attention(scale_logits=True), image(1, 8, 4, 5)
    with torch.no_grad():
        plain.query.weight.mul_(0.5)  # 4 reduced channels
        plain.query.bias.mul_(0.5)
    torch.testing.assert_close(plain(features), scaled(features))
    assert not torch.allclose(attention()(features), scaled(features))


class SoftmaxDtypes(TorchDispatchMode):
    """Records in which dtype softmaxes are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.dtype] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if "softmax" in str(func):
            self.seen.append(result.dtype)
        return result


def test_softmax_is_fp32_under_autocast():
    module, features = attention().float(), image(1, 8, 6, 6).float()
    with torch.autocast("cpu", dtype=torch.bfloat16), SoftmaxDtypes() as softmaxes:
        whole = module(features)
        with torch.no_grad():
            chunked = module(features)
    assert softmaxes.seen == [torch.float32] * 4
    torch.testing.assert_close(chunked, whole, rtol=0.02, atol=0.05)
    torch.testing.assert_close(whole, module(features), rtol=0.02, atol=0.05)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_inference_on_4k_features_takes_less_than_a_gibibyte():
    """On top of the input, 1x256x540x960 (a 4K image); the output alone is 506 MiB."""
    code = f"""
import sys, torch
sys.path.append({str(Path(__file__).parents[1])!r})
from peak import forget_peak, peak_bytes
from deblurkit.archs.crosshatch import CrosshatchAttention
torch.set_num_threads(1)
module = CrosshatchAttention(256).eval()
with torch.no_grad():
    module(torch.rand(1, 256, 8, 8))
    features = torch.rand(1, 256, 540, 960)
    forget_peak()
    before = peak_bytes()
    module(features)
print((peak_bytes() - before) / 2**20)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 506 < float(run.stdout) < 1024


def test_fresh_attention_changes_nothing():
    """Gamma starts at zero: with equal weights the network with attention is the one without."""
    plain, once, each = small(attention="none"), small(), small(attention="each")
    shared = plain.state_dict()
    for network, order in ((once, (0, 1)), (each, (0, 2))):
        renamed = {
            name.replace(f"body.{block}.", f"body.{place}.", 1): value
            for block, place in enumerate(order)
            for name, value in shared.items()
            if not name.startswith("body.") or name.startswith(f"body.{block}.")
        }
        left = network.load_state_dict(renamed, strict=False)
        assert not left.unexpected_keys
        assert all(key.split(".")[2] in ("query", "key", "value", "gamma") for key in left.missing_keys)
        blurred = torch.rand(1, 3, 16, 20)
        assert torch.equal(network.eval()(blurred), plain.eval()(blurred))


def test_attention_stands_after_the_last_or_each_block():
    kinds = {mode: [type(m).__name__ for m in small(attention=mode).body] for mode in ("once", "each", "none")}
    block, cross = "ReflectedResBlock", "CrosshatchAttention"
    assert kinds == {"once": [block, block, cross], "each": [block, cross] * 2, "none": [block, block]}


def convolved(features: Tensor, layer: nn.Conv2d) -> Tensor:
    return functional.conv2d(functional.pad(features, (1, 1, 1, 1), mode="reflect"), layer.weight, layer.bias)


def normalized(features: Tensor, layer: nn.BatchNorm2d) -> Tensor:
    """Batch norm in training mode, of one image."""
    mean = features.mean((2, 3), keepdim=True)
    deviation = (features.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()
    return (features - mean) / deviation * layer.weight.view(1, -1, 1, 1) + layer.bias.view(1, -1, 1, 1)


@pytest.mark.parametrize("convs", [1, 2])
def test_pre_activation_puts_norm_and_relu_before_each_convolution(convs: int):
    torch.manual_seed(0)
    block, features = PreActivationResBlock(4, 0.0, nn.BatchNorm2d, convs).double(), image(1, 4, 5, 6)
    convolutions = [m for m in block.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in block.modules() if isinstance(m, nn.BatchNorm2d)]
    branch = features
    for norm, convolution in zip(norms, convolutions, strict=True):
        nn.init.normal_(norm.bias)
        branch = convolved(normalized(branch, norm).clamp(min=0), convolution)
    assert len(convolutions) == convs
    torch.testing.assert_close(block(features), features + branch)


@pytest.mark.parametrize("convs", [1, 2])
def test_pre_activation_drops_out_as_the_other_order_does(convs: int):
    """Between two convolutions it is behind a ReLU; with one it is last, where half of the branch is then zero."""
    torch.manual_seed(0)
    block = PreActivationResBlock(4, 0.5, nn.BatchNorm2d, convs)
    seen: list[Tensor] = []
    block.body[4].register_forward_hook(lambda _, inputs, output: seen.extend([inputs[0], output]))
    features = torch.randn(1, 4, 12, 12)
    found = block(features)
    before, after = seen
    assert 0.3 < ((after == 0) & (before != 0)).sum() / (before != 0).sum() < 0.7
    assert (before.min() >= 0) == (convs == 2)
    assert torch.equal(found, features + after) == (convs == 1)


def test_a_checkpoint_without_the_order_is_read_as_post():
    """The names and shapes of both orders are equal, so weights cannot tell, and the option must."""
    post, pre = (small(block_order=order, dropout=0.0) for order in ("post", "pre"))
    shapes = [{name: value.shape for name, value in net.state_dict().items()} for net in (post, pre)]
    assert shapes[0] == shapes[1]
    pre.load_state_dict(post.state_dict())
    changes = [f"generator.{name}={value}" for name, value in {**SMALL, "dropout": 0.0}.items()]
    old = build_generator(load_options(OPTIONS / "crosshatch.yml", changes))
    old.load_state_dict(post.state_dict())
    blurred = 2 * image(1, 3, 16, 20).float().sigmoid() - 1
    assert torch.equal(old(blurred), post(blurred))
    assert not torch.allclose(pre(blurred), post(blurred), atol=1e-3)


@pytest.mark.parametrize(
    ("row", "parameters"),
    [
        ("attention_each", 12_128_844),
        ("no_attention", 11_388_675),
        ("literal_widths", 12_562_372),
        ("raw_logits", 11_470_916),
    ],
)
def test_option_files_of_other_readings(row: str, parameters: int):
    options = load_options(OPTIONS / "ablations" / "crosshatch" / f"{row}.yml")
    with torch.device("meta"):
        assert count(build_generator(options)) == parameters
    assert options.discriminators["critic"]["sigmoid"] == (row != "raw_logits")


def test_skip_adds_to_the_image_and_clamps():
    network, blurred = small(), torch.rand(1, 3, 16, 16) * 2 - 1
    nn.init.zeros_(network.decoder[-2].weight)
    assert torch.equal(network(blurred), blurred)
    nn.init.constant_(network.decoder[-2].bias, 0.5)
    torch.testing.assert_close(network(blurred), (blurred + torch.tensor(0.5).tanh()).clamp(-1, 1))


def test_norms_train_alike_on_one_image_and_differ_in_evaluation():
    batch, instance = small(dropout=0.0), small(norm="instance", dropout=0.0)
    left = instance.load_state_dict(batch.state_dict(), strict=False)
    assert not left.missing_keys
    assert all("running_" in key or "num_batches" in key for key in left.unexpected_keys)
    blurred = torch.rand(1, 3, 16, 20)
    trained = batch(blurred)
    torch.testing.assert_close(instance(blurred), trained)
    torch.testing.assert_close(instance.eval()(blurred), trained)
    assert not torch.allclose(batch.eval()(blurred), trained, atol=1e-3)


@pytest.mark.parametrize(("upsample", "kind"), [("nearest", nn.Upsample), ("deconv", nn.ConvTranspose2d)])
def test_decoder_upsamples_or_deconvolves(upsample: str, kind: type[nn.Module]):
    assert sum(isinstance(m, kind) for m in small(upsample=upsample).modules()) == 2


def test_width_before_the_blocks_changes_only_where_it_must():
    narrow = small(res_channels=8)
    assert [tuple(m.weight.shape) for m in narrow.encoder if isinstance(m, nn.Conv2d)][-1] == (8, 16, 1, 1)
    assert len(small().encoder) == len(narrow.encoder) - 3
    assert small(encoder=[4, 8], decoder=[4]).size_divisor == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"attention": "twice"}, "attention is once, each or none, got 'twice'"),
        ({"upsample": "bilinear"}, "upsample is nearest or deconv"),
        ({"norm": "group"}, "norm is batch or instance"),
        ({"block_order": "both"}, "block_order is pre or post"),
        ({"convs_per_block": 3}, "1 or 2 convolutions, got 3"),
        ({"decoder": [8]}, "one width fewer"),
        ({"encoder": [4, 0, 16]}, "at least 1"),
        ({"blocks": -1}, "blocks >= 0"),
        ({"dropout": 1.0}, "dropout < 1"),
        ({"reduction": 5}, "reduction must divide the 16 channels, got 5"),
    ],
)
def test_refuses_bad_arguments(arguments: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        small(**arguments)
