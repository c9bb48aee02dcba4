"""The critic that flattens, against the specification's counts and a hand-written forward pass."""

from __future__ import annotations

import pytest
import torch
from counting import count, gmacs
from torch import nn
from torch.nn import functional

from deblurkit.discriminators.flatten import FlattenDiscriminator


def small(**arguments: object) -> FlattenDiscriminator:
    torch.manual_seed(0)
    return FlattenDiscriminator(**{"channels": 4, "hidden": 8, **arguments})


@pytest.mark.parametrize(("norm", "without"), [("batch", 0), ("instance", 0), ("none", 2 * (64 + 128 + 256 + 512))])
def test_parameters(norm: str, without: int):
    with torch.device("meta"):
        critic = FlattenDiscriminator(norm=norm)
    assert count(critic) == 3_096_450 - without


def test_macs():
    with torch.device("meta"):
        critic = FlattenDiscriminator()
    assert gmacs(critic, 256, 256) == pytest.approx(1.126, rel=1e-3)


def test_at_256_nothing_is_pooled():
    """Layer by layer, with Keras's padding of a 4x4 convolution of stride 1: one before, two behind."""
    critic, image = small().eval().double(), torch.rand(2, 3, 256, 256, dtype=torch.float64)
    with torch.no_grad():
        for weight in critic.parameters():
            weight.copy_(0.3 * torch.randn_like(weight))  # fresh ones are so small that tanh would be a line
    convolutions = [m for m in critic.body if isinstance(m, nn.Conv2d)]
    norms = iter([m for m in critic.body if isinstance(m, nn.BatchNorm2d)])
    x = image
    for i, conv in enumerate(convolutions):
        padded = functional.pad(x, (1, 1, 1, 1) if i < 4 else (1, 2, 1, 2))
        x = functional.conv2d(padded, conv.weight, conv.bias, stride=2 if i < 4 else 1)
        if i < 5:
            x = functional.leaky_relu(next(norms)(x) if i else x, 0.2)
    assert x.shape == (2, 1, 16, 16)
    hidden, last = critic.head[1], critic.head[3]
    expected = torch.tanh(x.reshape(2, 256) @ hidden.weight.T + hidden.bias) @ last.weight.T + last.bias
    assert expected.abs().min() > 0.01
    torch.testing.assert_close(critic(image), expected)


@pytest.mark.parametrize(("side", "factor"), [(64, 4), (128, 2), (512, 2)])
def test_other_sizes_are_repeated_or_averaged_to_16(side: int, factor: int):
    critic, image = small().eval(), torch.rand(1, 3, side, side)
    scores = critic.body(image)
    if side < 256:
        fitted = scores.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    else:
        fitted = scores.reshape(1, 1, 16, factor, 16, factor).mean(dim=(3, 5))
    torch.testing.assert_close(critic(image), critic.head(fitted))


def test_sigmoid_stands_behind_the_last_dense_layer():
    raw, bounded, image = small().eval(), small(sigmoid=True).eval(), torch.rand(3, 3, 64, 64)
    assert list(raw.state_dict()) == list(bounded.state_dict()), "weights of one are weights of the other"
    with torch.no_grad():
        for critic in (raw, bounded):
            critic.head[3].bias.fill_(3.0)
        logits, scores = raw(image), bounded(image)
    assert logits.min() > 1
    torch.testing.assert_close(scores, 1 / (1 + torch.exp(-logits)))


def test_norms_train_alike_on_one_image():
    batch, instance, plain = small(), small(norm="instance"), small(norm="none")
    instance.load_state_dict(batch.state_dict(), strict=False)
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(instance(image), batch(image))
    assert not [m for m in plain.modules() if isinstance(m, (nn.BatchNorm2d, nn.InstanceNorm2d))]


def test_smallest_image_trains():
    critic = small()
    critic(torch.rand(1, 3, 32, 32)).sum().backward()
    with pytest.raises(ValueError, match="at least 32x32, got 31x64"):
        critic(torch.rand(1, 3, 31, 64))


def test_conditional_and_spectrally_normalised():
    critic = small(in_channels=6, spectral_norm=True)
    for _ in range(30):  # power iterations
        critic(torch.rand(1, 6, 64, 64))
    weights = [m.weight for m in critic.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(weights) == 8
    for weight in weights:
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"norm": "layer"}, "norm is batch, instance or none, got 'layer'"), ({"hidden": 0}, "at least 1")],
)
def test_refuses_bad_arguments(arguments: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        small(**arguments)
