"""Spectral normalisation: what it does to weights, and that training, freezing and resuming go on with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from deblurkit import checkpoint, load_options, train
from deblurkit.discriminators.patch import PatchDiscriminator
from deblurkit.discriminators.spectral import apply_spectral_norm


def small() -> PatchDiscriminator:
    torch.manual_seed(0)
    return PatchDiscriminator(channels=4, layers=2, spectral_norm=True)


def largest_singular_value(module: nn.Module) -> float:
    """Of the weight as the forward pass uses it, a row for each output channel."""
    weight = module.weight.detach()
    rows = weight.transpose(0, 1) if isinstance(module, nn.ConvTranspose2d) else weight
    return torch.linalg.svdvals(rows.flatten(1))[0].item()


def layers(network: nn.Module) -> list[nn.Module]:
    return [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear))]


def test_weights_to_train_stay():
    plain, normed = PatchDiscriminator(), PatchDiscriminator(spectral_norm=True)
    counts = [sum(p.numel() for p in network.parameters() if p.requires_grad) for network in (plain, normed)]
    assert counts == [2_764_737, 2_764_737]
    names = {name for name, _ in normed.named_parameters()}
    assert names == {n.replace("weight", "parametrizations.weight.original") for n, _ in plain.named_parameters()}


@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_largest_singular_value_is_one(scale: float):
    network = small()
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(scale)
        for _ in range(30):
            network(torch.rand(1, 3, 32, 32))
    assert [largest_singular_value(layer) for layer in layers(network)] == pytest.approx([1] * 4, rel=0.02)


def test_all_kinds_of_layers_and_no_other():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ConvTranspose2d(6, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.Flatten()
    ).append(nn.Linear(4 * 8 * 8, 5))
    apply_spectral_norm(network)
    with torch.no_grad():
        for _ in range(30):
            network(torch.rand(2, 3, 8, 8))
    assert [largest_singular_value(layer) for layer in layers(network)] == pytest.approx([1] * 3, rel=0.02)
    assert network[2].weight.tolist() == [1] * 4


def test_state_round_trip_and_evaluation_leaves_it_alone():
    one, other, image = small(), PatchDiscriminator(channels=4, layers=2, spectral_norm=True), torch.rand(2, 3, 32, 32)
    one(image)
    state = {name: value.clone() for name, value in one.state_dict().items()}
    assert sum(name.endswith(("._u", "._v")) for name in state) == 2 * 4
    other.load_state_dict(state)
    assert torch.equal(one.eval()(image), other.eval()(image))
    for name, value in one.state_dict().items():
        assert torch.equal(value, state[name]), name
    one.train()(image)
    assert any(not torch.equal(value, state[name]) for name, value in one.state_dict().items())


def test_built_on_the_meta_device_and_in_bfloat16():
    with torch.device("meta"):
        assert PatchDiscriminator(spectral_norm=True)(torch.rand(1, 3, 64, 64)).shape == (1, 1, 6, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = small()(torch.rand(1, 3, 32, 32))
    assert torch.isfinite(logits.float()).all()


def test_frozen_in_the_generators_step_and_free_in_its_own():
    """Gradients pass through a frozen critic to the image, and to its weights once it is free again."""
    network, image = small(), torch.rand(1, 3, 32, 32, requires_grad=True)
    weights = [network.body[0].parametrizations.weight.original, network.body[0].bias]
    network.requires_grad_(False)
    network(image).sum().backward()
    assert image.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in weights)
    network.requires_grad_(True)
    network(image.detach()).sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in weights)


OPTIONS = """
name: spectral
generator: {type: FilterBankUNet, channels: [4], blocks: 1}
discriminators: {critic: {type: PatchDiscriminator, channels: 4, layers: 1, spectral_norm: true}}
losses:
  image: {type: L1Loss}
  game: {type: AdversarialLoss, mode: wgan, critic: critic, gradient_penalty: PENALTY, weight_clip: 0.015}
optimizers: {generator: {type: Adam, lr: 1e-3}, discriminators: {type: Adam, lr: 1e-3}}
datasets: {train: {type: SamplePairs, split: train, crop: 32, batch_size: 1}}
train: {iters: 4, critic_steps: 2}
logging: {tensorboard: false, curves: false}
"""


@pytest.mark.parametrize("penalty", ["{of: mean}", "{of: sum, norm: pixel}"])
def test_clipped_penalised_and_resumed_equals_uninterrupted(tmp_path: Path, penalty: str):
    file = tmp_path / "options.yml"
    file.write_text(OPTIONS.replace("PENALTY", penalty), encoding="utf-8")
    whole = train(load_options(file), tmp_path / "whole", device="cpu")
    broken = train(load_options(file, ["train.iters=2"]), tmp_path / "broken", device="cpu")
    train(load_options(file), broken, resume=True, device="cpu")
    early = checkpoint.load(broken / "checkpoints" / "iter_00000002.pth")["critics"]["critic"]
    one, other = (checkpoint.load(folder / "checkpoints" / "iter_00000004.pth") for folder in (whole, broken))
    for section in ("generator", "critics"):
        torch.testing.assert_close(other[section], one[section], rtol=0, atol=0)
    critic: dict[str, Tensor] = one["critics"]["critic"]
    for name, value in critic.items():
        if name.endswith(("original", "bias")):
            assert value.abs().max() <= torch.tensor(0.015)
        if name.endswith("original"):
            assert not torch.equal(value, early[name]), f"{name} stood still"
            assert value.abs().max() == torch.tensor(0.015)
