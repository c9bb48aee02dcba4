"""Every option changed at ``--resume``, one by one: what happens, and whether the weights are others from then on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tiny import CRITIC

from deblurkit.engine.changes import Effect, rule_for

BEFORE, AFTER = 5, 8  # iterations of the run that is taken up, and of the one that goes on
GAN: dict[str, Any] = {
    "generator": {"type": "DeblurGAN", "channels": 4, "blocks": 1},
    "discriminators": {"critic": CRITIC},
    "losses": {"adversarial": {"type": "AdversarialLoss", "mode": "lsgan", "critic": "critic", "weight": 0.1}},
    "schedulers": [{"type": "PolyLR", "eta_min": 1e-5}],
    "train": {"iters": AFTER, "checkpoint_every": BEFORE, "ema": {"decay": 0.9}, "keep": 9},
    "val": {"every": BEFORE},
}
LARGE: dict[str, Any] = {
    "generator": {"type": "DeblurGANv2", "encoder": "mobilenet_v2", "channels": 4},
    "train": {"iters": AFTER, "checkpoint_every": BEFORE},
}


@dataclass(frozen=True)
class Case:
    """One option, changed.

    Attributes:
        key: What the table calls it.
        change: ``--set`` arguments.
        effect: What must happen.
        alters: Whether the weights after further iterations differ from those of the run that changed nothing;
            ``None``: it does not matter.
        reason: What is said where it is refused, if that is not the rule's own.
        base: The experiment.
        slow: Whether it takes a minute.
    """

    key: str
    change: tuple[str, ...]
    effect: Effect = Effect.APPLIED
    alters: bool | None = True
    reason: str = ""
    base: dict[str, Any] = field(default_factory=lambda: GAN)
    slow: bool = False

    @property
    def words(self) -> str:
        """How, or why."""
        return self.reason or rule_for(self.key).words


def same(key: str, *change: str, slow: bool = False) -> Case:
    """An option that leaves the weights alone."""
    return Case(key, change, alters=False, slow=slow)


def refused(key: str, *change: str, reason: str = "") -> Case:
    """An option that a run cannot change on the way."""
    return Case(key, change, Effect.REFUSED, alters=False, reason=reason)


SECOND = "discriminators.double={type: PatchDiscriminator, channels: 4, layers: 1}"
NAMED = "losses.double={type: AdversarialLoss, mode: lsgan, critic: double}"
PAIRS = "{type: PairedImages, blurred: {moved}, sharp: {sharp}, crop: 32, batch_size: 2}"
NOT_ITS_WEIGHTS = "the checkpoint's weights do not fit"
NOT_ITS_STATE = "it asks for another state than the checkpoint holds"

CASES = (
    same("name", "name=other"),
    refused("seed", "seed=4"),
    same("plugins", "plugins=[{plugin}]"),
    same("paper", "paper={title: A Paper, published: {gopro: {psnr: 30.1}}}"),
    refused("generator.type", "generator={type: DSCNet}"),
    refused("generator.channels", "generator.channels=8", reason=NOT_ITS_WEIGHTS),
    Case("generator.dropout", ("generator.dropout=0.1",)),
    Case(
        "generator.encoder_weights", ("generator.encoder_weights=none.pth",), Effect.NONE, False, base=LARGE, slow=True
    ),
    Case("generator.download", ("generator.download=true",), Effect.NONE, False, base=LARGE, slow=True),
    Case("generator.init", ("generator.init=glorot",), Effect.NONE, False),
    refused("discriminators.double", SECOND, NAMED),
    refused("discriminators.critic", "discriminators.critic=null", "losses.adversarial=null"),
    refused("discriminators.critic.type", "discriminators.critic={type: DoubleScaleDiscriminator}"),
    refused("discriminators.critic.layers", "discriminators.critic.layers=1", reason=NOT_ITS_WEIGHTS),
    Case("discriminators.critic.padding", ("discriminators.critic.padding=2",)),
    Case("discriminators.critic.init", ("discriminators.critic.init=pytorch",), Effect.NONE, False),
    Case("losses.image.weight", ("losses.image.weight=0.01",)),
    Case("losses.image.type", ("losses.image={type: MSELoss}",)),
    Case("losses.image.pred", ("losses.image.pred=sobel(image)", "losses.image.target=sobel(sharp)")),
    Case("losses.image.target", ("losses.image.target=blurred",)),
    Case("losses.image.start", ("losses.image.start=100",)),
    Case("losses.image.end", ("losses.image.end=2",)),
    Case("losses.edges", ("losses.edges={type: L1Loss, pred: sobel(image), target: sobel(sharp)}",)),
    Case("losses.image", ("losses.image=null",)),
    Case("losses.adversarial.mode", ("losses.adversarial.mode=hinge",)),
    same("restorer.type", "plugins=[{plugin}]", "restorer.type=ResumedRestorer"),
    Case("optimizers.generator.lr", ("optimizers.generator.lr=1e-4",)),
    Case("optimizers.generator.betas", ("optimizers.generator.betas=[0.5, 0.9]",)),
    Case("optimizers.generator.weight_decay", ("optimizers.generator.weight_decay=0.1",)),
    Case("optimizers.critic", ("optimizers.critic={type: Adam, lr: 1e-4}",)),
    refused("optimizers.generator.type", "optimizers.generator={type: SGD, lr: 1e-3}"),
    refused("optimizers.critic.type", "optimizers.critic={type: SGD, lr: 1e-3}", reason=NOT_ITS_STATE),
    refused("optimizers.generator.amsgrad", "optimizers.generator.amsgrad=true", reason=NOT_ITS_STATE),
    Case("schedulers", ("schedulers=[{type: MultiStepLR, milestones: [2, 4]}]",)),
    Case("datasets.train.type", ("plugins=[{plugin}]", "datasets.train={type: ResumedSet, batch_size: 2}")),
    same("datasets.train.blurred", "datasets.train.blurred={moved}"),
    Case("datasets.train.crop", ("datasets.train.crop=24",)),
    Case("datasets.train.augment", ("datasets.train.augment=[]",)),
    Case("datasets.train.batch_size", ("datasets.train.batch_size=1",)),
    Case("datasets.train.limit", ("datasets.train.limit=6",)),
    Case("datasets.train.repeat", ("datasets.train.repeat=2",)),
    Case("datasets.train.1", ("plugins=[{plugin}]", f"datasets.train=[{PAIRS}, {{type: ResumedSet}}]")),
    Case(
        "datasets.train.0.weight",
        (
            "plugins=[{plugin}]",
            f"datasets.train=[{PAIRS}, {{type: ResumedSet, weight: 3}}]",
            "datasets.train.0.weight=1",
        ),
    ),
    same("datasets.train.workers", "datasets.train.workers=1"),
    same("datasets.train.prefetch", "datasets.train.prefetch=1", slow=True),
    same("datasets.train.persistent", "datasets.train.persistent=false", slow=True),
    same("datasets.train.cache", "datasets.train.cache=true"),
    same("datasets.val.pairs.limit", "datasets.val.pairs.limit=1"),
    same("datasets.val.pairs", "datasets.val.pairs=null"),
    same("datasets.test.pairs", "datasets.test.pairs={type: SamplePairs, split: test, protocol: gopro-matlab-v1}"),
    Case("train.epochs", ("train.epochs=2",)),
    Case("train.iters", ("train.iters=40",)),
    Case("train.critic_steps", ("train.critic_steps=3",)),
    Case("train.critic_batches", ("train.critic_batches=own", "train.critic_steps=2")),
    Case("train.order", ("train.order=parallel", "train.critic_steps=1")),
    Case("train.critic_warmup", ("train.critic_warmup=100",)),
    Case("train.freeze", ("train.freeze={encoder: 9}",)),
    Case("train.clip_grad_norm", ("train.clip_grad_norm=1e-6",)),
    Case("train.precision", ("train.precision=bf16",)),
    Case("train.accumulate", ("train.accumulate=2",)),
    Case("train.compile", ("train.compile=true",), alters=None, slow=True),
    Case("train.channels_last", ("train.channels_last=true",), alters=None),
    Case("train.fast", ("train.fast=auto",), alters=None),
    Case("train.ema.decay", ("train.ema.decay=0.5",)),
    Case("train.ema.warmup", ("train.ema.warmup=true",)),
    same("train.ema", "train.ema=null"),
    same("train.checkpoint_every", "train.checkpoint_every=1"),
    same("train.keep", "train.keep=1", slow=True),
    same("val.every", "val.every=2"),
    same("val.protocol", "val.protocol=gopro-float-v1"),
    same("val.inference", "val.inference=x8"),
    same("logging.every", "logging.every=3", slow=True),
    same("logging.tensorboard", "logging.tensorboard=true", slow=True),
    same("logging.samples", "logging.samples=1"),
    same("logging.outputs", "logging.samples=1", "logging.outputs=[returned]"),
    same("logging.curves", "logging.curves=true", slow=True),
    same("hooks", "hooks=[{type: EmptyCacheHook}]", slow=True),
    Case("engine.randomness.diff_rank_seed", ("engine.randomness={diff_rank_seed: false}",), Effect.NONE, False),
    same("engine.randomness.deterministic", "engine.randomness={deterministic: true}", slow=True),
    Case("engine.auto_scale_lr", ("engine.auto_scale_lr={enable: true, base_batch_size: 4}",)),
)

NOT_TRIED = {
    "logging.wandb": "wandb is not among what the tests install",
}
"""Keys without a case, and why."""


def table() -> str:
    """Returns the table of the docs."""
    words = {Effect.APPLIED: "applied", Effect.REFUSED: "**refused**", Effect.NONE: "without effect"}
    lines = ["| option | `--resume` with another value | |", "| --- | --- | --- |"]
    for case in CASES:
        lines.append(f"| `{case.key}` | {words[case.effect]} | {case.words} |")
    return "\n".join(lines)
