"""The default training step: any paired GAN of one generator and any number of critics, or none."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from deblurkit.device import Precision, autocast
from deblurkit.engine.finite_guard import FiniteGuard
from deblurkit.engine.loss_terms import Critic, Term, mean
from deblurkit.engine.processes import share_statistics
from deblurkit.errors import UserError
from deblurkit.inference.forward import to_value_range
from deblurkit.registry import RESTORERS

Batch = dict[str, Any]
Named = dict[str, Any]


@dataclass
class Parts:
    """What the engine gives a restorer: the networks, the terms and the settings of the step."""

    generator: nn.Module
    critics: dict[str, nn.Module] = field(default_factory=dict)
    terms: list[Term] = field(default_factory=list)
    critic_steps: int = 1
    critic_batches: str = "same"
    order: str = "alternating"
    critic_warmup: int = 0
    accumulate: int = 1
    precision: Precision = "fp32"
    channels_last: bool = False


@RESTORERS.register_module()
class GANRestorer(nn.Module):
    """Updates the critics ``critic_steps`` times, then the generator once.

    With ``order: parallel`` both take one step from the same weights: the generator judges by the critics as they were
    before their step, as MADN's Algorithm 1 has it.

    The whole step runs in the generator's value range: the batch is mapped once at entry. Without critics it is plain
    regression.

    Attributes:
        iteration: Updates of the generator done so far; the engine sets it before each step.
        measure: Whether this step is logged, and so measures gradients; the engine sets it before each step.
        ema: The averaged generator, or ``None``; the EMA hook fills it.
        guard: Stops the run on a value that is not finite.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.generator = parts.generator
        self.critics = dict(parts.critics)  # a ModuleDict would refuse names such as "double" or "values"
        self.losses = {term.name: term.loss for term in parts.terms}
        held: list[Any] = [*self.critics.values(), *self.losses.values()]
        self.held = nn.ModuleList(held)
        self.parts = parts
        self.terms = parts.terms
        self.value_range: tuple[float, float] = getattr(parts.generator, "value_range", (0.0, 1.0))  # type: ignore[assignment]
        for module in held:
            if hasattr(module, "value_range"):
                module.value_range = self.value_range
        self.ema: nn.Module | None = None
        self.guard = FiniteGuard()
        self.iteration = 0
        self.measure = False
        self._weight = next(parts.generator.parameters())
        self._calls: dict[str, Any] = {"generator": self.generator, **parts.critics}
        self._statistics: list[Tensor] = []  # buffers that the processes of a distributed run must share
        self._critic_weights = [w for critic in self.critics.values() for w in critic.parameters() if w.requires_grad]

    @property
    def generator_batches(self) -> int:
        """Batches that the generator takes in an iteration."""
        return self.parts.accumulate

    @property
    def critic_batches(self) -> int:
        """Batches that the critics draw for themselves in an iteration; 0: they see the generator's."""
        own = self.critics and self.parts.critic_batches == "own"
        return self.parts.accumulate * self.parts.critic_steps if own else 0

    @property
    def device(self) -> torch.device:
        """Where the generator lives."""
        return self._weight.device

    def networks(self) -> dict[str, nn.Module]:
        """Returns the networks that are trained, by the name of their optimizer."""
        return {"generator": self.generator, **self.critics}

    def distribute(self) -> None:
        """Wraps each trained network for gradient exchange between processes, each on its own.

        Weights that no active term depends on get no gradient, as in a single process: the wrapper looks for them, and
        sees only those outputs of the generator that a term compares.
        """
        from torch.nn.parallel import DistributedDataParallel

        ids = [self.device.index] if self.device.type == "cuda" else None
        known = inspect.signature(DistributedDataParallel).parameters
        new, old = "forward_sync_buffers", "broadcast_buffers"  # since torch 2.13, and before
        buffers: dict[str, Any] = {new if new in known else old: False}
        self._statistics = []
        for name, network in self.networks().items():
            kept = network.state_dict(keep_vars=True)
            self._statistics += [b for key, b in network.named_buffers() if key in kept and b.is_floating_point()]
            if any(p.requires_grad for p in network.parameters()):
                called = _Compared(network, self._compared) if name == "generator" else network
                self._calls[name] = DistributedDataParallel(
                    called, device_ids=ids, find_unused_parameters=True, **buffers
                )

    def _compared(self) -> set[str]:
        """Returns the names that the active terms compare or are conditioned on."""
        names: set[str] = set()
        for term in self.terms:
            if term.active(self.iteration):
                names |= {term.pred.name, term.target.name, getattr(term.loss, "condition", None) or term.pred.name}
        return names

    def train_step(self, data: Sequence[Batch], optim_wrapper: Mapping[str, Any]) -> dict[str, Tensor]:
        """Does one iteration.

        Args:
            data: ``critic_batches`` batches, then ``generator_batches``; images ``(n, 3, h, w)`` in [0, 1].
            optim_wrapper: A :class:`~deblurkit.engine.optim.NetworkOptimizer` for each network.

        Returns:
            Scalars on the device: ``loss`` (the total that was backpropagated), ``term/NAME`` (each already weighted:
            they add up to ``loss``), ``critic/NAME``, ``penalty/TERM``; in a measured step also a critic's mean logits
            ``critic/NAME/sharp`` and ``critic/NAME/restored``, ``grad/TERM``, the norm of each weighted term's gradient
            at the generator's outputs, and ``grad_norm/NETWORK``.

        Raises:
            NonFiniteError: A value is not finite.
        """
        batches = [self._prepared(batch) for batch in data]
        critic_groups, group = self._grouped(batches)
        log: dict[str, Tensor] = {}
        warming = self.iteration < self.parts.critic_warmup
        named = None
        playing = [term for term in self.terms if term.critic is not None and term.active(self.iteration)]
        if playing:
            if len(batches) == 1 and not warming:
                named = self._restored(group[0])  # the critics' fakes and the generator's step share one forward
            self._update_critics(playing, critic_groups, named, optim_wrapper, log)
        if not warming:
            self._update_generator(group, named, optim_wrapper["generator"], log)
        if playing and self.parts.order == "parallel":
            self._step_critics(playing, critic_groups[-1], optim_wrapper, log)
        if self._statistics:
            share_statistics(self._statistics)
        return log

    def _prepared(self, batch: Batch) -> Batch:
        layout: dict[str, Any] = {"memory_format": torch.channels_last} if self.parts.channels_last else {}
        images = {
            name: to_value_range(image.to(self.device, non_blocking=True, **layout), self.value_range)
            for name, image in batch.items()
            if isinstance(image, Tensor)
        }
        return {**batch, **images}

    def _grouped(self, batches: list[Batch]) -> tuple[list[list[Batch]], list[Batch]]:
        size = self.parts.accumulate
        if len(batches) == size:
            return [batches] * self.parts.critic_steps, batches
        groups = [batches[start : start + size] for start in range(0, len(batches), size)]
        return groups[:-1], groups[-1]

    def _restored(self, batch: Batch) -> Named:
        """Returns the batch joined by the generator's outputs, in fp32; each its own node of the graph.

        So a term's gradient at an output holds nothing that came through another output.
        """
        with autocast(self.parts.precision, self.device.type):
            outputs = self._calls["generator"](batch["blurred"])
        if isinstance(outputs, Tensor):
            outputs = {"image": outputs}
        return {**batch, **{name: _map(_own_node, value) for name, value in outputs.items()}}

    def _critic_calls(self, raw: bool) -> dict[str, Critic]:
        """Returns the critics under autocast; ``raw`` ones exchange no gradients (the generator's step)."""

        def call(network: nn.Module) -> Critic:
            def judged(image: Tensor) -> Tensor | list[Tensor]:
                with autocast(self.parts.precision, self.device.type):
                    logits: Tensor | list[Tensor] = network(image)
                    return logits

            return judged

        return {name: call(self.critics[name] if raw else self._calls[name]) for name in self.critics}

    def _update_critics(
        self,
        playing: list[Term],
        groups: list[list[Batch]],
        named: Named | None,
        optimizers: Mapping[str, Any],
        log: dict[str, Tensor],
    ) -> None:
        """Steps the critics once a group; in a parallel order only their gradients are taken, and the step waits."""
        fakes: dict[int, Named] = {}  # by batch: the steps of one group see the same restored images
        if named is not None:
            fakes[id(groups[0][0])] = _detached(named)
        for group in groups:
            for batch in group:
                if id(batch) not in fakes:
                    with torch.no_grad():
                        fakes[id(batch)] = _detached(self._restored(batch))
            self._take_critic_gradients(playing, [fakes[id(batch)] for batch in group], optimizers, log)
            if self.parts.order == "alternating":
                self._step_critics(playing, group, optimizers, log)

    def _take_critic_gradients(
        self, playing: list[Term], group: list[Named], optimizers: Mapping[str, Any], log: dict[str, Tensor]
    ) -> None:
        names = _critics_of(playing)
        for name in names:
            optimizers[name].zero_grad()
        logs: list[dict[str, Tensor]] = []
        for number, named in enumerate(group, 1):
            logs.append({})
            with self._exchanging(names, number == len(group)):
                for name, total in self._critic_totals(playing, named, logs[-1]).items():
                    optimizers[name].backward(_share(total, group))
        log.update(_means(logs))

    def _step_critics(
        self, playing: list[Term], group: list[Batch], optimizers: Mapping[str, Any], log: dict[str, Tensor]
    ) -> None:
        for name in _critics_of(playing):
            norm = optimizers[name].step(self.measure)
            if norm is not None:
                log[f"grad_norm/{name}"] = norm
                self._watch_norm(group[-1], name, norm)
        for term in playing:
            self._clip_weights(term)

    def _critic_totals(self, terms: list[Term], named: Named, log: dict[str, Tensor]) -> dict[str, Tensor]:
        """Returns each critic's total, after the guard has seen it; log this batch's values."""
        calls = self._critic_calls(raw=False)
        totals: dict[str, Tensor] = {}
        for term in terms:
            name = str(term.critic)
            value, *logits = term.critic_value(named, calls)
            if self.measure:
                for side, items in zip(("sharp", "restored"), logits, strict=True):
                    log[f"critic/{name}/{side}"] = mean(item.detach().mean() for item in items)
            penalty = term.penalty(named, self._calls)  # fp32, whatever the step's precision
            if penalty is not None:
                log[f"penalty/{term.name}"] = penalty.detach()
                value = value + penalty
            totals[name] = totals[name] + value if name in totals else value
        watched = {f"critic/{name}": total.detach() for name, total in totals.items()}
        log.update(watched)
        self.guard.watch(self.iteration + 1, named["key"], watched)
        return totals

    @torch.no_grad()
    def _clip_weights(self, term: Term) -> None:
        limit = getattr(term.loss, "weight_clip", None)
        if limit is not None:
            for parameter in self.critics[str(term.critic)].parameters():
                parameter.clamp_(-limit, limit)

    def _update_generator(
        self, group: list[Batch], named: Named | None, optimizer: Any, log: dict[str, Tensor]
    ) -> None:
        optimizer.zero_grad()
        logs: list[dict[str, Tensor]] = []
        with self._frozen_critics():
            for number, batch in enumerate(group, 1):
                logs.append({})
                with self._exchanging(["generator"], number == len(group)):
                    current = named if named is not None else self._restored(batch)
                    optimizer.backward(_share(self._generator_total(current, logs[-1]), group))
        log.update(_means(logs))
        norm = optimizer.step(self.measure)
        if norm is not None:
            log["grad_norm/generator"] = norm
            self._watch_norm(group[-1], "generator", norm)

    def _generator_total(self, named: Named, log: dict[str, Tensor]) -> Tensor:
        """Returns the total of the active terms, after the guard has seen each; log this batch's values."""
        calls = self._critic_calls(raw=True)
        values: dict[str, Tensor] = {}
        for term in self.terms:
            if term.active(self.iteration):
                with autocast(self.parts.precision, self.device.type) if term.critic is None else nullcontext():
                    values[term.name] = term.weight * term.generator_value(named, calls).float()
        if not values:
            raise UserError(f"losses: no term counts in iteration {self.iteration} (counted from 0): see start and end")
        total = functools.reduce(torch.add, values.values())
        seen = {f"term/{name}": value.detach() for name, value in values.items()}
        self.guard.watch(self.iteration + 1, named["key"], seen)
        log.update(seen, loss=total.detach())
        if self.measure:
            log.update({f"grad/{name}": self._gradient_norm(value, named) for name, value in values.items()})
        return total

    def _gradient_norm(self, value: Tensor, named: Named) -> Tensor:
        outputs = [leaf for item in named.values() for leaf in _leaves(item) if leaf.requires_grad]
        gradients = torch.autograd.grad(value, outputs, retain_graph=True, allow_unused=True)
        return nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None])

    def _watch_norm(self, batch: Batch, name: str, norm: Tensor) -> None:
        if self.parts.precision != "fp16":  # there an overflow is ordinary: the scaler skips the step
            self.guard.watch(self.iteration + 1, batch["key"], {f"grad_norm/{name}": norm})

    @contextmanager
    def _exchanging(self, names: Sequence[str], last: bool) -> Iterator[None]:
        """Has the processes exchange the gradients of these networks, at the last of the accumulated batches only."""
        with ExitStack() as stack:
            for name in names if not last else ():
                if self._calls[name] is not self.networks()[name]:
                    stack.enter_context(self._calls[name].no_sync())
            yield

    @contextmanager
    def _frozen_critics(self) -> Iterator[None]:
        for weight in self._critic_weights:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in self._critic_weights:
                weight.requires_grad_(True)


class _Compared(nn.Module):
    """A generator of whose outputs only some are returned.

    Args:
        network: The generator.
        names: Tells which outputs are wanted.
    """

    def __init__(self, network: nn.Module, names: Callable[[], set[str]]) -> None:
        super().__init__()
        self.network = network
        self.names = names

    def forward(self, blurred: Tensor) -> Tensor | dict[str, Any]:
        outputs: Tensor | dict[str, Any] = self.network(blurred)
        if isinstance(outputs, Tensor):
            return outputs
        wanted = self.names()
        return {name: value for name, value in outputs.items() if name in wanted}


def _critics_of(terms: list[Term]) -> list[str]:
    return sorted({term.critic for term in terms if term.critic is not None})


def _own_node(output: Tensor) -> Tensor:
    return output.float().view_as(output)


def _share(total: Tensor, group: Sequence[Any]) -> Tensor:
    return total if len(group) == 1 else total / len(group)


def _means(logs: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Returns the mean of each scalar over the accumulated batches, as their gradients are averaged."""
    if len(logs) == 1:
        return logs[0]
    return {name: torch.stack([log[name] for log in logs]).mean() for name in logs[0]}


def _map(function: Any, value: Any) -> Any:
    return [_map(function, item) for item in value] if isinstance(value, (list, tuple)) else function(value)


def _leaves(value: Any) -> list[Tensor]:
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value] if isinstance(value, Tensor) else []


def _detached(named: Named) -> Named:
    return {name: value if name == "key" else _map(torch.Tensor.detach, value) for name, value in named.items()}
