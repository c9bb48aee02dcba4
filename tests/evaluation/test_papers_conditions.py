"""Each paper's own test conditions, from its option file as it ships, on small sets in their official layouts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import yaml
from in_process import run_here
from shrunk import SHRUNK
from states import whole_state

from deblurkit import checkpoint
from deblurkit.data.images import write_image
from deblurkit.options.load import load_options
from deblurkit.report.tables import escape

OPTIONS = Path(__file__).resolve().parents[2] / "options"
COMMON, OFFICIAL, BLIND = "gopro-basicsr-v1", "kohler-official-v1", "no-reference-v1"


@dataclass(frozen=True)
class Conditions:
    """What an option file tests.

    Attributes:
        protocols: By test set.
        published: PSNR that the paper prints, by test set.
        unseen: Names under which it prints figures that no test set has.
    """

    protocols: dict[str, str]
    published: dict[str, float]
    unseen: frozenset[str] = frozenset()


PAPERS = {
    "crosshatch": Conditions({"gopro": COMMON, "gopro_256": COMMON}, {"gopro_256": 31.5}),
    "structure_guided": Conditions(
        {"gopro": COMMON, "kohler": OFFICIAL, "kohler_unaligned": "kohler-mid-unaligned-v1", "lai": BLIND},
        {"gopro": 29.2252, "kohler_unaligned": 21.3728},
        frozenset({"user_study"}),
    ),
    "madn": Conditions(
        {"gopro": COMMON, "gopro_256": COMMON, "lai_256": BLIND},
        {"gopro_256": 30.18},
        frozenset({"gopro_crowds", "gopro_road", "gopro_car", "gopro_store", "gopro_average"}),
    ),
    "bag": Conditions({"gopro": COMMON}, {"gopro": 29.41}),
    "dsc": Conditions({"gopro": COMMON, "kohler": OFFICIAL}, {"gopro": 29.34, "kohler": 26.32}),
}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``datasets`` in it: one image of GoPro, Köhler and Lai's real photographs, under moved cameras."""
    root = tmp_path_factory.mktemp("sets")
    photograph = np.ascontiguousarray(skimage.data.coffee())
    frames = [np.ascontiguousarray(photograph[40:304, n : 288 + n]) for n in range(7)]
    blurred = np.mean(frames, axis=0).astype(np.uint8)
    sequence = root / "datasets/GoPro/test/GOPR0384_11_00"
    images = {sequence / "blur/000001.png": blurred, sequence / "sharp/000001.png": frames[3]}
    kohler = root / "datasets/Kohler"
    images[kohler / "Blurry1_1.png"] = blurred
    images |= {kohler / f"Image1/Kernel1/GroundTruth1_1_{n}.png": frames[n] for n in (1, 3, 5)}
    images[root / "datasets/Lai/real_dataset/boat1.png"] = blurred
    for file, pixels in images.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_image(file, pixels)
    return root


def small_experiment(name: str, folder: Path) -> tuple[Path, Path]:
    """Write an option file that shrinks the paper's networks and changes nothing else, and a checkpoint of it."""
    shipped = load_options(OPTIONS / f"{name}.yml")
    file, weights = folder / "small.yml", folder / "checkpoints" / "best_psnr.pth"
    weights.parent.mkdir(parents=True)
    small = SHRUNK[shipped.generator["type"]]
    file.write_text(yaml.safe_dump({"_base_": str(OPTIONS / f"{name}.yml"), "generator": small}), encoding="utf-8")
    options = load_options(file)
    generator = checkpoint.build_generator(options).state_dict()
    checkpoint.save(whole_state(generator=generator, options=options.to_dict(), trained_on=None), weights)
    return file, weights


def run(name: str, folder: Path, *arguments: str) -> tuple[dict[str, Any], str, str]:
    """Return ``metrics.json``, ``report.md`` and what the tool said on standard error."""
    file, weights = small_experiment(name, folder)
    done = run_here("test.py", "-opt", file, "--weights", weights, "--device", "cpu", *arguments)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((folder / "report" / "metrics.json").read_text(encoding="utf-8"))
    return metrics, (folder / "report" / "report.md").read_text(encoding="utf-8"), done.stderr


@pytest.mark.parametrize("name", PAPERS)
def test_option_files_name_the_papers_conditions(name: str) -> None:
    """Each published row stands under a test set of its paper's conditions; the rest is known not to have one."""
    options, wanted = load_options(OPTIONS / f"{name}.yml"), PAPERS[name]
    tests, published = options.datasets.test, options.paper.published
    assert {key: entry.protocol or options.val.protocol for key, entry in tests.items()} == wanted.protocols
    assert {key: figures["psnr"] for key, figures in published.items() if key in tests} == wanted.published
    assert set(published) - set(tests) == wanted.unseen
    sides = {"crosshatch": {"resize": 256}, "madn": {"crop": 256}}.get(name, {})
    assert {key: tests["gopro_256"].component[key] for key in sides} == sides
    assert not {"resize", "crop"} & set(tests["gopro"].component), "the common protocol is of whole images"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "crosshatch" else pytest.mark.slow) for name in PAPERS]
)
def test_its_report_has_every_set_by_its_protocol_and_the_published_rows_beside(
    name: str, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sets)
    metrics, page, said = run(name, tmp_path)
    wanted = PAPERS[name]
    scored = metrics["datasets"]
    assert said == ""
    assert {set_name: entry["protocol"]["id"] for set_name, entry in scored.items()} == wanted.protocols
    assert all(entry["restored"] for entry in scored.values())
    shown = {set_name: entry["published"]["psnr"] for set_name, entry in scored.items() if entry["published"]}
    assert shown == wanted.published
    for set_name, psnr in wanted.published.items():
        title = rf"\| {re.escape(escape(set_name))}(, by [\w-]+)? \| psnr "
        (row,) = (line for line in page.splitlines() if re.match(title, line))
        assert f"| {psnr} |" in row
    for set_name in wanted.unseen:
        assert f"| the paper itself | {escape(set_name)} |" in page
    if "gopro_256" in scored:
        assert scored["gopro_256"]["blurred"] != scored["gopro"]["blurred"]
        assert "scored were images of GoPro with " in page
        assert "256 x 256 pixels (h x w)" in page
    if "kohler_unaligned" in scored:
        assert scored["kohler_unaligned"]["blurred"]["psnr"] < scored["kohler"]["blurred"]["psnr"]


def test_who_has_gopro_alone_gets_its_table(sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "GoPro").symlink_to(sets / "datasets" / "GoPro")
    monkeypatch.chdir(tmp_path)
    file, _ = small_experiment("dsc", tmp_path / "run")
    tool = OPTIONS.parent / "tools" / "test.py"
    command = [sys.executable, str(tool), "-opt", str(file), "--weights", "run/checkpoints/best_psnr.pth"]
    environment = {**os.environ, "PYTHONPATH": str(OPTIONS.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, "--device", "cpu"], capture_output=True, encoding="utf-8", env=environment)
    assert done.returncode == 0
    page = (tmp_path / "run" / "report" / "report.md").read_text(encoding="utf-8")
    metrics = json.loads((tmp_path / "run" / "report" / "metrics.json").read_text(encoding="utf-8"))
    assert list(metrics["datasets"]) == ["gopro"]
    (line,) = done.stderr.splitlines()
    assert line.startswith("kohler: not scored, its data are not here: there is no folder datasets/Kohler")
    assert "- **kohler: not scored, " in page
    assert "| the paper itself | kohler | 26.32 |" in page


@pytest.mark.slow
def test_windows_of_a_test_set_do_not_depend_on_the_experiments_seed(
    sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two trainings with two seeds are tested on the same crops."""
    monkeypatch.chdir(sets)
    found = []
    for seed in (0, 7):
        file, weights = small_experiment("madn", tmp_path / str(seed))
        file.write_text(file.read_text(encoding="utf-8") + f"seed: {seed}\n", encoding="utf-8")
        done = run_here("test.py", "-opt", file, "--weights", weights, "--device", "cpu", "--dataset", "gopro_256")
        assert done.returncode == 0, done.stderr
        metrics = json.loads((tmp_path / str(seed) / "report" / "metrics.json").read_text(encoding="utf-8"))
        found.append(metrics["datasets"]["gopro_256"]["blurred"])
    assert found[0] == found[1]
