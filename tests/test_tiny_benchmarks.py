"""Every script in ``benchmarks/`` that measures something still runs: with ``--tiny``, in seconds."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
from basicsr_oracle import basicsr

from deblurkit.data.images import write_image

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from processes import start  # noqa: E402
from report_page import browser_file  # noqa: E402

GUARD = 'if __name__ == "__main__":'
SCRIPTS = sorted(f.name for f in BENCHMARKS.glob("*.py") if GUARD in f.read_text(encoding="utf-8"))
WRITERS = {"fill_card.py", "photograph_credits.py", "starter.py", "starter_picture.py"}
"""Scripts that make the network in the box and its pages, and measure nothing."""
ARGUMENTS: dict[str, list[str]] = {
    "agreement.py": ["--set", "coffee={folder}/pairs"],
    "blur_level.py": ["--out", "{folder}/level"],
    "input_gain.py": ["--blurred", "{folder}/pairs/blurred", "--sharp", "{folder}/pairs/sharp"],
    "inside.py": ["{folder}/pairs/blurred/coffee.png", "--out", "{folder}/inside"],
    "reproduce.py": ["--work-dir", "{folder}/work"],
    "same_outputs.py": ["HEAD"],
}
"""Arguments that a script cannot do without; ``{folder}`` has a pair of images."""
SLOW = {"full_width_exports.py", "gradient_shares.py", "kills.py", "reproduce.py", "same_outputs.py"}
"""Scripts that train in processes of their own, or export, even when they are tiny: half of all the time together."""
ELSEWHERE = {"rivals.py": "test_rivals.py"}
"""Scripts that another test runs with ``--tiny``."""


def parameters() -> list[Any]:
    found = []
    for script in SCRIPTS:
        if script not in WRITERS and script not in ELSEWHERE:
            found.append(pytest.param(script, marks=[pytest.mark.slow] if script in SLOW else []))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one pair of images, and something in place of its restoration."""
    place = tmp_path_factory.mktemp("benchmarks")
    sharp = np.ascontiguousarray(skimage.data.coffee()[:270, :280])
    blurred = cv2.blur(sharp, (9, 1))
    for side, pixels in (
        ("sharp", sharp),
        ("blurred", blurred),
        ("restored", cv2.addWeighted(blurred, 2, sharp, -1, 0)),
    ):
        (place / "pairs" / side).mkdir(parents=True)
        write_image(place / "pairs" / side / "coffee.png", pixels)
    return place


@pytest.mark.parametrize("script", parameters())
def test_runs_when_it_is_tiny(script: str, folder: Path) -> None:
    if script == "report_page.py" and browser_file() is None and not os.environ.get("DEBLURKIT_NEED_BROWSER"):
        pytest.skip("no Chromium")
    if "import_basicsr" in (BENCHMARKS / script).read_text(encoding="utf-8"):
        basicsr("metrics")  # which skips where it is not installed
    if script in ("kills.py", "photograph.py") and not Path("/proc/self/stat").is_file():
        pytest.skip("needs /proc")
    output = folder / f"{script}.txt"
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    arguments = [argument.format(folder=folder) for argument in ARGUMENTS.get(script, [])]
    process = start(str(BENCHMARKS / script), [*arguments, "--tiny"], output, environment)
    process.join(300)
    if process.is_alive():
        process.kill()
    told = output.read_text(encoding="utf-8")
    assert process.exitcode == 0, told
    assert told.strip(), "it prints nothing"


def test_what_is_left_out_is_there_and_run_elsewhere() -> None:
    assert set(SCRIPTS) >= {*WRITERS, *ARGUMENTS, *SLOW, *ELSEWHERE}
    for script, test in ELSEWHERE.items():
        text = (ROOT / "tests" / test).read_text(encoding="utf-8")
        assert f'"{script}", "--tiny"' in text
