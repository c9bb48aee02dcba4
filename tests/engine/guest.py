"""A program that trains ten times and prints what has changed in it since before: ``guest.py OPTIONS FOLDER``."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import random
import signal
import sys
import threading
import warnings
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

from deblurkit import load_options, train
from deblurkit.data.images import read_image
from deblurkit.engine.build import Setup
from deblurkit.engine.runner import TrainingRunner

RUNS = 10


def descriptors() -> list[str]:
    """Return what the open descriptors lead to; a folder that is listed has one of its own."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            continue
    return sorted(found)


def loggers() -> dict[str, str]:
    """Return level, handlers and filters of every logger that has any."""
    found = {}
    for logger in (logging.root, *logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger) and (logger.handlers or logger.filters or logger.level):
            found[logger.name] = f"{logger.level} {logger.handlers} {logger.filters}"
    return found


def state() -> dict[str, Any]:
    """Return all of the process that a training might change."""
    gc.collect()
    cudnn = torch.backends.cudnn
    found: dict[str, Any] = {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "descriptors": descriptors(),
        "python's random numbers": random.getstate(),
        "numpy's random numbers": str(np.random.get_state()),
        "torch's random numbers": torch.get_rng_state().tolist(),
        "torch's flags": [
            *(cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32),
            torch.backends.cuda.matmul.allow_tf32,
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            torch.get_default_dtype(),
        ],
        "OpenCV's threads": cv2.getNumThreads(),
        "signals": {number.name: str(signal.getsignal(number)) for number in signal.Signals},
        "start method": multiprocessing.get_start_method(allow_none=True),
        "loggers": loggers(),
        "warnings": [str(item) for item in warnings.filters],
        "environment": dict(os.environ),
        "hooks": sys.excepthook is sys.__excepthook__,
        "folder": os.getcwd(),
        "trainings": sum(type(item) in (Setup, TrainingRunner) for item in gc.get_objects()),
    }
    for hub in (MMLogger, MessageHub, Visualizer, DefaultScope):
        found[hub.__name__] = sorted(hub._instance_dict)
    if sys.platform != "win32":
        import resource

        found["open files at the most"] = resource.getrlimit(resource.RLIMIT_NOFILE)
    return found


def host_settings() -> None:
    """Set all that a training sets to something else."""
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    multiprocessing.set_start_method("spawn")
    resource_tracker.ensure_running()  # the standard library's own, which stays
    cv2.setNumThreads(2)
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    torch.backends.cuda.matmul.allow_tf32 = True


if __name__ == "__main__":
    wanted, folder = load_options(Path(sys.argv[1])), Path(sys.argv[2])
    host_settings()
    read_image(Path(wanted.datasets.train[0].component["blurred"]) / "000.png")  # quietens the decoders, for good
    before = state()
    for number in range(RUNS):
        try:
            train(wanted, folder / str(number), device="cpu")
        except ZeroDivisionError:
            print("failed", number)
        if number in (0, RUNS - 1):
            after = state()
            for name in before:
                if after[name] != before[name]:
                    print(f"run {number}: {name}: {before[name]} -> {after[name]}")
    print("done")
