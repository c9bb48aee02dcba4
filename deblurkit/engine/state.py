"""The whole state of a training as plain types and tensors: taken from a runner, and put back where one is built."""

from __future__ import annotations

import platform
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_rank

import deblurkit
from deblurkit.checkpoint import FORMAT, CheckpointError, compare, fill
from deblurkit.contracts import Restorer
from deblurkit.engine.optim import NetworkOptimizer, kept_of_a_weight, plain
from deblurkit.errors import one_line
from deblurkit.plugins import package_of

if TYPE_CHECKING:
    from deblurkit.engine.runner import TrainingRunner
    from deblurkit.options.schema import Options


def capture(runner: TrainingRunner) -> dict[str, Any]:
    """Returns all that a resumed run needs; collective, since each process has random streams and pools of its own."""
    restorer, optimizers = runner.restorer, dict(runner.optim_wrapper.items())
    # Of a loss its buffers alone: its parameters are those of frozen helpers such as VGG, which no checkpoint holds.
    losses: dict[str, dict[str, Any]] = {}
    for name, loss in restorer.losses.items():
        losses[name] = dict(loss.state_dict())
        for frozen, _ in loss.named_parameters():
            losses[name].pop(frozen, None)
    return {
        "format": FORMAT,
        "generator": restorer.generator.state_dict(),
        "ema": None if restorer.ema is None else restorer.ema.state_dict(),
        "critics": {name: critic.state_dict() for name, critic in restorer.critics.items()},
        "losses": all_gather_object(losses),
        "optimizers": {name: optimizer.state_dict() for name, optimizer in optimizers.items()},
        "scalers": {name: optimizer.scaler_state() for name, optimizer in optimizers.items()},
        "rng": all_gather_object(random_state()),
        # No schedules: the rate of a step follows from the options and the position.
        **runner.train_loop.state_dict(),
        **runner.state_dict(),
        **runner.train_loop.dataloader.record.state_dict(),
        "options": runner.options.to_dict(),
        "generator_package": package_of(type(restorer.generator)),
        "versions": {
            "deblurkit": deblurkit.__version__,
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
    }


def restore_networks(restorer: Restorer, state: dict[str, Any], where: str) -> None:
    """Puts the weights of generator and critics and the losses' own state back; the EMA hook takes up the average.

    Raises:
        CheckpointError: It holds other networks.
    """
    _same_names(where, "critics", state["critics"], restorer.critics)
    saved = {"generator": state["generator"], **state["critics"]}
    for name, network in restorer.networks().items():
        fill(network, saved[name], f"{where}: its {name} does not fit these options; {_WAY_OUT}")
    if state["ema"] is not None:
        differences = compare(restorer.generator, state["ema"])
        if differences:
            raise CheckpointError(f"{where}: its averaged generator does not fit these options: {differences[0]}")
    losses = state["losses"]
    if isinstance(losses, list):  # one for each process; older checkpoints hold the first one's alone
        losses = losses[get_rank() % len(losses)]
    for name, loss in restorer.losses.items():
        try:
            loss.load_state_dict(dict(losses.get(name, {})), strict=False)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{where}: the state of losses.{name} does not fit these options: {one_line(error)}; {_WAY_OUT}"
            ) from None


def restore_optimizers(
    options: Options, optimizers: Mapping[str, NetworkOptimizer], state: dict[str, Any], where: str
) -> None:
    """Puts what the optimizers and scalers remember back; their settings stay those of the options.

    Raises:
        CheckpointError: It is of other optimizers.
    """
    _same_names(where, "optimizers", state["optimizers"], optimizers)
    for name, optimizer in optimizers.items():
        config = options.optimizer_for(name)
        kind = config["type"]
        try:
            optimizer.take_up(state["optimizers"][name], state["scalers"].get(name, {}), kept_of_a_weight(config))
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{where}: its optimizer of {name} does not fit {kind} with these options: "
                f"{one_line(error)}; {_WAY_OUT}"
            ) from None


_WAY_OUT = "start anew, or take its weights alone with --init-from"


def _same_names(where: str, section: str, saved: Mapping[str, Any], present: Mapping[str, Any]) -> None:
    if set(saved) != set(present):
        raise CheckpointError(
            f"{where}: holds the {section} {sorted(saved)}, the options name {sorted(present)}; {_WAY_OUT}"
        )


def random_state() -> dict[str, Any]:
    """Returns the state of Python's, numpy's and torch's global generators."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    words = torch.from_numpy(np.asarray(keys, dtype=np.int64))
    return {
        "python": plain(random.getstate()),
        "numpy": [str(kind), words, int(position), int(has_gauss), float(gauss)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Puts the global generators back to what :func:`random_state` returned."""
    # A checkpoint holds lists; the generators ask for what they gave, tuples and 32-bit words.
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    # With another number of GPUs each keeps the stream that it began with.
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
