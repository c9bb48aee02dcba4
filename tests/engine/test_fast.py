"""``train.fast: auto``: its choices, that they change rounding alone, and that a resumed run goes on to the bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import checkpoint_of, differences, records
from shrunk import SHRUNK
from tiny import WGAN_GP, merged
from torch import Tensor, nn

from deblurkit import load_options, train
from deblurkit.engine.fast import fused_arguments, what_mixes
from deblurkit.registry import DISCRIMINATORS
from deblurkit.testing.networks import leaves

GAN = merged(WGAN_GP, {"losses": {"adversarial": {"weight": 0.01}}})
HALF, END = 6, 24
FAST = "train.fast=auto"


def critics() -> list[Any]:
    """Each critic that is ours, in each way in which it can be had."""
    found = []
    for name in DISCRIMINATORS.names():
        kind = DISCRIMINATORS.get(name)
        if kind.__module__.startswith("deblurkit."):
            small = SHRUNK.get(name, {})
            found.append(pytest.param({"type": name, **small}, id=name))
            found.append(pytest.param({"type": name, **small, "spectral_norm": True}, id=f"{name}-spectral"))
            if name != "MADNDiscriminator" and name != "DoubleScaleDiscriminator":
                found.append(pytest.param({"type": name, **small, "norm": "instance"}, id=f"{name}-instance"))
    return found


@pytest.mark.parametrize("config", critics())
def test_what_is_joined_judges_each_image_as_it_does_apart(config: dict[str, Any]):
    torch.manual_seed(0)
    critic = DISCRIMINATORS.build(config).train()
    if what_mixes(critic) is not None:
        assert config.get("spectral_norm") or config["type"] == "FlattenDiscriminator"  # of batch norms
        return
    sharp, restored = torch.rand(2, 3, 64, 64), 3 * torch.rand(2, 3, 64, 64)
    apart = [torch.cat(pair) for pair in zip(*(leaves(critic(images)) for images in (sharp, restored)), strict=True)]
    for one, two in zip(apart, leaves(critic(torch.cat([sharp, restored]))), strict=True):
        torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-5)


class OfAPlugin(nn.Module):
    """It may do anything in its ``forward``."""

    def forward(self, image: Tensor) -> Tensor:
        return nn.functional.dropout(image)  # which no layer shows


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (nn.BatchNorm2d(3), "BatchNorm2d"),
        (nn.InstanceNorm2d(3, track_running_stats=True), "InstanceNorm2d"),
        (nn.Dropout(), "Dropout"),
        (nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 3, 1)), "spectral norm"),
        (nn.utils.spectral_norm(nn.Conv2d(3, 3, 1)), "Conv2d with a hook"),
        (OfAPlugin(), "OfAPlugin of a plugin"),
        (nn.Sequential(nn.Conv2d(3, 3, 1), nn.InstanceNorm2d(3), nn.GroupNorm(1, 3), nn.LeakyReLU()), None),
    ],
)
def test_what_mixes_images_is_found(layer: nn.Module, name: str | None):
    assert what_mixes(nn.Sequential(nn.Conv2d(3, 3, 1), layer)) == name


def test_an_optimizer_that_chooses_for_itself_is_left_alone():
    assert fused_arguments({"type": "Adam", "lr": 1}, True) == {"type": "Adam", "lr": 1, "fused": True}
    for config in ({"type": "Adam", "foreach": True}, {"type": "AdamW", "fused": False}, {"type": "Rprop"}):
        assert fused_arguments(config, True) == config
    assert fused_arguments({"type": "Adam"}, False) == {"type": "Adam"}


def test_the_loss_curve_is_that_of_the_plain_run(option_file: Callable[..., Path], tmp_path: Path):
    """Of 24 iterations with dropout, a gradient penalty and five critic steps, whose critic is joined; and the log."""
    # At these rates a critic's steps are too small for a difference of rounding to grow in its game.
    rates = {network: {"type": "Adam", "lr": 1e-4} for network in ("generator", "discriminators")}
    own = {"iters": END, "critic_steps": 5, "checkpoint_every": END}
    file = option_file({**GAN, "optimizers": rates, "train": own})
    plain = train(load_options(file), tmp_path / "plain", device="cpu")
    fast = train(load_options(file, [FAST]), tmp_path / "fast", device="cpu")
    for one, two in zip(records(plain), records(fast), strict=True):
        # In the first iteration all is alike; later the critic's game makes more of a difference of rounding.
        first = one["iteration"] == 1
        for key in ("loss", "critic/critic", "penalty/adversarial", "grad_norm/critic") if first else ("loss",):
            assert two[key] == pytest.approx(one[key], rel=1e-4 if first else 1e-2), (one["iteration"], key)
    assert "train.fast" not in (plain / "log.txt").read_text(encoding="utf-8")
    (line,) = [s for s in (fast / "log.txt").read_text(encoding="utf-8").splitlines() if "train.fast: auto chose" in s]
    assert line.endswith(
        "no channels last (instance norms copy what lies so); no torch.compile unless train.compile; fused Adam; "
        "critic: sharp and restored images in one batch"
    )
    assert checkpoint_of(fast, END)["optimizers"]["critic"]["param_groups"][0]["fused"] is True
    assert "fast" not in (plain / "options.yml").read_text(encoding="utf-8")
    assert "fast: auto" in (fast / "options.yml").read_text(encoding="utf-8")


def test_a_network_without_instance_norms_lies_channels_last(option_file: Callable[..., Path], tmp_path: Path):
    work = train(load_options(option_file({"train": {"iters": 1}}), [FAST]), tmp_path / "run", device="cpu")
    assert "auto chose channels last (no instance norms)" in (work / "log.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("generator", [{"type": "DeblurGAN", "channels": 4, "blocks": 1}, None])
def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(
    generator: dict[str, Any] | None, option_file: Callable[..., Path], tmp_path: Path
):
    change = {**GAN, "train": {"iters": 2 * HALF, "checkpoint_every": HALF}}
    if generator is None:
        del change["generator"], change["discriminators"], change["losses"]
    file = option_file(change)
    work = train(load_options(file, [FAST]), tmp_path / "run", device="cpu")
    whole = checkpoint_of(work, 2 * HALF)
    half = work / "checkpoints" / f"iter_{HALF:08d}.pth"
    train(load_options(file, [FAST]), work, resume=half, device="cpu")
    for part in ("generator", "critics", "optimizers"):
        assert not differences(checkpoint_of(work, 2 * HALF)[part], whole[part])
