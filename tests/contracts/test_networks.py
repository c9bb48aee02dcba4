"""What every registered generator and critic keeps; a new one is tested by being registered."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from deblurkit.inference.restore import pad_to_divisor, restore
from deblurkit.registry import ARCHS, DISCRIMINATORS

BUILT_IN = "deblurkit."
GENERATORS = [name for name in ARCHS.names() if ARCHS.get(name).__module__.startswith(BUILT_IN)]
CRITICS = [name for name in DISCRIMINATORS.names() if DISCRIMINATORS.get(name).__module__.startswith(BUILT_IN)]
PARAMETERS = {"DeblurGAN": 11_378_179, "PatchDiscriminator": 2_764_737}


@pytest.fixture(scope="module", params=[*GENERATORS, *CRITICS])
def network(request: pytest.FixtureRequest) -> nn.Module:
    """A network with its paper's defaults."""
    return build(request.param)


@pytest.fixture(scope="module", params=GENERATORS)
def generator(request: pytest.FixtureRequest) -> nn.Module:
    return build(request.param)


@pytest.fixture(scope="module", params=CRITICS)
def critic(request: pytest.FixtureRequest) -> nn.Module:
    return build(request.param)


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    registry = ARCHS if name in GENERATORS else DISCRIMINATORS
    return registry.build({"type": name})


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def leaves(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    else:
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)


def test_constructor_names_its_arguments(network: nn.Module):
    parameters = inspect.signature(type(network).__init__).parameters.values()
    assert not [p.name for p in parameters if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    assert all(p.default is not p.empty for p in list(parameters)[1:]), (
        "built with no arguments it is the paper's network"
    )


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_parameter_count(name: str, count: int):
    assert sum(p.numel() for p in build(name).parameters()) == count


@pytest.mark.parametrize("size", [(64, 64), (65, 97), (33, 47)])
def test_restores_any_size(generator: nn.Module, size: tuple[int, int]):
    blurred = torch.rand(1, 3, *size)
    restored = restore(generator.eval(), blurred)
    assert restored.shape == blurred.shape
    assert torch.isfinite(restored).all()
    assert 0 <= restored.min() <= restored.max() <= 1


def test_refuses_or_takes_sizes_it_does_not_divide(generator: nn.Module):
    odd = torch.rand(1, 3, 65, 67)
    if getattr(generator, "size_divisor", 1) > 1:
        with pytest.raises(ValueError, match="65x67"):
            generator.eval()(odd)
    else:
        assert next(leaves(generator.eval()(odd))).shape[-2:] == (65, 67)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_outputs_are_finite(network: nn.Module, image: Tensor, dtype: torch.dtype):
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        assert all(torch.isfinite(output.float()).all() for output in leaves(network(image)))


def test_gradient_reaches_every_parameter(network: nn.Module, image: Tensor):
    network.train().zero_grad()
    torch.manual_seed(0)
    outputs = list(leaves(network(image)))
    sum((output * torch.randn_like(output)).sum() for output in outputs).backward()
    missing = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.requires_grad)
    network.zero_grad()


def test_state_round_trip(network: nn.Module, image: Tensor):
    other = copy.deepcopy(network)
    with torch.no_grad():
        for weight in other.parameters():
            weight.normal_()
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        for one, two in zip(leaves(network.eval()(image)), leaves(other.eval()(image)), strict=True):
            assert torch.equal(one, two)


def test_evaluation_is_deterministic_and_ignores_the_neighbours(network: nn.Module, image: Tensor):
    network.eval()
    torch.manual_seed(0)
    neighbour = 10 * torch.rand_like(image)
    with torch.no_grad():
        alone, again = list(leaves(network(image))), list(leaves(network(image)))
        together = list(leaves(network(torch.cat([image, neighbour]))))
    for first, second, both in zip(alone, again, together, strict=True):
        assert torch.equal(first, second)
        torch.testing.assert_close(both[:1], first, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("side", [64, 96, 256])
def test_critic_judges_any_crop(critic: nn.Module, side: int):
    with torch.no_grad():
        logits = list(leaves(critic(torch.rand(1, 3, side, side))))
    assert all(torch.isfinite(item).all() and item.shape[0] == 1 for item in logits)


def test_critic_returns_raw_logits(critic: nn.Module):
    """Large weights in the last layer give large logits: there is no sigmoid behind them."""
    large = copy.deepcopy(critic)
    with torch.no_grad():
        for weight in list(large.parameters())[-2:]:
            weight.mul_(1e4).add_(1e3)
        assert max(item.abs().max() for item in leaves(large(torch.rand(1, 3, 64, 64)))) > 1


def test_value_range_and_divisor_are_declared(generator: nn.Module, image: Tensor):
    assert tuple(generator.value_range) in ((0.0, 1.0), (-1.0, 1.0))
    divisor = getattr(generator, "size_divisor", 1)
    assert pad_to_divisor(torch.rand(1, 3, 33, 47), divisor).shape[-1] % divisor == 0
