"""What deblurkit knows of the machine that it runs on."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from deblurkit import device
from deblurkit.device import autocast, check_precision, pick_device
from deblurkit.errors import UserError


def test_cores_and_memory_are_told_without_torch() -> None:
    script = """
import sys
from deblurkit.device import free_memory, usable_cores
assert usable_cores() >= 1
print(free_memory() is None or free_memory() > 64 << 20, sorted({"torch", "numpy"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True []\n"


def test_the_processor_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = tmp_path / "cpuinfo"
    listed.write_text("processor\t: 0\nmodel name\t: Example CPU @ 2.0GHz: fast\nprocessor\t: 1\nmodel name\t: Other\n")
    monkeypatch.setattr(device, "_PROCESSORS", listed)
    assert device.processor_name() == "Example CPU @ 2.0GHz: fast"
    for content in ("processor : 0\n", None):  # as of ARM; no Linux
        listed.unlink() if content is None else listed.write_text(content)
        assert device.processor_name() == (platform.processor() or platform.machine())


def test_a_device_that_is_there() -> None:
    assert pick_device("cpu") == pick_device(torch.device("cpu")) == torch.device("cpu")
    assert pick_device(None).type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="here CUDA can be used")
def test_a_device_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"^device: 'cuda' cannot be used: .+$"):
        pick_device("cuda")


def test_unknown_precision() -> None:
    with pytest.raises(UserError, match=r"^precision: 'half' is unknown; known: fp32, tf32, bf16, fp16$"):
        check_precision("half")


@pytest.mark.parametrize("precision", device.PRECISIONS)
def test_only_half_precisions_are_cast(precision: str) -> None:
    with autocast(precision, "cpu"):
        dtype = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    assert dtype == {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (MemoryError(), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("sizes of tensors must match"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_what_says_that_memory_ran_out(error: Exception, told: bool) -> None:
    assert device.is_out_of_memory(error) == told


def test_free_memory_of_a_device() -> None:
    free = device.free_device_memory(torch.device("cpu"))
    assert free is None or free > 64 << 20
    assert device.free_device_memory(torch.device("meta")) is None


@pytest.mark.skipif(sys.platform != "linux" or torch.cuda.is_available(), reason="read from Linux, without a GPU")
def test_peak_memory_is_what_the_system_says() -> None:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    assert device.peak_memory() == pytest.approx(int(status["VmHWM"].split()[0]) << 10, rel=0.01)


@pytest.mark.parametrize(
    ("maximum", "left"),
    [("max", 500), (None, 500), ("600", 350), ("2000000", 500)],
    ids=["no limit", "no container", "the container's", "the machine's"],
)
def test_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, maximum: str | None, left: int) -> None:
    unit = 1024
    job = tmp_path / "slurm" / "job_1"  # the limit is that of a group around the process's own
    (job / "step_0").mkdir(parents=True)
    if maximum is not None:
        (job / "memory.max").write_text(maximum if maximum == "max" else str(int(maximum) * unit))
        (job / "memory.current").write_text(str(300 * unit))
        (job / "memory.stat").write_text(f"anon 5\ninactive_file {50 * unit}\n")
    (tmp_path / "groups").write_text("9:cpu:/\n0::/slurm/job_1/step_0\n")
    (tmp_path / "meminfo").write_text("MemTotal: 900 kB\nMemAvailable: 500 kB\nHugePages_Total: 0\n")
    monkeypatch.setattr(device, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(device, "_CONTROL", tmp_path)
    monkeypatch.setattr(device, "_SYSTEM", tmp_path / "meminfo")
    assert device.free_memory() == left * unit
    (tmp_path / "meminfo").unlink()
    assert device.free_memory() == (
        350 * unit if maximum == "600" else 1_999_750 * unit if maximum == "2000000" else None
    )


def test_limits_of_the_first_version_of_control_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = tmp_path / "memory" / "docker"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text("900\n")
    (group / "memory.usage_in_bytes").write_text("700\n")
    (group / "memory.stat").write_text("cache 100\ntotal_inactive_file 60\n")
    (tmp_path / "groups").write_text("4:memory:/docker\n1:cpu:/docker\n0::/\n")
    monkeypatch.setattr(device, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(device, "_CONTROL", tmp_path)
    assert device.free_memory() == 260
