"""Both networks' steps from the same weights, and clipping of one of them, against hand-written steps."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from steps import LR, applied_gradients, batch, game, gradients, optimizers, restorer, snapshot, term
from torch.nn.functional import l1_loss

from deblurkit import load_options
from deblurkit.engine.optim import build_optimizers, build_schedulers
from deblurkit.errors import UserError

OPTIONS = Path(__file__).resolve().parents[2] / "options"


@pytest.mark.parametrize("accumulate", [1, 2])
def test_parallel_is_the_simultaneous_step(accumulate: int):
    made = restorer([term("image"), game("lsgan", weight=0.5)], order="parallel", accumulate=accumulate)
    original, data = copy.deepcopy(made), [batch(n) for n in range(accumulate)]
    log = made.train_step(data, optimizers(made))

    generator, critic = original.generator, original.critics["critic"]
    of_critic, of_generator = torch.zeros(()), torch.zeros(())
    for images in data:
        restored = generator(images["blurred"])
        real, fake = critic(images["sharp"]), critic(restored.detach())
        of_critic = of_critic + 0.5 * ((real - 1).square().mean() + fake.square().mean()) / accumulate
        against = 0.5 * 0.5 * (critic(restored) - 1).square().mean()
        of_generator = of_generator + (l1_loss(restored, images["sharp"]) + against) / accumulate
    both = (generator, gradients(of_generator, generator)), (critic, gradients(of_critic, critic))
    for network, wanted in both:
        for name, weight in network.named_parameters():
            weight.data -= LR * wanted[name]
    for found, wanted_network in ((made.generator, generator), (made.critics["critic"], critic)):
        for name, value in wanted_network.state_dict().items():
            torch.testing.assert_close(found.state_dict()[name], value, rtol=1e-5, atol=1e-6)
    assert log["loss"].item() == pytest.approx(of_generator.item(), rel=1e-5)


def test_alternating_differs_from_parallel():
    data = [batch()]
    after = []
    for order in ("alternating", "parallel"):
        made = restorer([term("image"), game("lsgan", weight=0.5)], order=order)
        made.train_step(data, optimizers(made))
        after.append(snapshot(made.generator)["conv.weight"])
    assert not torch.equal(*after)


def test_parallel_clips_the_critics_weights_and_warms_them_up():
    made = restorer([term("image"), game("wgan", weight_clip=0.01)], order="parallel", critic_warmup=1)
    before = snapshot(made.generator)
    made.train_step([batch()], optimizers(made))
    assert max(p.abs().max().item() for p in made.critics["critic"].parameters()) == pytest.approx(0.01)
    assert torch.equal(made.generator.conv.weight, before["conv.weight"])


def test_only_the_network_that_is_named_is_clipped():
    options = load_options(OPTIONS / "madn.yml")
    assert options.clip_grad_norm_of("generator") == 2.0
    assert options.clip_grad_norm_of("critic") is None
    made = restorer([term("image"), game("lsgan")])
    plain = [f"optimizers.{name}={{type: SGD, lr: {LR}}}" for name in ("generator", "discriminators")]
    limited = load_options(OPTIONS / "madn.yml", ["train.clip_grad_norm={generator: 1e-3}", *plain])
    before = {name: snapshot(network) for name, network in made.networks().items()}
    made.train_step([batch()], build_optimizers(limited, made.networks(), torch.device("cpu")))
    norms = {}
    for name, network in made.networks().items():
        norms[name] = torch.cat([g.flatten() for g in applied_gradients(before[name], network).values()]).norm().item()
    assert norms["generator"] == pytest.approx(1e-3, rel=1e-2)
    assert norms["critic"] > 0.1


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ("2.0", {"generator": 2.0, "critic": 2.0}),
        ("{_delete_: true, discriminators: 1.0}", {"generator": None, "critic": 1.0}),
        ("{_delete_: true, discriminators: 1.0, critic: 3.0}", {"generator": None, "critic": 3.0}),
        ("null", {"generator": None, "critic": None}),
    ],
)
def test_limits_by_name(limits: str, wanted: dict[str, float | None]):
    options = load_options(OPTIONS / "madn.yml", [f"train.clip_grad_norm={limits}"])
    assert {name: options.clip_grad_norm_of(name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train.clip_grad_norm={generater: 1.0}", "train.clip_grad_norm.generater: .*did you mean 'generator'"),
        (
            "train.clip_grad_norm={generator: -1.0}",
            "train.clip_grad_norm.generator: should be greater than 0, not -1.0",
        ),
        ("train.critic_steps=2", "train.order: parallel is one step of each network, critic_steps is 2"),
    ],
)
def test_refused_in_words(change: str, message: str):
    with pytest.raises(UserError, match=message):
        load_options(OPTIONS / "madn.yml", [change])


def test_madn_trains_on_crops_alone_and_still_in_its_last_epoch():
    options = load_options(OPTIONS / "madn.yml")
    assert options.datasets.train[0].component["augment"] == []
    weight = torch.nn.Linear(1, 1)
    made = build_optimizers(options, {"generator": weight, "critic": torch.nn.Linear(1, 1)}, torch.device("cpu"))
    schedulers = build_schedulers(options, made)
    rates: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(options.train.epochs):
        for name, wrapper in made.items():
            rates[name].append(wrapper.get_lr()["lr"][0])
            for scheduler in schedulers[name]:
                scheduler.step()
    assert rates["generator"][0] == pytest.approx(1e-4)
    assert rates["generator"][1000] == pytest.approx(1e-4 * 0.5**0.3)
    assert rates["generator"][-1] == pytest.approx(1e-4 * (1 / 2000) ** 0.3)
    assert min(rates["critic"]) > 0
