"""Gives a process back what a training takes of it: train() may be the guest of a program."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from torch.utils.data._utils import signal_handling

from deblurkit.engine.state import random_state, set_random_state

_HUBS = (Visualizer, MessageHub, DefaultScope, MMLogger)


@contextmanager
def settings_given_back() -> Iterator[None]:
    """Puts the process's settings back when the block ends: its random streams, and what MMEngine and torch switch."""
    with contextlib.ExitStack() as back:
        back.enter_context(_random_streams())
        back.enter_context(_childrens_signal())
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        back.callback(setattr, cudnn, "benchmark", cudnn.benchmark)
        back.callback(setattr, cudnn, "deterministic", cudnn.deterministic)
        for owner in (cudnn, matmul):
            try:
                back.callback(setattr, owner, "allow_tf32", owner.allow_tf32)
            except RuntimeError:  # a program that uses torch's newer switches may not even read this one
                back.callback(setattr, owner, "fp32_precision", owner.fp32_precision)
        strict = torch.are_deterministic_algorithms_enabled()
        warns = torch.is_deterministic_algorithms_warn_only_enabled()
        back.callback(torch.use_deterministic_algorithms, strict, warn_only=warns)
        back.callback(cv2.setNumThreads, cv2.getNumThreads())
        started = multiprocessing.get_start_method(allow_none=True)
        back.callback(multiprocessing.set_start_method, started, force=True)
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            if name not in os.environ:  # MMEngine sets what is missing
                back.callback(os.environ.pop, name, None)
        with contextlib.suppress(ImportError):  # there is none on Windows
            import resource

            back.callback(resource.setrlimit, resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE))
        yield


@contextmanager
def _random_streams() -> Iterator[None]:
    started = torch.cuda.is_initialized()
    before = random_state()
    try:
        yield
    finally:
        set_random_state(before)
        if torch.cuda.is_initialized() and not started:
            torch.cuda.manual_seed_all(torch.initial_seed())  # as CUDA itself does when it starts


@contextmanager
def _childrens_signal() -> Iterator[None]:
    """Puts the handler back with which torch's loader learns of a worker's death."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or not hasattr(signal, "SIGCHLD"):  # then torch leaves it alone
        yield
        return
    taken, former = signal_handling._SIGCHLD_handler_set, signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if not taken and signal_handling._SIGCHLD_handler_set:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL if former is None else former)
            signal_handling._SIGCHLD_handler_set = False  # else no later loader would take it again


@contextmanager
def hubs_given_back() -> Iterator[None]:
    """Has MMEngine forget what it registers process-wide within the block: hubs, loggers, and visualizers.

    A visualizer is closed: TensorBoard's has a thread, and a reference to all of the training.
    """
    before = {hub: set(hub._instance_dict) for hub in _HUBS}
    try:
        yield
    finally:
        for hub, names in before.items():
            for name in hub._instance_dict.keys() - names:
                instance = hub._instance_dict.pop(name)
                try:
                    if isinstance(instance, Visualizer):
                        instance.close()
                except Exception as error:  # whatever a service makes of its end, the training is done
                    logging.getLogger("deblurkit").warning(f"{name}: its records could not be closed: {error}")
