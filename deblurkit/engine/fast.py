"""The settings that make a training's steps fast and leave its loss curve as it is, but for rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils import parametrize

if TYPE_CHECKING:
    from deblurkit.engine.step import Parts
    from deblurkit.options.schema import Component, Options

_FUSED = ("Adam", "AdamW", "SGD", "Adagrad")  # torch's optimizers that update all weights in one call
_OTHERWISE = ("fused", "foreach", "capturable", "differentiable")  # an option that names one has chosen for itself


@dataclass(frozen=True)
class Fast:
    """The settings of a run's steps on its device.

    Attributes:
        channels_last: Whether tensors lie in channels-last memory order.
        compile: Whether ``torch.compile`` compiles the networks.
        fused: Whether optimizers update all weights in one call, where they can.
        joined: The critics that judge sharp and restored images in one batch.
        words: The choice and its reasons, for the log; empty where nothing was to choose.
    """

    channels_last: bool
    compile: bool
    fused: bool = False
    joined: frozenset[str] = frozenset()
    words: str = ""


def choose(options: Options, parts: Parts, device: torch.device) -> Fast:
    """Returns the settings that the options name, and with ``train.fast: auto`` those that are fast besides.

    They follow from options, networks and machine by rule and not by a timing: a resumed run chooses what it chose
    when it began, and so goes on to the bit.
    """
    train = options.train
    if not train.fast:
        return Fast(train.channels_last, train.compile)
    chosen: list[str] = []
    channels_last, why = _channels_last(options, parts, device)
    chosen.append(f"{'channels last' if channels_last else 'no channels last'} ({why})")
    # Compiling takes minutes on a CPU, and not every network can be: whoever trains for days asks for it by its key.
    chosen.append("torch.compile, as train.compile says" if train.compile else "no torch.compile unless train.compile")
    configs = [options.optimizer_for(name) for name in ("generator", *parts.critics)]
    kinds = {config["type"] for config in configs if fused_arguments(config, fused=True) != config}
    fused = device.type in ("cpu", "cuda") and bool(kinds)
    if fused:
        chosen.append(f"fused {', '.join(sorted(kinds))}")
    joined = []
    for name, critic in parts.critics.items():
        mixing = what_mixes(critic)
        if mixing is None:
            joined.append(name)
            chosen.append(f"{name}: sharp and restored images in one batch")
        else:
            chosen.append(f"{name}: sharp and restored images apart, as it has a {mixing}")
    words = f"train.fast: auto chose {'; '.join(chosen)}"
    return Fast(channels_last, train.compile, fused, frozenset(joined), words)


def what_mixes(critic: nn.Module) -> str | None:
    """Returns the layer by which images of a batch, or calls one after the other, have a say in each other's logits.

    ``None``: two batches can be judged as one. In evaluation no critic may look at an image's neighbours
    (``deblurkit.testing``), so only what training does besides is looked for: statistics of a batch, running ones,
    random numbers, the power iteration of spectral norms, and code that is neither torch's nor ours.
    """
    for module in critic.modules():
        kind = type(module)
        running = isinstance(module, _NormBase) and module.track_running_stats
        if isinstance(module, (_BatchNorm, _DropoutNd)) or running:
            return kind.__name__
        if parametrize.is_parametrized(module):  # type: ignore[no-untyped-call]
            return "spectral norm"
        if module._forward_pre_hooks:  # as the spectral norm of torch's older kind
            return f"{kind.__name__} with a hook"
        if kind.__module__.split(".")[0] not in ("torch", "deblurkit"):
            return f"{kind.__name__} of a plugin"
    return None


def fused_arguments(config: Component, fused: bool) -> Component:
    """Returns an optimizer's config, which asks for one call for all weights where it can and nothing else is said."""
    if not fused or config["type"] not in _FUSED or any(key in config for key in _OTHERWISE):
        return config
    return {**config, "fused": True}


def compile_networks(parts: Parts, fast: Fast) -> None:
    """Compiles the networks in place, where that is chosen.

    Not a critic whose gradient is penalised: torch.compile has no second derivative.
    """
    if not fast.compile:
        return
    parts.generator.compile()
    penalised = {term.critic for term in parts.terms if term.traits.penalty is not None}
    for name, critic in parts.critics.items():
        if name not in penalised:
            critic.compile()


def _channels_last(options: Options, parts: Parts, device: torch.device) -> tuple[bool, str]:
    """Returns whether to, and why: measured networks with instance norms are slower so, as those copy twice a call."""
    if options.train.channels_last:
        return True, "as train.channels_last says"
    if device.type == "cuda" and options.train.precision == "fp32":
        return False, "a GPU's fp32 convolutions do not gain by it"
    for network in (parts.generator, *parts.critics.values()):
        if any(isinstance(module, _InstanceNorm) for module in network.modules()):
            return False, "instance norms copy what lies so"
    return True, "no instance norms"
