"""What a small reproduction trains: the papers' networks under one objective, or each paper's own recipe."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from deblurkit.options.load import load_options
from deblurkit.options.schema import Options

Objective = Literal["one", "own"]

OPTIONS = Path(__file__).resolve().parents[1] / "options"
PAPERS = ("deblurgan", "deblurgan_v2", "nafnet", "crosshatch", "structure_guided", "madn", "bag", "dsc")
SKIP = "+skip"  # with the global skip that paper 001 does not state: a short training cannot learn to copy its input
STRUCTURES = (
    *(f"bag/{row}" for row in ("plain", "model1", "model2", "model3", "model4")),
    *(f"structure_guided{row}{SKIP}" for row in ("", "/wo_rgcl", "/wo_mbrbs", "/wo_gradient_net")),
)
ABLATIONS = tuple(sorted(f"{file.parent.name}/{file.stem}" for file in OPTIONS.glob("ablations/*/*.yml")))
NAMES: dict[Objective, tuple[str, ...]] = {"one": (*PAPERS, *STRUCTURES), "own": (*PAPERS, *ABLATIONS)}

CONTENT = "PerceptualLoss"
THIN: dict[str, dict[str, Any]] = {  # a quarter of the widths that a network has by default
    "DeblurGAN": {"channels": 16},
    "DeblurGANv2": {"encoder": "mobilenet_v2", "channels": 32},
    "NAFNet": {"width": 8},
    "Crosshatch": {"encoder": [16, 32, 64], "res_channels": 64, "decoder": [32, 16]},
    "StructureGuided": {"channels": [16, 32, 64], "gradient_channels": 16, "reduction": 4},
    "MADN": {"channels": [16, 32, 64]},
    "BlurAttention": {"channels": [16, 32, 64], "growth": 18},
    "DSCNet": {"channels": 16},
    "PatchDiscriminator": {"channels": 16},
    "DoubleScaleDiscriminator": {"channels": 16},
    "FlattenDiscriminator": {"channels": 16, "hidden": 256},
    "MADNDiscriminator": {"channels": [16, 16, 32, 64, 128], "hidden": 256},
}


@dataclass(frozen=True)
class Setting:
    """One size of the experiment; the same for every network.

    Attributes:
        name: How it is called on the command line.
        thin: Whether the networks have a fraction of their papers' widths.
        window: Side of the square cut from a photograph, in pixels; ``margin`` is cut off each side after the shake.
        margin: Pixels cut off each side.
        batch: Pairs an update.
        updates: Updates of the generator.
        workers: Processes that read for one training.
        lr: Under one objective Adam's learning rate at the start; a cosine takes it to 1e-6.
        critic: Under one objective the critic's arguments.
        scored: How many of the sample set's test images are scored; ``None``: all.
    """

    name: str
    thin: bool
    window: int
    margin: int
    batch: int
    updates: int
    workers: int
    lr: float
    critic: dict[str, Any]
    scored: int | None = None

    @property
    def crop(self) -> int:
        """Side of what is trained on, in pixels."""
        return self.window - 2 * self.margin


SETTINGS = {
    "tiny": Setting("tiny", True, 90, 13, 4, 1200, 0, 5e-4, {"channels": 8, "layers": 2}),
    "small": Setting("small", True, 90, 13, 1, 150, 0, 5e-4, {"channels": 8, "layers": 2}),
    "real": Setting("real", False, 154, 13, 8, 10_000, 4, 2e-4, {}),
}
TRIAL = Setting("trial", True, 58, 13, 1, 2, 0, 5e-4, {"channels": 8, "layers": 2}, scored=1)
"""Runs everything in seconds, and shows nothing."""


@dataclass(frozen=True)
class Experiment:
    """One training: plain values, so that it can be sent to another process.

    Attributes:
        name: The option file below ``options`` or ``options/ablations``, perhaps with :data:`SKIP`.
        objective: ``one`` for all networks alike, or the option file's ``own`` recipe.
        seed: Of weights, samples and everything else that is drawn.
        setting: How large.
        sharp: A folder of sharp photographs to train on; ``None``: the sample set's training split.
        look: Folders of blurred and sharp images to score as well.
        vgg: Weights of the content losses' VGG-19, as ``PerceptualLoss`` takes them.
        overrides: Changes of an own recipe, as ``--set`` takes them.
    """

    name: str
    objective: Objective
    seed: int
    setting: Setting
    sharp: str | None = None
    look: tuple[str, str] | None = None
    vgg: str | None = "random"
    overrides: tuple[str, ...] = ()

    def options(self) -> dict[str, Any]:
        """Return the expanded options."""
        read = _read(self.name, self.overrides)
        generator = self._component(read.generator)
        if self.name.endswith(SKIP):
            generator["global_skip"] = True
        if generator.get("encoder_weights"):
            generator["encoder_weights"] = None  # ImageNet weights would be a head start for one network
        return {
            "name": f"{self.name.replace('/', '-')}-seed{self.seed}",
            "seed": self.seed,
            "generator": generator,
            "datasets": self._data(),
            "logging": {"every": 100, "tensorboard": False, "curves": False},
            **(self._one_objective() if self.objective == "one" else self._own_recipe(read)),
        }

    def content(self) -> str:
        """Return what the content loss sees, for every line of a page."""
        losses = _read(self.name, self.overrides).losses.values()
        if self.objective == "one" or all(loss.component["type"] != CONTENT for loss in losses):
            return "none"
        return "RANDOM VGG-19" if self.vgg == "random" else "VGG-19"

    def _component(self, component: Mapping[str, Any]) -> dict[str, Any]:
        """Return a network as the setting has it; widths that an option file names are quartered too."""
        if not self.setting.thin:
            return dict(component)
        thin = THIN[component["type"]]
        named = {key: _quarter(component[key]) for key in thin if not isinstance(component.get(key), str | None)}
        return {**component, **thin, **named}

    def _one_objective(self) -> dict[str, Any]:
        setting = self.setting
        return {
            "discriminators": {"critic": {"type": "PatchDiscriminator", **setting.critic}},
            "losses": {
                "pixel": {"type": "L1Loss"},
                "adversarial": {"type": "AdversarialLoss", "weight": 0.0005, "mode": "lsgan", "critic": "critic"},
            },
            "optimizers": {
                "generator": {"type": "Adam", "lr": setting.lr, "betas": [0.9, 0.99]},
                "discriminators": {"type": "Adam", "lr": 2e-4, "betas": [0.9, 0.99]},
            },
            "schedulers": [{"type": "CosineAnnealingLR", "eta_min": 1e-6}],
            "train": {
                "iters": setting.updates,
                "clip_grad_norm": 1.0,
                "ema": {"decay": 0.99 if setting.thin else 0.999},
                "checkpoint_every": setting.updates,
            },
        }

    def _own_recipe(self, read: Options) -> dict[str, Any]:
        """Return the recipe's objective and manner of training, as they are at its beginning.

        A budget this small is the first epoch or less of any recipe, in which no schedule has moved yet: rates stay
        where they start. A frozen encoder is let go, since its weights are random here.
        """
        recipe = read.to_dict()
        train = {**recipe["train"], "epochs": None, "iters": self.setting.updates, "freeze": {}}
        return {
            "discriminators": {name: self._component(critic) for name, critic in read.discriminators.items()},
            "losses": {
                name: {**loss, "weights": self.vgg} if loss["type"] == CONTENT else loss
                for name, loss in recipe["losses"].items()
            },
            "restorer": recipe["restorer"],
            "optimizers": recipe["optimizers"],
            "train": {**train, "checkpoint_every": self.setting.updates},
        }

    def _data(self) -> dict[str, Any]:
        """Return the data sets: a fresh shake of a sharp window for every sample, and what is scored."""
        setting = self.setting
        source = {"type": "SamplePairs", "split": "train"}
        if self.sharp:
            source = {"type": "PairedImages", "blurred": self.sharp, "sharp": self.sharp}
        window = {"type": "RandomResizedCrop", "size": setting.window, "scale": [0.8, 2.0]}
        shake = {
            "type": "CameraShake",
            "extent": [3.0, 13.0],
            "roll": [0.0, 1.0],
            "margin": setting.margin,
            "steps": 16,
        }
        test: dict[str, Any] = {"sample": {"type": "SamplePairs", "split": "test", "limit": setting.scored}}
        if self.look:
            test["look"] = {"type": "PairedImages", "blurred": self.look[0], "sharp": self.look[1]}
        train = {
            **source,
            "augment": [window, shake, "hflip", "vflip", "rot90"],
            "batch_size": setting.batch,
            "workers": setting.workers,
            "cache": setting.workers == 0,
        }
        return {"train": train, "test": test}


@dataclass(frozen=True)
class Run:
    """What came of one training.

    Attributes:
        name: The experiment's.
        seed: The experiment's.
        content: What its content loss saw.
        parameters: Of the generator.
        psnr: Of the restored test images, in decibels.
        ssim: Of the same.
        psnr_blurred: Of the test images as they are, in decibels.
        images: How many they are.
        protocol: How they were scored: identity, version and inference.
        device: Where it was trained.
        seconds: By the clock, for training and scoring.
        seconds_per_update: By the clock, for training alone.
        look: PSNR of the further pairs, restored, in decibels; ``None``: there were none.
        look_blurred: PSNR of the same pairs as they are.
    """

    name: str
    seed: int
    content: str
    parameters: int
    psnr: float
    ssim: float
    psnr_blurred: float
    images: int
    protocol: str
    device: str
    seconds: float
    seconds_per_update: float
    look: float | None = None
    look_blurred: float | None = None


@functools.cache
def _read(name: str, overrides: tuple[str, ...]) -> Options:
    file = name.removesuffix(SKIP)
    folder = OPTIONS if "/" not in file else OPTIONS / "ablations"
    return load_options(folder / f"{file}.yml", overrides)


def _quarter(width: int | list[int]) -> int | list[int]:
    return [max(1, each // 4) for each in width] if isinstance(width, list) else max(1, width // 4)
