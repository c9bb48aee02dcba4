"""Without basicsr, and the TensorBoard that it brings, the package is whole, and what needs it says so in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXTRA = (
    "basicsr is not installed: it is the extra [basicsr], whose build needs torch to be there first: "
    "pip install --no-build-isolation 'deblurkit[basicsr]'\n"
)
EVERYTHING = """
import importlib, pkgutil
import skimage.data
import deblurkit
from deblurkit import registry

for module in pkgutil.walk_packages(deblurkit.__path__, "deblurkit."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
registries = [value for value in vars(registry).values() if isinstance(value, registry.ComponentRegistry)]
print(all(found.names() for found in registries), len(registries) >= 10)
print(registry.METRICS.build({"type": "NIQE"})(skimage.data.chelsea(), None))
"""


def without(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a script where neither package is installed."""
    command = [sys.executable, ROOT / "tests" / "without.py", "basicsr,tensorboard,tb_nightly", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_every_module_and_every_name(tmp_path: Path):
    script = tmp_path / "everything.py"
    script.write_text(EVERYTHING, encoding="utf-8")
    done = without(script)
    assert done.returncode == 0, done.stderr
    filled, score = done.stdout.splitlines()
    assert filled == "True True"
    assert float(score) == pytest.approx(2.6255, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("benchmark", ["framework_cost.py", "loader.py", "metrics.py"])
def test_benchmarks_that_compare_with_it_name_the_extra(benchmark: str):
    done = without(ROOT / "benchmarks" / benchmark)
    assert (done.returncode, done.stderr, done.stdout) == (2, EXTRA, "")


@pytest.mark.slow
def test_tests_that_compare_with_it_are_skipped_and_say_why(tmp_path: Path):
    asked = (ROOT / "tests" / "metrics" / "test_psnr.py", "-k", "test_equals_basicsr and uint8-coffee-0-rgb", "-n", "0")
    script = tmp_path / "tests.py"
    script.write_text("import sys, pytest\nsys.exit(pytest.main(sys.argv[1:]))\n", encoding="utf-8")
    done = without(script, *asked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 skipped" in done.stdout
    assert EXTRA.strip() in done.stdout
