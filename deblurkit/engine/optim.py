"""One optimizer a network, with its scaler and clipping, and the schedules that MMEngine steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIMIZERS, PARAM_SCHEDULERS
from torch import Tensor, nn

from deblurkit.compat import optimizers_without_compiler
from deblurkit.contracts import needs_scores
from deblurkit.engine.fast import fused_arguments
from deblurkit.errors import UserError

if TYPE_CHECKING:
    from mmengine.optim import _ParamScheduler

    from deblurkit.options.schema import Options

Validation = tuple[int, dict[str, float]]
"""The epochs that were complete at a validation, and its scores."""

Schedules = dict[str, list["_ParamScheduler"]]
"""MMEngine's schedulers of each network."""


class NetworkOptimizer(OptimWrapper):
    """A network's optimizer, its gradient scaler (fp16 only) and its clipping.

    MMEngine's ``update_params`` is not for several networks: the restorer calls ``backward`` and ``step`` itself.

    ``clip_grad_norm`` is the largest allowed norm of all gradients together; ``None`` clips nothing.

    Attributes:
        skipped: Steps that the scaler has skipped since the run's beginning, since a gradient was not finite.
        skipped_in_a_row: Those of them since the last step that was taken.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, clip_grad_norm: float | None, scaler: torch.amp.GradScaler
    ) -> None:
        super().__init__(optimizer)
        self.clip_grad_norm = clip_grad_norm
        self.scaler = scaler
        self.skipped = self.skipped_in_a_row = 0

    def zero_grad(self) -> None:  # type: ignore[override]
        """Forgets all gradients; the optimizer's own method takes ten times as long for profiling itself."""
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def backward(self, loss: Tensor) -> None:  # type: ignore[override]
        """Adds the gradients of ``loss``."""
        self.scaler.scale(loss).backward()

    def state_dict(self) -> dict[str, Any]:
        """Returns what the optimizer remembers, in plain types; of its scaler see :meth:`scaler_state`."""
        return plain(self.optimizer.state_dict())

    def scaler_state(self) -> dict[str, Any]:
        """Returns the scaler's state and its skipped steps, in plain types; empty where there is no scaling."""
        if not self.scaler.is_enabled():
            return {}
        counts = {"skipped": self.skipped, "skipped_in_a_row": self.skipped_in_a_row}
        return {**plain(self.scaler.state_dict()), **counts}

    def take_up(self, saved: dict[str, Any], scaler: dict[str, Any], example: dict[str, Any] | None) -> None:
        """Takes the averages that a checkpoint holds of the gradients; rates and settings stay those of the options.

        Args:
            saved: The optimizer's state dict.
            scaler: From :meth:`scaler_state`; empty where there was no scaling, and then it starts afresh. Older
                checkpoints hold no counts.
            example: What this optimizer keeps of a 2x2 weight (:func:`kept_of_a_weight`); ``None``: not known.

        Raises:
            ValueError: The state is of another optimizer, or of other weights.
        """
        settings = [dict(group) for group in self.optimizer.param_groups]
        # A fused optimizer counts its steps on the device: load_state_dict asks the saved settings whether it is one.
        groups = []
        for group, values in zip(saved["param_groups"], settings, strict=True):
            groups.append({**group, "fused": values["fused"]} if "fused" in values else group)
        self.optimizer.load_state_dict({**saved, "param_groups": groups})  # which takes the saved settings, too
        for group, values in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(values)
        for weight, kept in self.optimizer.state.items():
            if example is None or not kept:
                continue
            if set(kept) != set(example):
                raise ValueError(f"with these settings it keeps {sorted(example)} of a weight, got {sorted(kept)}")
            for name, value in example.items():
                same_shape = isinstance(value, Tensor) and value.dim() == 2
                if same_shape and not (isinstance(kept[name], Tensor) and kept[name].shape == weight.shape):
                    raise ValueError(f"its {name} is not of its weight's shape, {tuple(weight.shape)}")
        if self.scaler.is_enabled() and scaler:
            self.scaler.load_state_dict(scaler)
            self.skipped = int(scaler.get("skipped", 0))
            self.skipped_in_a_row = int(scaler.get("skipped_in_a_row", 0))

    def step(self, measure: bool = False) -> Tensor | None:  # type: ignore[override]
        """Clips and applies the gradients; returns their norm before that, where it clips or is to ``measure``."""
        norm = None
        if measure or self.clip_grad_norm is not None:
            self.scaler.unscale_(self.optimizer)  # the limit is meant for the gradients of the loss itself
            parameters = [p for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
            norm = nn.utils.get_total_norm([p.grad for p in parameters])
            if self.clip_grad_norm is not None:
                nn.utils.clip_grads_with_norm_(parameters, self.clip_grad_norm, norm)
        # Without fp16 the scaler is off, steps the optimizer as it is, and its scale is always 1.
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.scaler.get_scale() < scale:  # it is lowered after a step that was skipped, and then alone
            self.skipped += 1
            self.skipped_in_a_row += 1
        else:
            self.skipped_in_a_row = 0
        return norm


def plain(value: object) -> Any:
    """Returns a state with Python's numbers and lists for numpy's scalars and tuples, which no checkpoint may hold."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def kept_of_a_weight(config: dict[str, Any]) -> dict[str, Any] | None:
    """Returns the state that an optimizer of the options keeps of a 2x2 weight; ``None``: it takes no plain step."""
    arguments = dict(config)
    weight = nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.zeros(2, 2)
    optimizer = OPTIMIZERS.module_dict[arguments.pop("type")]([weight], **arguments)
    try:
        optimizer.step()
    except (TypeError, RuntimeError):  # LBFGS asks for a closure, SparseAdam for sparse gradients
        return None
    return dict(optimizer.state[weight])


def build_optimizers(
    options: Options, networks: dict[str, nn.Module], device: torch.device, fused: bool = False
) -> dict[str, NetworkOptimizer]:
    """Returns the optimizer of each named network, as ``options.optimizers`` say; ``fused``: in one call, if it can.

    Raises:
        UserError: An optimizer refuses its arguments.
    """
    built = {}
    for name, network in networks.items():
        cfg = dict(fused_arguments(options.optimizer_for(name), fused))
        kind = cfg.pop("type")
        try:
            with optimizers_without_compiler():  # what comes first is a log line, not a second of imports
                optimizer = OPTIMIZERS.module_dict[kind](network.parameters(), **cfg)
        except (TypeError, ValueError) as error:
            raise UserError(f"optimizers of {name}: {kind}: {error}") from error
        scaler = torch.amp.GradScaler(device.type, enabled=options.train.precision == "fp16")
        built[name] = NetworkOptimizer(optimizer, options.clip_grad_norm_of(name), scaler)
    return built


def build_schedulers(options: Options, optimizers: dict[str, NetworkOptimizer]) -> Schedules:
    """Returns each network's schedulers, empty lists included.

    They count epochs where ``train.epochs`` is set, else iterations; an ``end`` that is not given is the run's own.

    Raises:
        UserError: A scheduler refuses its arguments.
    """
    by_epoch = options.train.epochs is not None
    built: Schedules = {name: [] for name in optimizers}
    for index, entry in enumerate(options.schedulers):
        cfg = dict(entry)
        kind, of = cfg.pop("type"), cfg.pop("of", None)
        scheduler = PARAM_SCHEDULERS.module_dict[kind]
        cfg.setdefault("end", options.train.epochs if by_epoch else options.train.iters)
        for name in optimizers if of is None else [of]:
            try:
                built[name].append(scheduler(optimizer=optimizers[name], by_epoch=by_epoch, **cfg))
            except (TypeError, ValueError, AssertionError) as error:
                raise UserError(f"schedulers.{index}: {kind}: {error}") from error
            # MMEngine warns of a schedule that moves before the first update, as it may in a warm-up or at a resume.
            optimizers[name]._global_step = 0
    return built


def advance(schedulers: Sequence[_ParamScheduler], steps: int, validations: Sequence[Validation]) -> None:
    """Moves a network's new schedulers to where those of an uninterrupted run are.

    Most of MMEngine's schedules multiply the rate that they find, so the rate of a step follows from all steps before
    it. They are gone through once more with the schedules of today: what an earlier part of the run, which may have
    been meant to be shorter, made of the rate has no say.

    ``schedulers`` have not been stepped yet; those that look at scores see all ``validations`` so far again. ``steps``
    are the epochs or iterations done, whichever they count.
    """
    scored: dict[int, list[dict]] = {}
    for epoch, scores in validations:
        scored.setdefault(epoch, []).append(scores)
    watching = [scheduler for scheduler in schedulers if needs_scores(scheduler)]
    for step in range(steps + 1):  # one more: a validation behind the last step has been seen, too
        for scores in scored.get(step, []):
            for scheduler in watching:
                scheduler.step(scores)
        if step < steps:
            for scheduler in schedulers:
                scheduler.step()


def scale_rates(options: Options, optimizers: dict[str, NetworkOptimizer], batch: int) -> list[str]:
    """Scales every learning rate by ``batch / engine.auto_scale_lr.base_batch_size``, where that is enabled.

    Returns what the log must say. ``batch`` is the effective one.
    """
    settings = options.engine.get("auto_scale_lr") or {}
    if not settings.get("enable", False):
        return []
    ratio = batch / settings["base_batch_size"]
    for wrapper in optimizers.values():
        for group in wrapper.optimizer.param_groups:
            group["lr"] *= ratio
    return [f"engine.auto_scale_lr: learning rates times {ratio:g}, for an effective batch of {batch}"]
