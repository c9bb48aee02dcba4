"""Outside logged iterations a training never waits for its device, whatever it trains.

On the meta device, where tensors hold no numbers, whatever reads one raises: so this is found without a GPU.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from gpu.recipes import FILES, WITHOUT_FILE, Mode, recipe
from gpu.syncs import Iteration, watch
from steps import batch, optimizers, restorer, term
from torch import Tensor, nn

from deblurkit.engine.finite_guard import FiniteGuard, NonFiniteError
from deblurkit.options.load import options_from_dict
from deblurkit.options.schema import Options
from deblurkit.registry import ARCHS, LOSSES

ALIKE = ("deblurgan_v2", "deblurgan_v2_densenet", "nafnet_w64")  # as others, once they are small
TINY = [name for name in FILES if name not in ALIKE]
META, CUDA = torch.device("meta"), torch.device("cuda", 0)
READS: dict[str, Callable[[Tensor], object]] = {
    "item": Tensor.item,
    "tolist": Tensor.tolist,
    "bool": lambda value: bool(value > 0),
    "cpu": Tensor.cpu,
    "nonzero": lambda value: value.reshape(1).nonzero(),
    "mask": lambda value: value.reshape(1)[value.reshape(1) > 0],
}
COPIES: dict[str, Callable[[Tensor], object]] = {
    "new_tensor": lambda value: value.new_tensor([1.0]),
    "tensor": lambda value: torch.tensor(1.0, device=value.device),
}


@LOSSES.register_module()
class Nosy(nn.Module):
    """L1, and something that is done with its value."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.look = {**READS, **COPIES}[what]

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        value = (pred - target).abs().mean()
        self.look(value.detach())
        return value


@functools.cache
def tiny(name: str) -> Options:
    return recipe(name, tiny=True)


def nosy(what: str) -> Options:
    told = tiny("quickstart").to_dict()
    return options_from_dict(
        {**told, "losses": {"image": {"type": "Nosy", "what": what}}, "discriminators": {}}, "nosy"
    )


def test_every_generator_is_watched() -> None:
    watched = {tiny(name).generator["type"] for name in TINY}
    built_in = {name for name in ARCHS.names() if ARCHS.get(name).__module__.startswith("deblurkit.")}
    assert watched | WITHOUT_FILE.keys() == built_in


@pytest.mark.parametrize("name", TINY)
def test_a_training_does_not_wait(name: str) -> None:
    assert watch(Mode("fp32").of(tiny(name)), META) == 2 * [Iteration(logged=False, waits=())]


@pytest.mark.parametrize("what", READS)
def test_a_read_is_found(what: str) -> None:
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        watch(nosy(what), META)


@pytest.mark.parametrize("what", COPIES)
def test_a_copy_from_the_host_is_found(what: str) -> None:
    for iteration in watch(nosy(what), META):
        assert len(iteration.waits) == 1
        assert iteration.waits[0].startswith("tests/engine/test_waits.py:")


@pytest.mark.cuda
@pytest.mark.parametrize("name", TINY)
def test_on_a_gpu_a_training_waits_where_it_logs_alone(name: str) -> None:
    seen = watch(Mode("bf16", "bf16", channels_last=True).of(tiny(name)), CUDA)[1:]
    assert [each.waits for each in seen if not each.logged] == [() for each in seen if not each.logged]
    assert all(each.waits for each in seen if each.logged), "it sees none at all"


@pytest.mark.cuda
@pytest.mark.parametrize("what", [*(name for name in READS if name != "item"), *COPIES])
def test_on_a_gpu_each_wait_is_found(what: str) -> None:
    assert all(each.waits for each in watch(nosy(what), CUDA))


class Holding(FiniteGuard):
    """Holds the values of any device, as of a GPU."""

    @staticmethod
    def holds(device: torch.device) -> bool:
        return True


class BrokenLater(nn.Module):
    """NaN in its third call, and later."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        self.calls += 1
        return (pred - target).mean() * (float("nan") if self.calls >= 3 else 1.0)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def test_what_was_held_is_told_of_the_iteration_where_it_began(device: str) -> None:
    made = restorer([term("image"), term("broken", BrokenLater())]).to(device)
    made.guard = Holding()
    own = optimizers(made)
    for number in range(5):
        made.iteration = number
        made.train_step([batch(number)], own)
    with pytest.raises(NonFiniteError, match=r"iteration 3: term/broken is nan; batch: 2/0, 2/1"):
        made.guard.check()
    made.guard.check()  # of what was read nothing is left
