"""The processes of a distributed run: how they start, agree, share and part."""

from __future__ import annotations

import gc
import importlib
import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from mmengine.dist import all_gather, all_gather_object, broadcast_object_list, get_rank, get_world_size, init_dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from deblurkit.device import pick_device
from deblurkit.errors import UserError

Result = TypeVar("Result")


def start_processes(launcher: str, device: str | None) -> torch.device:
    """Joins the processes of a distributed run, and returns where this one computes.

    Raises:
        UserError: There is no such device, or the launcher needs one.
    """
    chosen = pick_device(device)
    if launcher == "none":
        return chosen
    # Before there is a group: its functions keep the group of the moment as a default, and with it the group's threads.
    importlib.import_module("torch.distributed.nn.functional")
    if chosen.type == "cpu":
        if launcher != "pytorch":
            raise UserError(f"--launcher {launcher}: only pytorch runs without GPUs")
        if "RANK" not in os.environ:
            raise UserError("--launcher pytorch: start it with torchrun, which sets RANK, WORLD_SIZE and MASTER_ADDR")
        torch.distributed.init_process_group("gloo")  # MMEngine's own start asks for a GPU even with gloo
        return chosen
    init_dist(launcher)
    return torch.device("cuda", torch.cuda.current_device())


def decided_by_first(decide: Callable[[], Result]) -> Result:
    """Returns in every process what ``decide`` returns in the first one, which alone calls it.

    Raises:
        UserError: The first process refused; every process raises the same, so that none waits for another.
    """
    if get_world_size() == 1:
        return decide()
    told: list[Any] = [None, ()]  # the decision, the problems
    if get_rank() == 0:
        try:
            told[0] = decide()
        except UserError as error:
            told[1] = error.problems
    broadcast_object_list(told)
    decision, problems = told
    if problems:
        raise UserError(*problems)
    return decision  # type: ignore[no-any-return]


def in_every(work: Callable[[], Result]) -> Result:
    """Calls ``work`` in every process and returns its own result in each.

    Raises:
        UserError: It was refused in at least one process; every process raises all of the problems, each once.
    """
    if get_world_size() == 1:
        return work()
    result: Result | None = None
    problems: tuple[str, ...] = ()
    try:
        result = work()
    except UserError as error:
        problems = error.problems
    found: dict[str, None] = {}
    for others in all_gather_object(problems):
        found.update(dict.fromkeys(others))
    if found:
        raise UserError(*found)
    return result  # type: ignore[return-value]


class Agreement:
    """Lets the processes agree on a number between iterations without waiting for a GPU.

    Built by all processes together: on GPUs it opens a group of its own over the hosts' network.
    """

    def __init__(self) -> None:
        self._group = None
        if get_world_size() > 1 and torch.distributed.get_backend() != "gloo":
            self._group = torch.distributed.new_group(backend="gloo")

    def largest(self, number: int) -> int:
        """Returns the largest of the processes' numbers; collective."""
        if get_world_size() == 1:
            return number
        shared = torch.tensor(number)
        torch.distributed.all_reduce(shared, torch.distributed.ReduceOp.MAX, group=self._group)
        return int(shared)


def part() -> None:
    """Leaves the group of processes, and ends its threads.

    One that outlives the interpreter aborts the process when it frees a tensor (pytorch issue 190489). They end with
    the last object that holds the group, among them the networks wrapped for gradient exchange, in reference cycles.
    """
    group = torch.distributed.group.WORLD
    torch.distributed.destroy_process_group()
    gc.collect()
    del group  # last: of all holders it alone lets other threads run while it waits for the group's to end


def exchanging(network: nn.Module, device: torch.device) -> DistributedDataParallel:
    """Returns a network in a wrapper that exchanges its gradients between the processes; its buffers stay apart."""
    known = inspect.signature(DistributedDataParallel).parameters
    new, old = "forward_sync_buffers", "broadcast_buffers"  # since torch 2.13, and before
    buffers: dict[str, Any] = {new if new in known else old: False}
    ids = [device.index] if device.type == "cuda" else None
    return DistributedDataParallel(network, device_ids=ids, find_unused_parameters=True, **buffers)


def running_statistics(network: nn.Module) -> list[Tensor]:
    """Returns the buffers that a checkpoint holds, such as the means of a batch norm."""
    kept = network.state_dict(keep_vars=True)
    return [b for name, b in network.named_buffers() if name in kept and b.is_floating_point()]


@torch.no_grad()
def share_statistics(buffers: Sequence[Tensor]) -> None:
    """Gives the processes one set of running statistics, the mean of theirs; collective.

    Each normalises by its own batches, but validation, averaging and the checkpoint are of one network. Buffers that
    are equal in all processes are left as they are, to the bit.
    """
    if not buffers:
        return
    own = torch.cat([buffer.double().flatten() for buffer in buffers])  # which holds every other type exactly
    everyone = torch.stack(all_gather(own))
    shared = torch.where((everyone == everyone[0]).all(0), everyone[0], everyone.mean(0))
    for buffer, values in zip(buffers, shared.split([b.numel() for b in buffers]), strict=True):
        buffer.copy_(values.view_as(buffer))
