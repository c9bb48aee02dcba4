"""The default training step: any paired GAN of one generator and any number of critics, or none."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from deblurkit.contracts import Critic, generator_traits, tell_value_range
from deblurkit.device import Precision, autocast
from deblurkit.engine.finite_guard import FiniteGuard
from deblurkit.engine.loss_terms import Term, mean
from deblurkit.engine.processes import exchanging, running_statistics, share_statistics
from deblurkit.errors import UserError
from deblurkit.inference.forward import to_value_range
from deblurkit.registry import RESTORERS

if TYPE_CHECKING:
    from deblurkit.engine.optim import NetworkOptimizer

Batch = dict[str, Any]
Named = dict[str, Any]
"""A batch joined by what the generator made of it: all that a loss term can name."""

Log = dict[str, Tensor]
Output = Tensor | Sequence["Output"]
"""An output of a generator: images, or lists of them such as the scales of a pyramid."""


@dataclass
class Parts:
    """Everything that the engine gives a restorer: the networks, the terms and the settings of the step."""

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
    joined: frozenset[str] = frozenset()  # critics that judge sharp and restored images in one batch


@RESTORERS.register_module()
class GANRestorer(nn.Module):
    """Updates the critics ``critic_steps`` times, then the generator once; without critics it is plain regression.

    With ``order: parallel`` both take one step from the same weights: the generator judges by the critics as they were
    before their step, as MADN's Algorithm 1 has it. :class:`deblurkit.contracts.Restorer` describes the members.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.parts = parts
        self.generator = parts.generator
        self.terms = parts.terms
        # Plain dicts, since a ModuleDict refuses names such as "double" or "values"; `held` registers the modules.
        self.critics = dict(parts.critics)
        self.losses = {term.name: term.loss for term in parts.terms}
        self.held = nn.ModuleList([*self.critics.values(), *self.losses.values()])
        self.value_range = generator_traits(self.generator).value_range
        for module in self.held:
            tell_value_range(module, self.value_range)
        self.ema: nn.Module | None = None
        self.guard = FiniteGuard()
        self.iteration = 0
        self.measure = False
        self._weight = next(self.generator.parameters())  # which lies where the images must be
        self._critic_weights = [w for critic in self.critics.values() for w in critic.parameters() if w.requires_grad]
        self._calls = self.networks()  # as they are called: in a distributed run each in its wrapper
        self._statistics: list[Tensor] = []  # buffers that the processes of a distributed run must share

    @property
    def generator_batches(self) -> int:
        """Batches that the generator takes in an iteration."""
        return self.parts.accumulate

    @property
    def critic_batches(self) -> int:
        """Batches that the critics draw for themselves in an iteration; 0: they see the generator's."""
        if not self.critics or self.parts.critic_batches == "same":
            return 0
        return self.parts.accumulate * self.parts.critic_steps

    def networks(self) -> dict[str, nn.Module]:
        """Returns the networks that are trained, by the name of their optimizer."""
        return {"generator": self.generator, **self.critics}

    def train_step(  # noqa: C901 (an iteration is read from top to bottom in one place)
        self, data: Sequence[Batch], optim_wrapper: Mapping[str, NetworkOptimizer]
    ) -> Log:
        """Does one iteration.

        ``data`` holds ``critic_batches`` batches, then ``generator_batches``; images ``(n, 3, h, w)`` in [0, 1].

        Returns:
            Scalars on the device: ``loss`` (the total that was backpropagated), ``term/NAME`` (each already weighted:
            they add up to ``loss``), ``critic/NAME``, ``penalty/TERM``; in a measured step also a critic's mean logits
            ``critic/NAME/sharp`` and ``critic/NAME/restored``, ``grad/TERM``, the norm of each weighted term's gradient
            at the generator's outputs, ``grad_norm/NETWORK`` and, in fp16, ``scale/NETWORK`` of the loss and the number
            ``skipped/NETWORK`` of steps that were not taken since the run's beginning.

        Raises:
            NonFiniteError: A value is not finite.
        """
        parts = self.parts
        log: Log = {}
        # From here to the optimizers, all is in the generator's value range: critics, views and losses see the images
        # that the paper's saw, and its loss weights hold.
        terms = [term for term in self.terms if term.active(self.iteration)]
        games = [term for term in terms if term.critic is not None]
        critics = sorted({str(term.critic) for term in games})
        warming_up = self.iteration < parts.critic_warmup

        # An update takes `accumulate` batches, the generator's are the last. Critics that draw none of their own see
        # the generator's in each of their steps.
        group = [self._prepared(batch) for batch in data[-parts.accumulate :]]
        own = data[: -parts.accumulate]
        starts = range(0, len(own), parts.accumulate)
        critic_groups = [own[start : start + parts.accumulate] for start in starts] or [group] * parts.critic_steps

        # Where critics and generator see one and the same batch, one forward pass serves both steps.
        shared: Named | None = None
        fakes: list[Named] = []  # the batches of a critic step, with what the generator made of them
        if games and not warming_up and len(data) == 1:
            shared = self._restored(group[0])
            fakes.append({name: _map(Tensor.detach, value) for name, value in shared.items()})

        # Critic steps. The generator stands still: its images come without a graph, so no gradient reaches it, and the
        # steps on the same batches can share them. Those of batches of their own go when their step is done.
        for critic_group in critic_groups if games else ():
            if own:
                fakes.clear()
            # All of them before a critic is called: dropout and penalties draw from one random stream, in this order.
            if not fakes:
                with torch.no_grad():
                    fakes += [self._restored(self._prepared(batch) if own else batch) for batch in critic_group]
            for name in critics:
                optim_wrapper[name].zero_grad()
            logs: list[Log] = []
            for fake in fakes:
                with self._exchanging(critics, fake is fakes[-1]):
                    losses, values = self._critic_losses(games, fake)
                    for name, loss in losses.items():
                        optim_wrapper[name].backward(_share(loss, critic_group))
                logs.append(values)
            log.update(_means(logs))
            if parts.order == "alternating":
                log.update(self._step_critics(games, critics, critic_group, optim_wrapper))

        # Generator step. Gradients flow through the critics to the restored images, but the critics are frozen: they
        # collect none, and in a parallel order keep those of their own step, which is still to come.
        if not warming_up:
            optimizer = optim_wrapper["generator"]
            optimizer.zero_grad()
            logs = []
            with _frozen(self._critic_weights):
                for batch in group:
                    with self._exchanging(["generator"], batch is group[-1]):
                        named = self._restored(batch) if shared is None else shared
                        loss, values = self._generator_loss(terms, named)
                        optimizer.backward(_share(loss, group))
                    logs.append(values)
            log.update(_means(logs))
            log.update(self._step("generator", group, optimizer))

        if games and parts.order == "parallel":
            log.update(self._step_critics(games, critics, critic_groups[-1], optim_wrapper))
        share_statistics(self._statistics)
        return log

    def _prepared(self, batch: Batch) -> Batch:
        """Returns a batch with its images on the generator's device, in its memory layout and value range."""
        device = self._weight.device
        layout = torch.channels_last if self.parts.channels_last else torch.preserve_format
        prepared = dict(batch)
        for name, value in batch.items():
            if isinstance(value, Tensor):
                image = value.to(device, non_blocking=True, memory_format=layout)
                prepared[name] = to_value_range(image, self.value_range)
        return prepared

    def _restored(self, batch: Batch) -> Named:
        """Returns the batch joined by the generator's outputs, in fp32: half precision ends at the networks' outputs.

        In a measured step each output becomes a node of its own in the graph, so that a term's gradient at an output
        holds nothing that came through another output.
        """
        outputs = self._in_precision(self._calls["generator"])(batch["blurred"])
        if isinstance(outputs, Tensor):
            outputs = {"image": outputs}
        named = dict(batch)
        for name, value in outputs.items():
            named[name] = _map(lambda output: output.float().view_as(output) if self.measure else output.float(), value)
        return named

    def _in_precision(self, network: nn.Module) -> Callable[[Tensor], Any]:
        def call(image: Tensor) -> Any:
            with autocast(self.parts.precision, image.device.type):
                return network(image)

        return call

    def _critic_losses(self, games: list[Term], named: Named) -> tuple[dict[str, Tensor], Log]:
        """Returns each critic's loss, the unweighted sum of its terms and their penalties, and what to log."""
        log: Log = {}
        calls: dict[str, Critic] = {name: self._in_precision(self._calls[name]) for name in self.critics}
        losses: dict[str, Tensor] = {}
        for term in games:
            name = str(term.critic)
            loss, real, fake = term.critic_value(named, calls, joined=name in self.parts.joined)
            if self.measure:
                log[f"critic/{name}/sharp"] = mean(item.detach().mean() for item in real)
                log[f"critic/{name}/restored"] = mean(item.detach().mean() for item in fake)
            # In fp32 whatever the step's precision: half precision rounds away how far a norm is from 1.
            penalty = term.penalty(named, self._calls)
            if penalty is not None:
                log[f"penalty/{term.name}"] = penalty.detach()
                loss = loss + penalty
            if name in losses:
                loss = losses[name] + loss
            losses[name] = loss
        watched = {f"critic/{name}": loss.detach() for name, loss in losses.items()}
        self.guard.watch(self.iteration + 1, named["key"], watched)
        return losses, {**log, **watched}

    def _generator_loss(self, terms: list[Term], named: Named) -> tuple[Tensor, Log]:
        """Returns the weighted sum of the active terms, and what to log."""
        # Not the wrapped critics: they would wait for gradients to exchange, and frozen ones have none.
        calls: dict[str, Critic] = {name: self._in_precision(critic) for name, critic in self.critics.items()}
        weighted: dict[str, Tensor] = {}
        for term in terms:
            # The networks of losses such as VGG may run in half precision. A game's logits are turned to fp32.
            with autocast(self.parts.precision, self._weight.device.type) if term.critic is None else nullcontext():
                weighted[term.name] = term.generator_value(named, calls).float()
            if term.weight != 1:
                weighted[term.name] = term.weight * weighted[term.name]
        if not weighted:
            raise UserError(f"losses: no term counts in iteration {self.iteration} (counted from 0): see start and end")
        total = functools.reduce(torch.add, weighted.values())
        log = {f"term/{name}": value.detach() for name, value in weighted.items()}
        self.guard.watch(self.iteration + 1, named["key"], log)
        log["loss"] = total.detach()
        if self.measure:
            # One backward through each loss, but not through the generator: what the terms ask for, side by side.
            outputs = [leaf for leaf in _leaves(list(named.values())) if leaf.requires_grad]
            for name, value in weighted.items():
                gradients = torch.autograd.grad(value, outputs, retain_graph=True, allow_unused=True)
                log[f"grad/{name}"] = nn.utils.get_total_norm([g for g in gradients if g is not None])
        return total, log

    def _step(self, name: str, group: Sequence[Batch], optimizer: NetworkOptimizer) -> Log:
        """Applies a network's gradients, and returns their norm where it was measured."""
        norm = optimizer.step(self.measure)
        if norm is None:
            return {}
        log = {f"grad_norm/{name}": norm}
        if not optimizer.scaler.is_enabled():
            self.guard.watch(self.iteration + 1, group[-1]["key"], log)
        # In fp16 an overflow is ordinary: the scaler skips the step. The guard watches how many (check_steps).
        elif self.measure:
            log[f"scale/{name}"] = norm.new_tensor(optimizer.scaler.get_scale())
            log[f"skipped/{name}"] = norm.new_tensor(optimizer.skipped)
        return log

    def _step_critics(
        self, games: list[Term], critics: list[str], group: Sequence[Batch], optimizers: Mapping[str, NetworkOptimizer]
    ) -> Log:
        log: Log = {}
        for name in critics:
            log.update(self._step(name, group, optimizers[name]))
        with torch.no_grad():
            for term in games:
                limit = term.traits.weight_clip
                if limit is not None:
                    for weight in self.critics[str(term.critic)].parameters():
                        weight.clamp_(-limit, limit)
        return log

    def distribute(self) -> None:
        """Wraps each trained network for gradient exchange between processes, each on its own.

        Weights that no active term depends on get no gradient, as in a single process: the wrapper looks for them, and
        sees only those outputs of the generator that a term compares.
        """
        self._statistics = []
        for name, network in self.networks().items():
            self._statistics += running_statistics(network)
            if any(p.requires_grad for p in network.parameters()):
                called = _Compared(network, self._compared) if name == "generator" else network
                self._calls[name] = exchanging(called, self._weight.device)

    def _compared(self) -> set[str]:
        """Returns the names that the active terms compare or are conditioned on."""
        names: set[str] = set()
        for term in self.terms:
            if term.active(self.iteration):
                names |= {term.pred.name, term.target.name, term.traits.condition or term.pred.name}
        return names

    def _exchanging(self, names: Sequence[str], last: bool) -> ExitStack:
        """Has the processes exchange the gradients of these networks, at the last of the accumulated batches only."""
        stack = ExitStack()
        for name in () if last else names:
            call = self._calls[name]
            if isinstance(call, DistributedDataParallel):
                stack.enter_context(call.no_sync())
        return stack


class _Compared(nn.Module):
    """A generator of whose outputs only those are returned that ``names`` tells."""

    def __init__(self, network: nn.Module, names: Callable[[], set[str]]) -> None:
        super().__init__()
        self.network = network
        self.names = names

    def forward(self, blurred: Tensor) -> Tensor | dict[str, Output]:
        outputs: Tensor | dict[str, Output] = self.network(blurred)
        if isinstance(outputs, Tensor):
            return outputs
        wanted = self.names()
        return {name: value for name, value in outputs.items() if name in wanted}


@contextmanager
def _frozen(weights: list[nn.Parameter]) -> Iterator[None]:
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)


def _share(loss: Tensor, group: Sequence[Batch]) -> Tensor:
    """Returns the share of the loss that one of the accumulated batches has; of one alone no division is recorded."""
    return loss if len(group) == 1 else loss / len(group)


def _means(logs: list[Log]) -> Log:
    """Returns each scalar of one step over the accumulated batches: its mean, as their gradients are averaged.

    The outputs of all of them are those of one batch, in which each weighs less: so much smaller are its gradients.
    """
    if len(logs) == 1:
        return logs[0]
    means: Log = {}
    for name in logs[0]:
        values = torch.stack([log[name] for log in logs])
        means[name] = values.norm() / len(logs) if name.startswith("grad/") else values.mean()
    return means


def _map(function: Callable[[Tensor], Tensor], value: Output) -> Output:
    """Applies a function to each tensor; what is none, such as the names of images, stays."""
    if isinstance(value, (list, tuple)):
        return [_map(function, item) for item in value]
    return function(value) if isinstance(value, Tensor) else value


def _leaves(value: Output) -> Iterator[Tensor]:
    """Yields the tensors, at any depth of lists."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
