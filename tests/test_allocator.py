"""Memory that the process keeps while networks run, and that it gives back."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest
import torch

from deblurkit import allocator
from deblurkit.allocator import keeping_freed_memory

GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator than glibc's")

# In a process of its own: thresholds are the process's, and what others have freed would serve these tensors too.
COUNTED = """
import contextlib, json, os, resource, sys
import torch
from deblurkit.allocator import keeping_freed_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.zeros(64 << 18).add(1)  # two tensors of 64 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

plain = faults()
before = resident()
with keeping_freed_memory():
    with keeping_freed_memory():
        faults()
    kept = faults()
    held = resident()
print(json.dumps([plain, kept, before, held, resident()]))
"""


@GLIBC
def test_pages_are_cleared_once_and_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", COUNTED], capture_output=True, text=True, check=True)
    plain, kept, before, held, after = map(int, done.stdout.strip("[]\n").split(","))
    assert plain > 100_000  # of 4 KiB: ten tensors of 64 MiB
    assert kept < plain / 5  # small blocks may lie in the way of one of the ten
    assert held - before > 100  # MiB
    assert after - before < 10


def test_it_is_given_back_when_the_block_fails() -> None:
    with pytest.raises(RuntimeError, match="inside"), keeping_freed_memory():
        raise RuntimeError("inside")
    assert allocator._users == 0


def test_without_such_an_allocator_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        """A C library that has no mallopt, as musl."""

        def __init__(self, name: None) -> None:
            assert name is None

    monkeypatch.setattr("ctypes.CDLL", Library)
    with keeping_freed_memory():
        assert torch.ones(3).sum() == 3
