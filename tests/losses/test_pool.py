"""The pool of score maps: its order, its reach, where gradients pass, and its life in checkpoints."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from deblurkit import checkpoint, load_options, train
from deblurkit.engine.loss_terms import Term
from deblurkit.losses.adversarial import AdversarialLoss, ScorePool
from deblurkit.options.selection import parse_selection


def maps(*scores: float) -> Tensor:
    """One map of one position for each image."""
    return torch.tensor(scores, dtype=torch.float32).view(-1, 1, 1, 1)


def pooled(mode: str = "ralsgan", pool: int = 3, **rest: bool) -> AdversarialLoss:
    """A loss that has judged four pairs of images: the last three are sharp 4, 6, 9 and restored 1, 3, 5."""
    loss = AdversarialLoss(mode, pool=pool, **rest)
    for real, fake in ((maps(2), maps(-1)), (maps(4, 6), maps(1, 3)), (maps(9), maps(5))):
        loss.critic_loss(real, fake)
    return loss


def test_critic_by_hand_with_overflow():
    loss = AdversarialLoss("ralsgan", pool=3)
    # the pool holds the current maps, of means 2 and -1: half of ((1 + 1 - 1)^2 + (3 + 1 - 1)^2) / 2 and of
    # ((0 - 2 + 1)^2 + (-2 - 2 + 1)^2) / 2
    first = loss.critic_loss(torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[0.0, -2.0]]]]))
    assert first.item() == pytest.approx(2.5 + 2.5)
    # sharp 2, 4, 6: mean 4; restored -1, 1, 3: mean 1
    second = loss.critic_loss(maps(4, 6), maps(1, 3))
    assert second.item() == pytest.approx((2**2 + 4**2) / 4 + ((-2) ** 2 + 0) / 4)
    # the first map has left. Sharp 4, 6, 9: mean 19 / 3; restored 1, 3, 5: mean 3
    third = loss.critic_loss(maps(9), maps(5))
    assert third.item() == pytest.approx(5**2 / 2 + (5 - 19 / 3 + 1) ** 2 / 2)
    assert loss.real_pool.get_extra_state()[0].tolist() == [4, 6, 9]
    assert loss.fake_pool.get_extra_state()[0].tolist() == [1, 3, 5]


@pytest.mark.parametrize(
    ("mode", "symmetric", "wanted"),
    [
        ("ralsgan", True, (2 - 19 / 3 - 1) ** 2 / 2 + (7 - 3 + 1) ** 2 / 2),
        ("ralsgan", False, (2 - 19 / 3 - 1) ** 2 / 2),
        ("ragan", True, math.log(1 + math.exp(19 / 3 - 2)) + math.log(1 + math.exp(7 - 3))),
        ("ragan", False, math.log(1 + math.exp(19 / 3 - 2))),
    ],
)
def test_generator_by_hand_and_adds_nothing(mode: str, symmetric: bool, wanted: float):
    loss = pooled(mode, symmetric=symmetric)
    for _ in range(2):
        assert loss.generator_loss(maps(7), maps(2)).item() == pytest.approx(wanted, rel=1e-6)


def test_a_batch_larger_than_the_pool():
    loss = AdversarialLoss("ralsgan", pool=2)
    loss.critic_loss(maps(1, 2, 3), maps(4, 5, 6))
    assert loss.real_pool.get_extra_state()[0].tolist() == [2, 3]


def test_only_the_fake_term_reaches_the_generator():
    real, fake = maps(7, 8).requires_grad_(), maps(2, -3).requires_grad_()
    pooled(symmetric=True).generator_loss(real, fake).backward()
    # of ((f - 19 / 3 - 1)^2 / 2) / 2; the mean of the restored maps in the mirrored half passes nothing
    assert fake.grad.flatten().tolist() == pytest.approx([(2 - 22 / 3) / 2, (-3 - 22 / 3) / 2])


def test_critic_is_moved_by_its_logits_and_not_by_the_means():
    loss = pooled()
    real, fake = maps(3).requires_grad_(), maps(0).requires_grad_()
    loss.critic_loss(real, fake).backward()
    assert real.grad.item() == pytest.approx(3 - (3 + 5 + 0) / 3 - 1)
    assert fake.grad.item() == pytest.approx(0 - (6 + 9 + 3) / 3 + 1)
    assert not any(scores.requires_grad for scores in loss.real_pool.get_extra_state().values())


def test_empty_pool_takes_the_means_of_the_batch():
    loss = AdversarialLoss("ralsgan", pool=50)
    fake = maps(0, 2).requires_grad_()
    value = loss.generator_loss(maps(1, 3), fake)  # means 2 and 1
    assert value.item() == pytest.approx((3**2 + 1**2) / 4 + (1**2 + 3**2) / 4)
    value.backward()
    assert fake.grad.flatten().tolist() == pytest.approx([-3 / 2, -1 / 2])
    assert loss.fake_pool.get_extra_state() == {}


def test_maps_of_one_size_make_the_mean_over_positions_and_others_a_mean_of_means():
    pool = ScorePool(4)
    one, two = torch.tensor([[[1.0, 2.0], [3.0, 6.0]]]), torch.tensor([[[0.0, 0.0], [0.0, 4.0]]])
    pool.add(0, one)
    pool.add(0, two)
    assert pool.mean(0, one).item() == torch.cat([one, two]).mean().item() == 2
    pool.add(0, maps(7))
    assert pool.mean(0, one).item() == pytest.approx((3 + 1 + 7) / 3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_pooled_in_float32(dtype: torch.dtype):
    loss = AdversarialLoss("ralsgan", pool=3)
    assert loss.critic_loss(maps(1).to(dtype), maps(0).to(dtype)).dtype == torch.float32
    assert loss.real_pool.get_extra_state()[0].dtype == torch.float32


class Halves(nn.Module):
    """A critic of two scales: an image's scores, and ten times those."""

    def forward(self, image: Tensor) -> list[Tensor]:
        scores = image.mean((1, 2, 3), keepdim=True)
        return [scores, 10 * scores]


def term(loss: nn.Module) -> Term:
    return Term("game", loss, 1.0, parse_selection("image"), parse_selection("sharp"), "critic")


def named(sharp: float, restored: float) -> dict[str, Tensor]:
    image = torch.ones(1, 3, 2, 2)
    return {"blurred": image, "sharp": sharp * image, "image": restored * image}


def test_each_scale_has_its_own_pool():
    game, critics = term(AdversarialLoss("ralsgan", pool=2)), {"critic": Halves()}
    for sharp, restored in ((9, 9), (2, 0), (4, 1)):
        value, real, fake = game.critic_value(named(sharp, restored), critics)
    assert len(real) == len(fake) == 2
    # means: 3 and 0.5; 30 and 5
    first = (4 - 0.5 - 1) ** 2 / 2 + (1 - 3 + 1) ** 2 / 2
    second = (40 - 5 - 1) ** 2 / 2 + (10 - 30 + 1) ** 2 / 2
    assert value.item() == pytest.approx((first + second) / 2)
    first = (2 - 3 - 1) ** 2 / 2 + (6 - 0.5 + 1) ** 2 / 2
    second = (20 - 30 - 1) ** 2 / 2 + (60 - 5 + 1) ** 2 / 2
    assert game.generator_value(named(6, 2), critics).item() == pytest.approx((first + second) / 2)


class TwoArguments(nn.Module):
    """A plugin's loss as the registry asks for it."""

    def critic_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return fake_logits.mean() - real_logits.mean()

    def generator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return real_logits.mean() - fake_logits.mean()


def test_losses_of_two_arguments_judge_lists_as_before():
    game, critics = term(TwoArguments()), {"critic": Halves()}
    assert game.critic_value(named(2, 5), critics)[0].item() == pytest.approx((3 + 30) / 2)
    assert game.generator_value(named(2, 5), critics).item() == pytest.approx(-(3 + 30) / 2)


@pytest.mark.parametrize("wrong", [{"mode": "wgan", "pool": 5}, {"mode": "lsgan", "pool": 1}, {"pool": -1}])
def test_wrong_pools_are_refused(wrong: dict):
    with pytest.raises(ValueError, match="pool is 0 or more"):
        AdversarialLoss(**wrong)


@pytest.mark.parametrize(("size", "kept"), [(2, [6, 9]), (3, [4, 6, 9]), (50, [4, 6, 9])])
def test_state_goes_into_a_pool_of_any_size(size: int, kept: list[float]):
    other = AdversarialLoss("ralsgan", pool=size)
    other.load_state_dict(pooled().state_dict())
    assert other.real_pool.get_extra_state()[0].tolist() == kept
    assert AdversarialLoss("ralsgan").state_dict() == {}


OPTIONS = """
name: pooled
generator: {type: FilterBankUNet, channels: [4], blocks: 1}
discriminators: {critic: {type: PatchDiscriminator, channels: 4, layers: 1}}
losses:
  image: {type: L1Loss}
  game: {type: AdversarialLoss, mode: ralsgan, pool: 13, critic: critic}
optimizers: {generator: {type: Adam, lr: 1e-3}, discriminators: {type: Adam, lr: 1e-3}}
datasets: {train: {type: SamplePairs, split: train, crop: 32, batch_size: 1}}
train: {iters: 4, critic_steps: 2, accumulate: 2}
logging: {tensorboard: false, curves: false}
"""


def test_resumed_equals_uninterrupted(tmp_path: Path):
    """Four iterations of two steps of two batches of one image: 16 maps, of which the pool of 13 loses some."""
    (tmp_path / "options.yml").write_text(OPTIONS, encoding="utf-8")
    options = load_options(tmp_path / "options.yml")
    whole = train(options, tmp_path / "whole", device="cpu")
    broken = train(load_options(tmp_path / "options.yml", ["train.iters=2"]), tmp_path / "broken", device="cpu")
    half = checkpoint.load(broken / "checkpoints" / "iter_00000002.pth")["losses"][0]["game"]
    assert [len(scores) for pool in half.values() for scores in pool.values()] == [8, 8]
    train(options, tmp_path / "broken", resume=True, device="cpu")
    one, other = (checkpoint.load(folder / "checkpoints" / "iter_00000004.pth") for folder in (whole, broken))
    assert [len(scores) for pool in one["losses"][0]["game"].values() for scores in pool.values()] == [13, 13]
    for section in ("generator", "critics", "losses"):
        torch.testing.assert_close(other[section], one[section], rtol=0, atol=0)
    assert load_options(whole / "options.yml").to_dict() == options.to_dict()
