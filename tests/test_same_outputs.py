"""``benchmarks/same_outputs.py``: the least difference between outputs is told, and the clock's are not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from same_outputs import compare_outputs  # noqa: E402

METRICS = """{
  "environment": {
    "date": "2026-11-29T23:41:00+00:00",
    "deblurkit": "0.1.0",
    "torch": "2.13.0"
  },
  "datasets": {"sample": {"restored": {"psnr": 27.825103}, "seconds_per_image": {"median": 0.0625, "p95": 1e-05}}}
}
"""
PAGE = """<h1>tiny</h1>
<dl><dt>deblurkit</dt><dd>0.1.0</dd></dl>
<section id="speed"><h2>Time</h2><td>0.063</td><svg><path d="M1,2"/></svg><p class="unseen">0.06 to 0.07</p></section>
<script type="application/json">{"name": "tiny", "restored": [27.8251], "seconds": [0.06251, null]}</script>
"""
TEXTS = {
    "test.txt": "  sample     psnr (dB)        8   26.10   27.83     0.063\nreport: test\n",
    "test/metrics.json": METRICS,
    "test/per_image.csv": "image,psnr,seconds\n" + "a,27.825103,0.062500\n",
    "test/report.md": "| psnr | 27.83 | 0.063 |\n\nSeconds an image: median 0.063.  \n\n| deblurkit | 0.1.0 |\n",
    "test/report.html": PAGE,
    "test/tables.tex": "\\textbf{27.83} \\\\\n",
    "train/scalars.jsonl": '{"loss": 0.25, "date": "2026-11-29T23:41:00+01:00", "time": 0.5, "eta": 3}\n',
    "train/log.txt": "2026-11-29 iteration 1/40 0.500 s/it\n",
}
CLOCK = {  # what another run of the same code, of another version, writes
    "23:41:00": "00:03:17",
    "2026-11-29": "2026-11-30",
    '0.1.0"': '0.2.0"',
    "0.1.0<": "0.2.0<",
    "0.1.0 |": "0.2.0 |",
    "0.0625": "0.1875",
    "1e-05": "0.25",
    "0.063": "0.188",
    "0.06251": "0.18751",
    "0.062500": "0.187500",
    "M1,2": "M3,4L5,6",
    "0.06 to 0.07": "0.18 to 0.19",
    '"time": 0.5': '"time": 0.75',
    '"eta": 3': '"eta": 40',
    "0.500 s/it": "0.750 s/it",
}
STATE: dict[str, Any] = {"generator": {"weight": torch.tensor([1.0, 2.0])}, "versions": {"deblurkit": "0.1.0"}}


def write(folder: Path) -> Path:
    """Writes one output of each kind."""
    for name, text in TEXTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "test" / "strip.png").write_bytes(b"\x89PNG\xff")
    torch.save(STATE, folder / "train" / "iter_00000040.pth")
    return folder


@pytest.fixture
def outputs(tmp_path: Path) -> tuple[Path, Path]:
    return write(tmp_path / "before"), write(tmp_path / "after")


def told(outputs: tuple[Path, Path]) -> dict[str, str]:
    return {name: difference for name, difference in compare_outputs(*outputs) if difference is not None}


def test_every_output_but_the_log_is_compared(outputs: tuple[Path, Path]):
    names = [name for name, _ in compare_outputs(*outputs)]
    assert names == sorted({*TEXTS, "test/strip.png", "train/iter_00000040.pth"} - {"train/log.txt"})
    assert told(outputs) == {}


def test_what_the_clock_and_the_version_decide_is_no_difference(outputs: tuple[Path, Path]):
    for name, text in TEXTS.items():
        for old, new in CLOCK.items():
            text = text.replace(old, new)
        assert text != TEXTS[name] or name == "test/tables.tex"
        (outputs[1] / name).write_text(text, encoding="utf-8")
    torch.save({**STATE, "versions": {"deblurkit": "0.2.0"}}, outputs[1] / "train" / "iter_00000040.pth")
    assert told(outputs) == {}


@pytest.mark.parametrize(
    ("name", "old", "new", "difference"),
    [
        ("test.txt", "27.83", "27.84", "line 1: was 'le     psnr (dB)        8   26.10   27.83 SECONDS', is "),
        ("test/metrics.json", "27.825103", "27.825104", "line 7: was "),
        ("test/metrics.json", '"median"', '"middle"', "line 7: was "),
        ("test/metrics.json", "2.13.0", "2.14.0", "line 5: was "),
        ("test/per_image.csv", "27.825103", "27.82510", "line 2: was 'a,27.825103,SECONDS', is 'a,27.82510,SECONDS'"),
        ("test/report.md", "27.83", "27.84", "line 1: was '| psnr | 27.83 | SECONDS |', is '| psnr | 27.84 | SECONDS"),
        ("test/report.md", "Seconds an", "Second an", "line 3: was 'Seconds an image: median #.  ', is 'Second an"),
        ("test/report.html", "27.8251", "27.8252", "line 4: was "),
        ("test/report.html", "<h2>Time", "<h2>Times", "line 3: was "),
        ("test/tables.tex", "bf", "it", "line 1: was '\\\\textbf{27.83} \\\\\\\\', is '\\\\textit{27.83} \\\\\\\\'"),
        ("test/tables.tex", "\n", "\r\n", "line 1: was "),
        ("train/scalars.jsonl", "0.25", "0.250001", "line 1: was "),
    ],
)
def test_the_least_difference_is_told(outputs: tuple[Path, Path], name: str, old: str, new: str, difference: str):
    (outputs[1] / name).write_text(TEXTS[name].replace(old, new), encoding="utf-8", newline="")
    (found,) = told(outputs).items()
    assert found[0] == name
    assert found[1].startswith(difference)


def test_weights_pictures_and_missing_files_are_told(outputs: tuple[Path, Path]):
    changed = {"weight": torch.tensor([1.0, torch.nextafter(torch.tensor(2.0), torch.tensor(3.0))])}
    torch.save({**STATE, "generator": changed}, outputs[1] / "train" / "iter_00000040.pth")
    (outputs[1] / "test" / "strip.png").write_bytes(b"\x89PNG\xfe")
    (outputs[1] / "test" / "metrics.json").unlink()
    (outputs[0] / "test" / "tables.tex").unlink()
    assert told(outputs) == {
        "test/metrics.json": "is not there any more",
        "test/strip.png": "its bytes differ",
        "test/tables.tex": "was not there before",
        "train/iter_00000040.pth": ".generator.weight: tensors differ",
    }


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a checkout")
@pytest.mark.slow
def test_the_last_commit_has_the_outputs_of_the_working_tree():
    command = [sys.executable, str(ROOT / "benchmarks" / "same_outputs.py"), "HEAD"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "identical  train/checkpoints/iter_00000040.pth\n" in done.stdout
    assert done.stdout.splitlines()[-1].endswith(" outputs, 0 differ from HEAD")
