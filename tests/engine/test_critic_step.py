"""What the critics' steps compute, against hand computations."""

from __future__ import annotations

import copy
import weakref
from typing import Any

import pytest
import steps
import torch
from steps import applied_gradients, batch, game, gradients, moved, optimizers, restorer, snapshot, term

from deblurkit.engine.step import GANRestorer, Parts
from deblurkit.losses.functional import gradient_penalty


def test_critic_loss_is_the_unweighted_sum_of_its_terms():
    terms = [game("lsgan", weight=0.01), game("hinge", weight=0.02, name="second"), term("image")]
    made = restorer(terms)
    original, before, data = copy.deepcopy(made), snapshot(made.critics["critic"]), batch()
    made.measure = True
    log = made.train_step([data], optimizers(made))
    critic = original.critics["critic"]
    real, fake = critic(data["sharp"]), critic(original.generator(data["blurred"]).detach())
    lsgan = 0.5 * (real - 1).square().mean() + 0.5 * fake.square().mean()
    hinge = (1 - real).relu().mean() + (1 + fake).relu().mean()
    assert log["critic/critic"].item() == pytest.approx((lsgan + hinge).item(), rel=1e-5)
    assert log["critic/critic/sharp"].item() == pytest.approx(real.mean().item(), rel=1e-5)
    assert log["critic/critic/restored"].item() == pytest.approx(fake.mean().item(), rel=1e-5)
    found = applied_gradients(before, made.critics["critic"])
    for name, value in gradients(lsgan + hinge, critic).items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("norm", ["sample", "pixel"])
def test_penalty_of_a_linear_critic_is_known(norm: str):
    """D(x) = sum(w * x): its gradient is w everywhere, so the penalty is (|w| - 1)^2 whatever the images."""
    weights = torch.randn(3, 8, 8, dtype=torch.float32, generator=torch.Generator().manual_seed(1))
    real, fake = torch.rand(2, 4, 3, 8, 8)
    found = gradient_penalty(lambda x: (weights * x).sum((1, 2, 3)), real, fake, torch.rand(4, 1, 1, 1), norm, "sum")
    lengths = weights.flatten().norm() if norm == "sample" else weights.norm(dim=0)
    assert found.item() == pytest.approx((lengths - 1).square().mean().item(), rel=1e-5)


def test_penalty_of_a_quadratic_critic_is_taken_between_the_images():
    """D(x) = sum(x^2) / 2 has the gradient x: the norm is that of the point between sharp and restored."""
    real, fake = torch.rand(2, 4, 3, 8, 8)
    alpha = torch.tensor([0.0, 0.25, 0.5, 1.0]).view(4, 1, 1, 1)
    found = gradient_penalty(lambda x: x.square().sum((1, 2, 3)) / 2, real, fake, alpha)
    between = (alpha * real + (1 - alpha) * fake).flatten(1).norm(dim=1)
    assert found.item() == pytest.approx((between - 1).square().mean().item(), rel=1e-5)
    both = gradient_penalty(lambda x: [x.square().sum((1, 2, 3)) / 2] * 2, real, fake, alpha)
    assert both.item() == pytest.approx(found.item(), rel=1e-5)
    assert gradient_penalty(lambda x: (x.square().sum((1, 2, 3)) / 2,) * 2, real, fake, alpha).item() == both.item()


def test_penalty_is_weighted_by_its_own_weight_only():
    settings = {"weight": 7.0, "norm": "sample", "of": "sum"}
    made = restorer([term("image"), game("wgan", weight=0.001, gradient_penalty=settings)])
    original, data = copy.deepcopy(made), batch()
    torch.manual_seed(5)
    log = made.train_step([data], optimizers(made))
    torch.manual_seed(5)
    alpha = torch.rand(2, 1, 1, 1)
    critic, fake = original.critics["critic"], original.generator(data["blurred"]).detach()
    wanted = 7.0 * gradient_penalty(critic, data["sharp"], fake, alpha, of="sum")
    assert log["penalty/game"].item() == pytest.approx(wanted.item(), rel=1e-5)
    wgan = critic(fake).mean() - critic(data["sharp"]).mean()
    assert log["critic/critic"].item() == pytest.approx((wgan + wanted).item(), rel=1e-5)


def test_conditional_critic_sees_both_images_and_its_penalty_moves_only_one():
    made = restorer(
        [term("image"), game("wgan", condition="blurred", gradient_penalty={"of": "sum"})],
        critics={"critic": steps.Critic(channels=6)},
    )
    original, data = copy.deepcopy(made), batch()
    torch.manual_seed(5)
    log = made.train_step([data], optimizers(made))
    torch.manual_seed(5)
    alpha = torch.rand(2, 1, 1, 1)
    critic, fake = original.critics["critic"], original.generator(data["blurred"]).detach()
    seen = made.critics["critic"].seen
    assert len(seen) == 4, "sharp, restored, the point between them, and the generator's step"
    for images, wanted in zip(
        seen, (data["sharp"], fake, alpha * data["sharp"] + (1 - alpha) * fake, fake), strict=True
    ):
        torch.testing.assert_close(images, torch.cat([wanted, data["blurred"]], dim=1))
    image = (alpha * data["sharp"] + (1 - alpha) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(torch.cat([image, data["blurred"]], 1)).sum(), image)
    assert gradient.shape[1] == 3
    penalty = 10 * (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    assert log["penalty/game"].item() == pytest.approx(penalty.item(), rel=1e-5)


def test_list_of_logits_is_averaged():
    made = restorer([term("image"), game("lsgan", weight=0.5)], critics={"critic": steps.Critic(copies=3)})
    original, data = copy.deepcopy(made), batch()
    log = made.train_step([data], optimizers(made))
    critic, image = original.critics["critic"], original.generator(data["blurred"])
    items = zip(critic(data["sharp"]), critic(image), strict=True)
    wanted = sum(0.5 * (r - 1).square().mean() + 0.5 * f.square().mean() for r, f in items) / 3
    assert log["critic/critic"].item() == pytest.approx(wanted.item(), rel=1e-5)
    judged = made.critics["critic"](image)
    side = 0.5 * sum(0.5 * (f - 1).square().mean() for f in judged) / 3
    assert log["term/game"].item() == pytest.approx(side.item(), rel=1e-5)


def test_weights_are_clipped_after_each_update():
    made = restorer([term("image"), game("wgan", weight_clip=0.01)], critic_steps=3)
    made.train_step([batch()], optimizers(made))
    largest = max(p.abs().max().item() for p in made.critics["critic"].parameters())
    assert largest == pytest.approx(0.01)


@pytest.mark.parametrize(("kind", "batches"), [("same", 1), ("own", 4)])
def test_critic_steps_and_their_batches(kind: str, batches: int):
    made = restorer([term("image"), game("wgan")], critic_steps=3, critic_batches=kind)
    assert (made.critic_batches, made.generator_batches) == (batches - 1, 1)
    data = [batch(n) for n in range(batches)]
    made.train_step(data, optimizers(made))
    sharp = [images for images in made.critics["critic"].seen if any(torch.equal(images, d["sharp"]) for d in data)]
    order = [next(n for n, d in enumerate(data) if torch.equal(images, d["sharp"])) for images in sharp]
    assert order == ([0, 0, 0] if kind == "same" else [0, 1, 2])
    blurred = [
        next(n for n, d in enumerate(data) if torch.equal(images, d["blurred"])) for images in made.generator.seen
    ]
    assert blurred == ([0] if kind == "same" else [0, 1, 2, 3]), "the generator's own step takes the last batch"


def test_two_critics_with_a_batch_of_their_own_and_accumulation():
    made = restorer(
        [term("image"), game("wgan", critic="one"), game("lsgan", critic="two", name="other")],
        critic_steps=2,
        critic_batches="own",
        accumulate=2,
    )
    assert (made.critic_batches, made.generator_batches) == (4, 2)
    before = {name: snapshot(critic) for name, critic in made.critics.items()}
    log = made.train_step([batch(n) for n in range(6)], optimizers(made))
    assert all(moved(before[name], critic) for name, critic in made.critics.items())
    assert {"critic/one", "critic/two", "term/game", "term/other"} <= log.keys()


class Watched(GANRestorer):
    """Counts the images that it holds, restored or in the generator's range, whenever it restores some."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self.images: list[weakref.ref[torch.Tensor]] = []
        self.most = 0

    def _restored(self, batch: dict[str, Any]) -> dict[str, Any]:
        named = super()._restored(batch)
        self.images += [weakref.ref(named[name]) for name in ("image", "blurred", "sharp")]
        self.images = [image for image in self.images if image() is not None]
        self.most = max(self.most, len(self.images))
        return named


@pytest.mark.parametrize("accumulate", [1, 2])
def test_memory_does_not_grow_with_the_critics_steps(accumulate: int):
    most = []
    for count in (1, 10):
        generator = steps.Generator(value_range=(-1.0, 1.0))  # in which each image is another tensor
        settings = {"critic_steps": count, "critic_batches": "own", "accumulate": accumulate}
        made = Watched(restorer([term("image"), game("wgan")], generator, **settings).parts)
        data = [batch(n) for n in range(made.critic_batches + made.generator_batches)]
        made.train_step(data, optimizers(made))
        most.append(made.most)
    assert most[1] == most[0]


def test_warm_up_moves_critics_alone():
    made = restorer([term("image"), game("lsgan")], critic_warmup=2)
    own = optimizers(made)
    before = {name: snapshot(network) for name, network in made.networks().items()}
    for made.iteration in range(3):
        log = made.train_step([batch()], own)
        assert moved(before["generator"], made.generator) == (made.iteration == 2)
        assert ("loss" in log) == (made.iteration == 2)
    assert moved(before["critic"], made.critics["critic"])


@pytest.mark.parametrize("name", ["double", "values", "train", "type"])
def test_a_critic_and_a_term_may_bear_any_name(name: str):
    made = restorer([term(name), game("lsgan", critic=name)])
    assert f"critic/{name}" in made.train_step([batch()], optimizers(made))
    assert list(made.networks()) == ["generator", name]
