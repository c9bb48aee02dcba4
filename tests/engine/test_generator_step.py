"""What the generator's step computes, against hand computations."""

from __future__ import annotations

import copy

import pytest
import steps
import torch
from steps import applied_gradients, batch, game, gradients, moved, optimizers, restorer, snapshot, term
from torch import nn
from torch.nn.functional import l1_loss, mse_loss

from deblurkit.engine.finite_guard import NonFiniteError
from deblurkit.losses.pixel import L1Loss, MSELoss
from deblurkit.losses.views import sobel


def test_logged_loss_is_what_was_backpropagated():
    made = restorer([term("image", weight=0.5), game("lsgan", weight=0.25), term("again", MSELoss(), weight=3.0)])
    original = copy.deepcopy(made)
    before = snapshot(made.generator)
    data = batch()
    log = made.train_step([data], optimizers(made))

    image = original.generator(data["blurred"])
    critic = made.critics["critic"]  # the generator is judged by the critic as its own step left it
    parts = {
        "image": 0.5 * l1_loss(image, data["sharp"]),
        "game": 0.25 * 0.5 * (critic(image) - 1).square().mean(),
        "again": 3.0 * mse_loss(image, data["sharp"]),
    }
    total = sum(parts.values())
    for name, value in parts.items():
        assert log[f"term/{name}"].item() == pytest.approx(value.item(), rel=1e-5)
    assert log["loss"].item() == pytest.approx(total.item(), rel=1e-5)
    assert sum(value for name, value in log.items() if name.startswith("term/")) == pytest.approx(log["loss"].item())
    found = applied_gradients(before, made.generator)
    wanted = gradients(total, original.generator)
    for name, value in wanted.items():  # losses are computed in float32
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=2e-6)


def test_weight_is_applied_once():
    data = batch()
    applied = {}
    for weight in (1.0, 0.1):
        made = restorer([term("image", weight=weight)])
        before = snapshot(made.generator)
        made.train_step([data], optimizers(made))
        applied[weight] = applied_gradients(before, made.generator)
    for name, value in applied[1.0].items():
        torch.testing.assert_close(applied[0.1][name], 0.1 * value, rtol=1e-4, atol=2e-6)


def test_each_step_moves_its_own_network_only(monkeypatch: pytest.MonkeyPatch):
    made = restorer([term("image"), game("hinge", weight=0.5)])
    own = optimizers(made)
    seen: list[tuple[str, bool, bool]] = []
    states = {name: snapshot(network) for name, network in made.networks().items()}
    for name, wrapper in own.items():

        def step(measure=False, name=name, step=wrapper.step):
            untouched = {other: not moved(states[other], net) for other, net in made.networks().items()}
            frozen = [
                all(p.grad is None for p in net.parameters()) for key, net in made.networks().items() if key != name
            ]
            result = step(measure)
            now = {other: moved(states[other], net) for other, net in made.networks().items()}
            seen.append((name, all(untouched.values()), now == {other: other == name for other in now}))
            if name == "critic":
                assert all(frozen), "the critic's step left gradients in the generator"
                states[name] = snapshot(made.critics[name])
            return result

        monkeypatch.setattr(wrapper, "step", step)
    judged_with = {name: p.grad for name, p in made.critics["critic"].named_parameters()}
    assert all(gradient is None for gradient in judged_with.values())
    made.train_step([batch()], own)
    assert seen == [("critic", True, True), ("generator", True, True)]
    assert all(p.requires_grad for p in made.critics["critic"].parameters()), "thawed again"


def test_generator_step_adds_no_gradient_to_the_critic():
    made = restorer([term("image"), game("lsgan")])
    own = optimizers(made)
    after_critic: dict[str, torch.Tensor] = {}
    step = own["critic"].step

    def spy(measure=False):
        result = step(measure)
        after_critic.update({name: p.grad.clone() for name, p in made.critics["critic"].named_parameters()})
        return result

    own["critic"].step = spy
    made.train_step([batch()], own)
    for name, parameter in made.critics["critic"].named_parameters():
        assert torch.equal(parameter.grad, after_critic[name])


@pytest.mark.parametrize("adversarial", [False, True])
def test_two_batches_accumulated_equal_one_of_twice_the_size(adversarial: bool):
    terms = [term("image"), *([game("wgan", weight=0.3)] if adversarial else [])]
    whole = batch(size=2)
    halves = [{key: value[n : n + 1] for key, value in whole.items()} for n in range(2)]
    logs, weights = [], []
    for data, accumulate in (([whole], 1), (halves, 2)):
        made = restorer(terms, accumulate=accumulate)
        assert made.generator_batches == accumulate
        made.measure = True
        logs.append(made.train_step(data, optimizers(made)))
        weights.append({name: snapshot(network) for name, network in made.networks().items()})
    for network, state in weights[0].items():
        for name, value in state.items():
            torch.testing.assert_close(weights[1][network][name], value, rtol=1e-5, atol=1e-6)
    assert logs[0].keys() == logs[1].keys()
    for name, value in logs[0].items():  # what is logged is what was backpropagated, not the last batch's share of it
        assert logs[1][name].item() == pytest.approx(value.item(), rel=1e-5, abs=1e-7), name


def test_terms_count_from_start_to_end():
    made = restorer([term("always"), term("late", start=2), term("early", end=1)])
    own = optimizers(made)
    names = []
    for made.iteration in range(4):
        log = made.train_step([batch()], own)
        names.append({name for name in log if name.startswith("term/")})
    early, late = {"term/always", "term/early"}, {"term/always", "term/late"}
    assert names == [early, {"term/always"}, late, late]


def test_critic_rests_while_its_term_does():
    made = restorer([term("image"), steps.term("game", steps.AdversarialLoss("wgan"), 1.0, "critic", start=1)])
    own, before = optimizers(made), snapshot(made.critics["critic"])
    log = made.train_step([batch()], own)
    assert not moved(before, made.critics["critic"])
    assert not any(name.startswith("critic") for name in log)
    made.iteration = 1
    made.train_step([batch()], own)
    assert moved(before, made.critics["critic"])


def test_value_range_is_mapped_once():
    generator = steps.Generator(value_range=(-1.0, 1.0))
    seen = []

    class Spy(L1Loss):
        def forward(self, pred, target):
            seen.append(target.detach().clone())
            return super().forward(pred, target)

    loss = Spy()
    loss.value_range = None
    made = restorer([term("image", loss), game("wgan")], generator)
    made.critics["critic"].value_range = None
    made = type(made)(made.parts)
    data = batch()
    made.train_step([data], optimizers(made))
    torch.testing.assert_close(generator.seen[0], 2 * data["blurred"] - 1)
    torch.testing.assert_close(seen[0], 2 * data["sharp"] - 1)
    torch.testing.assert_close(made.critics["critic"].seen[0], 2 * data["sharp"] - 1)
    assert loss.value_range == (-1.0, 1.0)
    assert made.critics["critic"].value_range == (-1.0, 1.0), "a critic that depends on the range is told it too"


def test_gradient_norms_of_terms_and_networks():
    generator = steps.Generator(outputs=["double"])
    made = restorer(
        [term("image", weight=0.5), term("edges", MSELoss(), 3.0, pred="sobel(double)", target="sobel(sharp)")],
        generator,
    )
    original, data = copy.deepcopy(made), batch()
    made.measure = True
    log = made.train_step([data], optimizers(made))

    outputs = {name: value.detach().requires_grad_() for name, value in original.generator(data["blurred"]).items()}
    image = torch.autograd.grad(0.5 * l1_loss(outputs["image"].float(), data["sharp"].float()), outputs["image"])[0]
    edges = torch.autograd.grad(3.0 * mse_loss(sobel(outputs["double"]), sobel(data["sharp"])), outputs["double"])[0]
    assert log["grad/image"].item() == pytest.approx(image.norm().item(), rel=1e-5)
    assert log["grad/edges"].item() == pytest.approx(edges.norm().item(), rel=1e-5)

    named = original.generator(data["blurred"])
    total = 0.5 * l1_loss(named["image"], data["sharp"]) + 3 * mse_loss(sobel(named["double"]), sobel(data["sharp"]))
    norm = torch.cat([g.flatten() for g in gradients(total, original.generator).values()]).norm()
    assert log["grad_norm/generator"].item() == pytest.approx(norm.item(), rel=1e-5)
    made.measure = False
    assert not any(name.startswith("grad") for name in made.train_step([data], optimizers(made)))


def test_clipping_scales_the_whole_gradient():
    made, free = restorer([term("image")]), restorer([term("image")])
    before, data = snapshot(made.generator), batch()
    free.train_step([data], optimizers(free))
    log = made.train_step([data], optimizers(made, clip=1e-3))
    raw, clipped = applied_gradients(before, free.generator), applied_gradients(before, made.generator)
    norm = torch.cat([g.flatten() for g in raw.values()]).norm()
    assert log["grad_norm/generator"].item() == pytest.approx(norm.item(), rel=1e-5)
    assert torch.cat([g.flatten() for g in clipped.values()]).norm().item() == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_finite_and_trains(precision: str):
    critic = steps.Critic()
    made = restorer(
        [term("image"), game("wgan", weight=0.1, gradient_penalty={"weight": 0.1})],
        critics={"critic": critic},
        precision=precision,
    )
    before = {name: snapshot(network) for name, network in made.networks().items()}
    own = optimizers(made)
    for made.iteration in range(3):
        log = made.train_step([batch(made.iteration)], own)
        assert all(torch.isfinite(value) and value.dtype == torch.float32 for value in log.values())
    assert all(moved(before[name], network) for name, network in made.networks().items())
    assert all(p.dtype == torch.float32 for p in made.parameters())


def test_no_active_term_is_the_users_mistake():
    made = restorer([term("late", start=5)])
    with pytest.raises(Exception, match="no term counts in iteration 0") as caught:
        made.train_step([batch()], optimizers(made))
    assert type(caught.value).__name__ == "UserError"


def test_guard_names_iteration_term_and_keys():
    class Broken(nn.Module):
        def forward(self, pred, target):
            return (pred - target).mean() * float("nan")

    made = restorer([term("image"), term("broken", Broken())])
    before = snapshot(made.generator)
    made.iteration = 6
    with pytest.raises(NonFiniteError, match=r"iteration 7: term/broken is nan; batch: 0/0, 0/1"):
        made.train_step([batch()], optimizers(made))
    assert not moved(before, made.generator)
