"""``deblurkit measure`` as a process: what it prints and writes, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from in_process import run_here

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = '''
from torch import nn

from deblurkit.registry import ARCHS


@ARCHS.register_module()
class MeasuredPoint(nn.Module):
    """One 1x1 convolution, for images up to 64 wide."""

    size_divisor = 16

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 3, 1, bias=bias)

    def forward(self, blurred):
        if blurred.shape[-1] > 64:
            raise ValueError("too wide")
        return self.body(blurred)
'''
OPTIONS = """
name: {name}
plugins: [plugin.py]
paper: {{title: A paper, cost: {{parameters: 10, seconds_720p: 0.5}}}}
generator: {{type: MeasuredPoint}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two option files and their plugin."""
    made = tmp_path_factory.mktemp("optiöns")
    (made / "plugin.py").write_text(PLUGIN, encoding="utf-8")
    for name in ("one", "two"):
        (made / f"{name}.yml").write_text(OPTIONS.format(name=name), encoding="utf-8")
    return made


def measure(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "tools" / "measure.py"), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
    )


def measure_here(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    with contextlib.chdir(cwd):
        return run_here("measure.py", *arguments)


def test_prints_and_writes_what_it_measured(folder: Path, tmp_path: Path):
    (tmp_path / "costs.md").write_text("an older page", encoding="utf-8")
    done = measure(
        *["--all", str(folder), "--sizes", "30x64", "--repeats", "2", "--warmup", "0", "--device", "cpu"],
        *["--markdown", "costs.md", "--json", "costs.json", "--set", "generator.bias=false"],
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for part in ("30x64", "(as 32x64)", "-10.00 %", "live peak MiB", "p95 s", "torch.utils.flop_counter"):
        assert part in done.stdout
    page = (tmp_path / "costs.md").read_text(encoding="utf-8")
    assert page.startswith("# What the generators cost\n")
    content = json.loads((tmp_path / "costs.json").read_text(encoding="utf-8"))
    assert [(entry["name"], entry["parameters"]) for entry in content["generators"]] == [("one", 9), ("two", 9)]
    assert content["generators"][0]["sizes"][0]["macs"] == 32 * 64 * 9
    assert sorted(file.name for file in tmp_path.iterdir()) == ["costs.json", "costs.md"], "no temporary file is left"


def test_a_size_that_fails_ends_with_1_after_the_others(folder: Path, tmp_path: Path):
    files = ["-opt", str(folder / "one.yml"), str(folder / "two.yml")]
    done = measure_here(*files, "--sizes", "32x32", "32x128", "--no-latency", "--json", "costs.json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "one, 32x128: ValueError: too wide" in done.stdout
    content = json.loads((tmp_path / "costs.json").read_text(encoding="utf-8"))
    assert [[size["macs"] for size in entry["sizes"]] for entry in content["generators"]] == [[9216, None]] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-opt", "missing.yml"], "missing.yml"),
        (["--all", "."], "no option files"),
        (["-opt", "{folder}/one.yml", "--sizes", "720p"], "HEIGHTxWIDTH"),
        (["-opt", "{folder}/one.yml", "--json", "no/costs.json"], "there is no folder no"),
        (["-opt", "{folder}/one.yml", "--set", "generator.bais=true"], "did you mean 'bias'?"),
    ],
)
def test_mistakes_are_one_line_and_end_with_2(folder: Path, tmp_path: Path, arguments: list[str], message: str):
    done = measure_here(*(text.format(folder=folder) for text in arguments), cwd=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (2, 1, ""), done.stderr
    assert message in done.stderr


def test_needs_options_and_not_two_ways_of_timing(tmp_path: Path):
    assert "one of the arguments -opt --all is required" in measure_here(cwd=tmp_path).stderr
    both = measure_here("--all", "--no-latency", "--latency-sizes", "64x64", cwd=tmp_path)
    assert (both.returncode, "not allowed with" in both.stderr) == (2, True)


def test_layers(folder: Path, tmp_path: Path):
    files = ["--markdown", "layers.md", "--csv", "layers.csv", "--json", "layers.json"]
    done = measure_here("-opt", str(folder / "one.yml"), "--layers", "--sizes", "30x32", *files, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "one: generator, MeasuredPoint, 30x32 (as 32x32)" in done.stdout
    rows = (tmp_path / "layers.csv").read_text(encoding="utf-8").splitlines()
    assert rows[1] == "one,generator,30x32,body,Conv2d,1x1,1,3,3,3x32x32,1,12,9216"
    assert (tmp_path / "layers.md").read_text(encoding="utf-8").startswith("# Layers\n")
    unknown = measure_here("-opt", str(folder / "one.yml"), "--layers", "generater", cwd=tmp_path)
    assert (unknown.returncode, len(unknown.stderr.splitlines())) == (2, 1)
    assert "(did you mean 'generator'?)" in unknown.stderr
    alone = measure_here("-opt", str(folder / "one.yml"), "--csv", "x.csv", cwd=tmp_path)
    assert (alone.returncode, "--csv goes with --layers" in alone.stderr) == (2, True)


RATIO = """
name: {name}
plugins: [plugin.py]
paper:
  title: A paper
  called: [{name}]
  cost: {{seconds_720p: 0.5}}
  compared: [{{method: one, dataset: gopro, seconds: 2.0}}]
generator: {{type: MeasuredPoint}}
"""


def test_times_within_one_paper(folder: Path, tmp_path: Path):
    (tmp_path / "plugin.py").write_text(PLUGIN, encoding="utf-8")
    for name in ("one", "other"):
        (tmp_path / f"{name}.yml").write_text(RATIO.format(name=name), encoding="utf-8")
    timed = ["--sizes", "32x32", "--repeats", "3", "--warmup", "0", "--device", "cpu", "--json", "costs.json"]
    done = measure("-opt", "one.yml", "other.yml", *timed, "--markdown", "costs.md", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Times within one paper" in done.stdout
    (ratio,) = json.loads((tmp_path / "costs.json").read_text(encoding="utf-8"))["ratios"]
    assert (ratio["name"], ratio["against"]) == ("other", "one"), "no network against itself"
    assert (ratio["published"], ratio["rounds"]) == (0.25, 3)
    assert "## Times within one paper" in (tmp_path / "costs.md").read_text(encoding="utf-8")
