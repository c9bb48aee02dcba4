"""The whole state of a training as plain types and tensors, taken from a runner and put back into one."""

from __future__ import annotations

import platform
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_rank
from torch import nn

import deblurkit
from deblurkit.checkpoint import FORMAT, CheckpointError

if TYPE_CHECKING:
    from deblurkit.engine.runner import TrainingRunner

_LENGTHS = ("begin", "end", "by_epoch", "T_max", "total_iters")
"""What a scheduler takes from the options, not from a checkpoint: a run may be made longer and resumed."""


def capture(runner: TrainingRunner) -> dict[str, Any]:
    """Return all that a resumed run needs; collective in a distributed run, since each process has random streams."""
    restorer = runner.restorer
    optimizers = dict(runner.optim_wrapper.items())
    return {
        "format": FORMAT,
        "generator": restorer.generator.state_dict(),
        "ema": restorer.ema.state_dict() if restorer.ema is not None else None,
        "critics": {name: critic.state_dict() for name, critic in restorer.critics.items()},
        "losses": {name: _own_state(loss) for name, loss in restorer.losses.items()},
        "optimizers": {name: _plain(wrapper.optimizer.state_dict()) for name, wrapper in optimizers.items()},
        "schedulers": {
            name: [_plain(scheduler.state_dict()) for scheduler in schedulers]
            for name, schedulers in runner.param_schedulers.items()
        },
        "scalers": {name: _plain(wrapper.scaler.state_dict()) for name, wrapper in optimizers.items()},
        "rng": all_gather_object(random_state()),
        "position": {"iteration": runner.iter, "epoch": runner.epoch},
        "best": dict(runner.best),
        "trained_on": runner.train_loop.dataloader.record.facts,
        "data_notes": runner.train_loop.dataloader.record.notes,
        "options": runner.options.to_dict(),
        "versions": {
            "deblurkit": deblurkit.__version__,
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
    }


def apply(runner: TrainingRunner, state: dict[str, Any], where: str) -> None:
    """Put a captured state back.

    Raises:
        CheckpointError: It is of other networks or optimizers than the runner has.
    """
    restorer = runner.restorer
    optimizers = dict(runner.optim_wrapper.items())
    _same_names(where, "critics", state["critics"], restorer.critics)
    _same_names(where, "optimizers", state["optimizers"], optimizers)
    try:
        restorer.generator.load_state_dict(state["generator"])
        if restorer.ema is not None:
            restorer.ema.load_state_dict(state["ema"] if state["ema"] is not None else state["generator"])
        for name, critic in restorer.critics.items():
            critic.load_state_dict(state["critics"][name])
        for name, loss in restorer.losses.items():
            loss.load_state_dict(state["losses"].get(name, {}), strict=False)
        for name, wrapper in optimizers.items():
            wrapper.optimizer.load_state_dict(state["optimizers"][name])
            wrapper.scaler.load_state_dict(state["scalers"][name])
            for scheduler, saved in zip(runner.param_schedulers[name], state["schedulers"][name], strict=True):
                scheduler.load_state_dict({key: value for key, value in saved.items() if key not in _LENGTHS})
    except (RuntimeError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{where}: does not fit these options: {error}; start anew, or take its weights alone with --init-from"
        ) from None
    runner.train_loop.dataloader.record.go_on_from(state)
    runner.best = dict(state["best"])
    own = state["rng"][get_rank()] if get_rank() < len(state["rng"]) else None
    if own is not None:
        set_random_state(own)


def _same_names(where: str, section: str, saved: Mapping[str, Any], present: Mapping[str, Any]) -> None:
    if set(saved) != set(present):
        raise CheckpointError(
            f"{where}: holds the {section} {sorted(saved)}, the options name {sorted(present)}; start anew, or take "
            "its weights alone with --init-from"
        )


def _own_state(loss: nn.Module) -> dict[str, Any]:
    """Return a loss's buffers: its parameters are frozen helpers such as VGG, which no checkpoint holds."""
    frozen = {name for name, _ in loss.named_parameters()}
    return {name: value for name, value in loss.state_dict().items() if name not in frozen}


def _plain(value: Any) -> Any:
    """Turn numpy scalars into Python's; leave what a checkpoint may hold."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def random_state() -> dict[str, Any]:
    """Return the state of Python's, numpy's and torch's global generators."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": _plain(random.getstate()),
        "numpy": [
            str(kind),
            torch.from_numpy(np.asarray(keys, dtype=np.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Put the global generators back to what :func:`random_state` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
