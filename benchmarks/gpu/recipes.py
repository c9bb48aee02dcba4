"""Trainings for the parts: the option files' networks and objectives, on pairs that are made by code."""

from __future__ import annotations

import copy
import dataclasses
import functools
import gc
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from experiments import CONTENT, THIN
from torch import Tensor
from torch.nn import functional

from deblurkit.device import is_out_of_memory
from deblurkit.engine.build import Problems, build_parts, build_step
from deblurkit.engine.fast import Fast
from deblurkit.engine.step import Parts
from deblurkit.options.load import load_options, options_from_dict
from deblurkit.options.schema import Options
from deblurkit.registry import DATASETS

T = TypeVar("T")

CLOSER = ("deblurgan", "nafnet", "deblurgan_v2_mobilenet")
"""Files that are looked at more closely: five critic steps with a penalty, a large batch, a small network."""
FILES = (
    *CLOSER,
    *("madn", "crosshatch", "bag", "dsc", "structure_guided", "deblurgan_v2", "starter", "quickstart"),
    *("nafnet_w64", "deblurgan_v2_densenet"),
)
"""Option files with every registered generator, in the order in which they get their time."""
TRIED = ("quickstart", "deblurgan")
"""What a trial trains: the two that are quickest."""
WITHOUT_FILE = {"Foreign": "a network of other people's weights, which no option file trains"}
_SHALLOW: dict[str, dict[str, Any]] = {  # a trial's networks, besides their widths
    "DeblurGAN": {"blocks": 2},
    "BlurAttention": {"modules": 1, "layers": 2},
    "DSCNet": {"blocks": 1},
    "Crosshatch": {"blocks": 1},
    "MADN": {"blocks": 1},
    "StructureGuided": {"blocks": 1},
    "NAFNet": {"encoder_blocks": [1] * 4, "middle_blocks": 1, "decoder_blocks": [1] * 4},
}
_SIDE, _TINY_SIDE = 256, 32  # of files whose data set names none
_DIFFERENT = 4  # batches that are trained on in turn


@DATASETS.register_module()
class MadeByCode:
    """Pairs of ``side`` pixels, the same ones for equal indices."""

    def __init__(self, side: int, count: int = 4096) -> None:
        self.side, self.count = side, count

    def __len__(self) -> int:
        """Returns the number of pairs."""
        return self.count

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Returns a pair; there are few different ones, so that making them does not keep a training waiting."""
        blurred, sharp = made_pairs(1, self.side, index % _DIFFERENT)
        return {"blurred": blurred[0], "sharp": sharp[0], "key": str(index)}


@functools.lru_cache(maxsize=8)
def made_pairs(count: int, side: int, seed: int) -> tuple[Tensor, Tensor]:
    """Returns blurred and sharp images ``(n, 3, side, side)`` in [0, 1]: edges of several scales, moved sideways."""
    random = torch.Generator().manual_seed(seed)
    sharp = torch.zeros(count, 3, side, side)
    for cells in (4, 16, 64):
        noise = torch.rand(count, 3, cells, cells, generator=random)
        sharp += functional.interpolate(noise, size=(side, side), mode="nearest") / 3
    blurred = functional.avg_pool2d(functional.pad(sharp, (4, 4, 0, 0), mode="replicate"), (1, 9), stride=1)
    return blurred, sharp


@dataclasses.dataclass(frozen=True)
class Mode:
    """In which way a network is trained."""

    name: str
    precision: str = "fp32"
    channels_last: bool = False
    compile: bool = False
    cudnn_benchmark: bool = False

    def of(self, options: Options) -> Options:
        """Returns the options in this mode, of which ``compile`` is the generator's and critics'."""
        change = {"precision": self.precision, "channels_last": self.channels_last, "compile": self.compile}
        return options.model_copy(update={"train": options.train.model_copy(update=change)})


def recipe(name: str, tiny: bool) -> Options:
    """Returns a shipped file's options with made pairs of its crop in its batches, and rates that stay as they begin.

    No weights of others are asked for: an encoder or a VGG starts at random ones, which cost as much. What a file
    freezes at first is trained. Where ``tiny``, networks are narrow and shallow, batches two small pairs.
    """
    told = load_options(name).to_dict()
    sets = told["datasets"]["train"]
    given = sets[0] if isinstance(sets, list) else sets
    side = next((cut for cut in map(given.get, ("crop", "resize")) if isinstance(cut, int)), _SIDE)
    if name == "quickstart":
        side = 96  # its windows of 122 pixels without the margin of the blur
    batch = given["batch_size"]
    if tiny:
        side, batch = _TINY_SIDE, 2
        told["train"]["critic_steps"] = 1
        told["generator"] = _small(told["generator"])
        told["discriminators"] = {name: _small(critic) for name, critic in told["discriminators"].items()}
    if told["generator"].get("encoder_weights"):
        told["generator"]["encoder_weights"] = None
    for loss in told["losses"].values():
        if loss["type"] == CONTENT:
            loss["weights"] = "random"
    told["datasets"] = {"train": {"type": "MadeByCode", "side": side, "batch_size": batch}}
    told["schedulers"] = []
    told["train"] |= {"epochs": None, "iters": 10**6, "freeze": {}, "checkpoint_every": 10**6}
    told["logging"] |= {"tensorboard": False, "curves": False, "outputs": []}
    return options_from_dict(told, name)


def _small(component: Mapping[str, Any]) -> dict[str, Any]:
    kind = component["type"]
    return {**component, **THIN.get(kind, {}), **_SHALLOW.get(kind, {})}


class Training:
    """The training step of an option file's recipe, in any mode: equal weights and equal batches in each.

    Attributes:
        batch: Pairs of one batch, by default the file's.
        side: Of the images, in pixels.
    """

    def __init__(self, name: str, device: torch.device, tiny: bool, batch: int | None = None) -> None:
        self.name, self.device, self.tiny, self.options = name, device, tiny, recipe(name, tiny)
        problems = Problems()
        self.notes: list[str] = []
        self._parts = build_parts(self.options, problems, self.notes.append)
        problems.raise_any()
        entry = self.options.datasets.train[0]
        self.batch, self.side = batch or entry.loader.batch_size, int(entry.component["side"])
        self.generator = str(self.options.generator["type"])
        self._batches = []
        for seed in range(_DIFFERENT):
            blurred, sharp = (images.to(device) for images in made_pairs(self.batch, self.side, seed))
            self._batches.append({"blurred": blurred, "sharp": sharp, "key": [str(seed)] * self.batch})

    @property
    def images(self) -> int:
        """Pairs that one iteration of the generator takes."""
        return self.batch * self.options.train.accumulate

    def steps(self, mode: Mode) -> Iterator[dict[str, Tensor]]:
        """Yields the scalars of one iteration after the other, on the device, from the first weights on."""
        torch.backends.cudnn.benchmark = mode.cudnn_benchmark
        options = mode.of(self.options)
        made: Parts = copy.deepcopy(self._parts)
        made.precision = options.train.precision
        fast = Fast(mode.channels_last, options.train.compile)
        restorer, optimizers, _ = build_step(made, options, self.device, fast, self.notes.append)
        torch.manual_seed(options.seed)
        batches = itertools.cycle(self._batches)
        for iteration in itertools.count(options.train.critic_warmup):  # before it no generator is trained
            restorer.iteration = iteration
            data = [next(batches) for _ in range(restorer.critic_batches + restorer.generator_batches)]
            yield restorer.train_step(data, optimizers)


def fitting(training: Training, work: Callable[[Training], T]) -> tuple[Training, T]:
    """Returns what ``work`` makes of a training, in halves of its batch until the device's memory is enough.

    Papers spread their batches over several cards. Returned is also the training that fitted.
    """
    while True:
        try:
            return training, work(training)
        except Exception as error:
            if training.batch == 1 or not is_out_of_memory(error):
                raise
            half = training.batch // 2
        print(f"{training.name}: batches of {training.batch} do not fit, {half} now", flush=True)
        # Only here, where the error no longer holds what was computed.
        name, device, tiny = training.name, training.device, training.tiny
        del training
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        training = Training(name, device, tiny, half)
