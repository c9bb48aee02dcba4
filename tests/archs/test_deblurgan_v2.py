"""DeblurGAN-v2: published sizes, the decoder against an independent computation, norms, and ImageNet weights."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from counting import count, gmacs
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.archs.deblurgan_v2 import DeblurGANv2
from deblurkit.engine.build import Problems, build_parts
from deblurkit.errors import UserError
from deblurkit.inference.restore import restore
from deblurkit.options.load import options_from_dict
from deblurkit.pretrained import MissingWeightsError

SIZES: dict[str, tuple[int, float, float]] = {
    "inception_resnet_v2": (35_840_099, 17.518, 273.932),
    "mobilenet_v2": (2_106_627, 2.709, 38.936),
    "densenet121": (10_118_275, 10.465, 150.431),
}
SMALL: dict[str, Any] = {"encoder": "mobilenet_v2", "channels": 8}
INCEPTION = """conv2d_1a* conv2d_2a conv2d_2b maxpool_3a* conv2d_3b conv2d_4a maxpool_5a* mixed_5b repeat mixed_6a*
    repeat_1 mixed_7a*"""
DENSE = """conv0 norm0 relu0* pool0 denseblock1* transition1 denseblock2* transition2 denseblock3* transition3
    denseblock4 norm5*"""


@pytest.mark.parametrize("encoder", SIZES)
def test_sizes(encoder: str):
    parameters, at_256, at_720p = SIZES[encoder]
    with torch.device("meta"):
        network = DeblurGANv2(encoder).eval()
    assert count(network) == parameters
    assert gmacs(network, 256, 256) == pytest.approx(at_256, rel=1e-3)
    assert gmacs(network, 736, 1280) == pytest.approx(at_720p, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ({"top_down_convs": False}, 34_069_859),
        ({"encoder": "densenet121", "decoder_norm": "instance"}, 10_118_275 - 2 * (128 + 64)),
        ({"encoder": "densenet121", "top_down_convs": True}, 10_118_275 + 3 * (9 * 256 * 256 + 256 + 2 * 256)),
        ({"encoder_norm": "image"}, 35_840_099),
    ],
)
def test_size_of_variants(arguments: dict[str, Any], parameters: int):
    with torch.device("meta"):
        assert count(DeblurGANv2(**arguments)) == parameters


@pytest.mark.parametrize(
    ("encoder", "decoder"),
    [("inception_resnet_v2", 5_085_827), ("mobilenet_v2", 1_088_835), ("densenet121", 3_164_419)],
)
def test_size_of_the_decoder(encoder: str, decoder: int):
    with torch.device("meta"):
        network = DeblurGANv2(encoder)
    assert count(network) - count(network.encoder) == decoder
    assert next(iter(dict(network.named_children()))) == "encoder"  # train.freeze names it


def whole(name: str) -> nn.Module:
    """The published network that an encoder is cut from, without weights or memory."""
    from timm.models.inception_resnet_v2 import InceptionResnetV2
    from torchvision.models import densenet121, mobilenet_v2

    with torch.device("meta"):
        if name == "inception_resnet_v2":
            return InceptionResnetV2()
        return {"mobilenet_v2": mobilenet_v2, "densenet121": densenet121}[name](weights=None).features


def taps(network: DeblurGANv2, name: str, image: Tensor) -> list[Tensor]:
    """The encoder's five maps, computed by the published network itself."""
    published = whole(name)
    published.load_state_dict(network.encoder.state_dict(), strict=False, assign=True)
    published.eval()
    if name == "mobilenet_v2":
        ends, features, found = (2, 4, 7, 11, 16), image, []
        for start, end in zip((0, *ends), ends, strict=False):
            features = published[start:end](features)
            found.append(features)
        return found
    found, features = [], image
    for layer in (INCEPTION if name == "inception_resnet_v2" else DENSE).split():
        features = getattr(published, layer.removesuffix("*"))(features)
        if layer.endswith("*"):
            found.append(features.clone())
    return found


def larger(features: Tensor, factor: int) -> Tensor:
    return features.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)


def expected(network: DeblurGANv2, name: str, image: Tensor) -> Tensor:
    """The restored image, from the network's tensors and what the public code is known to compute with them."""
    state = network.state_dict()

    def conv(features: Tensor, layer: str) -> Tensor:
        weight = state[f"{layer}.weight"]
        return functional.conv2d(features, weight, state.get(f"{layer}.bias"), padding=weight.shape[-1] // 2)

    def smooth(features: Tensor, layer: str) -> Tensor:
        features = conv(features, f"{layer}.0")
        if f"{layer}.1.weight" not in state:
            return functional.instance_norm(features).relu()
        mean, var, weight, bias = (state[f"{layer}.1.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(features, mean, var, weight, bias).relu()

    sides = [conv(tap, f"laterals.{k}") for k, tap in enumerate(taps(network, name, image))]
    if name == "inception_resnet_v2":
        pads = [(0, 1, 0, 1), (1, 1, 1, 1), (1, 2, 1, 2), (1, 1, 1, 1), (1, 1, 1, 1)]
        sides = [functional.pad(side, pad, mode="reflect") for side, pad in zip(sides, pads, strict=True)]
    pyramid = {4: sides[4]}
    for order, level in enumerate((3, 2, 1)):
        pyramid[level] = sides[level] + larger(pyramid[level + 1], 2)
        if f"top_down.{order}.0.weight" in state:
            pyramid[level] = smooth(pyramid[level], f"top_down.{order}")
    heads = [
        larger(
            conv(conv(pyramid[level], f"heads.{level - 1}.0").relu(), f"heads.{level - 1}.2").relu(), 2 ** (level - 1)
        )
        for level in (4, 3, 2, 1)
    ]
    joined = larger(smooth(torch.cat(heads, 1), "smooth"), 2) + sides[0]
    residual = conv(larger(smooth(joined, "smooth2"), 2), "final").tanh()
    return (image + residual).clamp(-1, 1) if network.global_skip else residual


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        (SMALL, (64, 96)),
        ({**SMALL, "top_down_convs": False}, (64, 64)),
        ({"encoder": "densenet121", "channels": 8}, (64, 64)),
        ({"encoder": "densenet121", "channels": 8, "global_skip": False, "decoder_norm": "instance"}, (64, 64)),
        ({"encoder": "inception_resnet_v2", "channels": 8}, (128, 160)),
    ],
)
def test_whole_network_against_an_independent_computation(arguments: dict[str, Any], size: tuple[int, int]):
    torch.manual_seed(0)
    network = DeblurGANv2(**arguments).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        image = 2 * torch.rand(1, 3, *size) - 1
        assert torch.allclose(network(image), expected(network, arguments["encoder"], image), atol=1e-4)


def test_sizes_that_do_not_fit_are_refused_and_padded_for():
    with torch.device("meta"):
        network = DeblurGANv2(channels=8)
    with pytest.raises(ValueError, match="divisible by 32, got 128x140"):
        network(torch.empty(1, 3, 128, 140, device="meta"))
    with pytest.raises(ValueError, match="at least 128, got 96x128"):
        network(torch.empty(1, 3, 96, 128, device="meta"))
    assert network.min_size == 128
    assert DeblurGANv2(**SMALL).min_size == 0
    small = torch.rand(1, 3, 20, 30)
    assert restore(DeblurGANv2(**SMALL).eval(), small).shape == small.shape
    by_image = DeblurGANv2(**SMALL, encoder_norm="image").eval()
    assert by_image.min_size == 64
    assert restore(by_image, small).shape == small.shape


def test_norms_by_the_image_compute_in_evaluation_what_training_computes():
    torch.manual_seed(0)
    network = DeblurGANv2(**SMALL, decoder_norm="batch", encoder_norm="image").double()
    plain = DeblurGANv2(**SMALL, decoder_norm="batch").double()
    assert list(network.state_dict()) == list(plain.state_dict())
    plain.load_state_dict(network.state_dict())
    images = 2 * torch.rand(2, 3, 64, 64, dtype=torch.float64) - 1
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        both = network.eval()(images)
        alone = [network(image) for image in images.split(1)]
        trained = [plain.train()(image) for image in images.split(1)]
        assert not torch.allclose(plain.eval()(images), both, atol=1e-2)
    assert torch.allclose(both, torch.cat(alone), atol=1e-5)
    assert torch.allclose(both, torch.cat(trained), atol=1e-5)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    with torch.no_grad():
        network.train()(images)
    assert not torch.equal(before["encoder.0.1.running_mean"], network.state_dict()["encoder.0.1.running_mean"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder": "resnet50"}, "encoder is one of inception_resnet_v2, mobilenet_v2, densenet121, got 'resnet50'"),
        ({**SMALL, "channels": 6}, "multiple of 4, got 6"),
        ({**SMALL, "decoder_norm": "layer"}, "got 'layer'"),
        ({**SMALL, "encoder_norm": "batch"}, "got 'batch'"),
    ],
)
def test_mistakes_are_refused(arguments: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        DeblurGANv2(**arguments)


def published_file(name: str, change: Callable[[str], str] = str) -> dict[str, Tensor]:
    """A state dict in the layout of the published file, of random numbers."""
    state = whole(name).state_dict()
    return {
        change(f"features.{key}"): torch.randn(value.shape)
        if value.dtype == torch.float32
        else value.new_zeros((), device="cpu")
        for key, value in state.items()
    }


def old_dense_names(key: str) -> str:
    return re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key)


@pytest.mark.parametrize(
    ("encoder", "file", "change"),
    [
        ("mobilenet_v2", "mobilenet_v2-b0353104.pth", str),
        ("densenet121", "densenet121-a639ec97.pth", old_dense_names),
        ("densenet121", "densenet121-a639ec97.pth", str),
    ],
)
def test_imagenet_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str, file: str, change: Callable[[str], str]
):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    network = DeblurGANv2(encoder, channels=8, encoder_weights="imagenet")
    with pytest.raises(MissingWeightsError, match=rf"weights of {encoder} are missing: put {re.escape(file)} at"):
        network.load_pretrained()
    published = published_file(encoder, change)
    (tmp_path / "checkpoints").mkdir()
    torch.save(published, tmp_path / "checkpoints" / file)
    decoder = {key: value.clone() for key, value in network.state_dict().items() if not key.startswith("encoder.")}
    network.load_pretrained()
    for key, value in network.state_dict().items():
        assert torch.equal(value, decoder[key] if key in decoder else published[change(f"features.{key[8:]}")])
    named = DeblurGANv2(encoder, channels=8, encoder_weights=str(tmp_path / "checkpoints" / file))
    named.load_pretrained()
    assert all(torch.equal(a, b) for a, b in zip(named.encoder.parameters(), network.encoder.parameters(), strict=True))


def test_inception_has_the_published_names():
    with torch.device("meta"):
        ours = DeblurGANv2().encoder.state_dict()
    theirs = whole("inception_resnet_v2").state_dict()
    assert {key: value.shape for key, value in ours.items()} == {
        key: value.shape for key, value in theirs.items() if key.partition(".")[0] in INCEPTION.replace("*", "").split()
    }


def test_another_networks_weights_are_refused(tmp_path: Path):
    torch.save(published_file("densenet121"), tmp_path / "dense.pth")
    with pytest.raises(UserError, match=r"not the ImageNet weights of mobilenet_v2: features\.0\.0\.weight is missing"):
        DeblurGANv2(**SMALL, encoder_weights=str(tmp_path / "dense.pth")).load_pretrained()
    wrong = published_file("mobilenet_v2")
    wrong["features.3.conv.2.weight"] = torch.zeros(3)
    torch.save(wrong, tmp_path / "wrong.pth")
    with pytest.raises(UserError, match=r"3\.conv\.2\.weight"):
        DeblurGANv2(**SMALL, encoder_weights=str(tmp_path / "wrong.pth")).load_pretrained()


def test_a_trial_does_without_the_weights_and_says_so(tmp_path: Path):
    absent = str(tmp_path / "absent.pth")
    generator = {"type": "DeblurGANv2", **SMALL, "encoder_weights": absent}
    options = options_from_dict({"name": "x", "generator": generator}, "x")
    said: list[str] = []
    problems = Problems()
    parts = build_parts(options, problems, said.append, pretrained=False)
    assert not said
    with pytest.raises(MissingWeightsError, match=r"there is no file .*absent\.pth"):
        parts.generator.load_pretrained()
    build_parts(options, problems, said.append, random_weights=True)
    problems.raise_any()
    assert len(said) == 1
    assert said[0].startswith("generator: there is no file")
    assert "absent.pth" in said[0]
    assert "RANDOM weights stand in for this trial" in said[0]
