"""What deblurkit 0.1.0 wrote before its rooms were redrawn is read: ``tests/files/written_before``.

``tiny.yml`` was trained for 6 iterations on ``pairs``, with a checkpoint after 3 and after 6; the first was tested.
``packed`` and ``lmdb`` hold the pairs; ``unfinished`` is the journal of that test.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import deblurkit
from deblurkit import checkpoint
from deblurkit.evaluation.resume import Journal
from deblurkit.registry import DATASETS

WRITTEN = Path(__file__).with_name("files") / "written_before"


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, and the current directory: the paths in it are relative."""
    shutil.copytree(WRITTEN, tmp_path / "written")
    monkeypatch.chdir(tmp_path / "written")
    return tmp_path / "written"


@pytest.mark.parametrize(
    "stored",
    [
        {"type": "PackedPairs", "path": "packed"},
        {"type": "LMDBPairs", "blurred": "lmdb/blurred.lmdb", "sharp": "lmdb/sharp.lmdb"},
    ],
    ids=lambda config: config["type"],
)
def test_stored_pairs(written: Path, stored: dict[str, str]):
    pairs = DATASETS.build({"type": "PairedImages", "blurred": "pairs/blurred", "sharp": "pairs/sharp"})
    dataset = DATASETS.build(stored)
    assert dataset.keys() == pairs.keys() == ["0", "1", "2"]
    for index in range(3):
        for side in ("blurred", "sharp"):
            assert np.array_equal(dataset.read(index)[side], pairs.read(index)[side])


def test_expanded_options_are_the_same_options(written: Path):
    expanded = deblurkit.load_options("run/options.yml")
    assert expanded.to_dict() == deblurkit.load_options("tiny.yml").to_dict()
    assert expanded.to_dict() == checkpoint.load(Path("run/checkpoints/iter_00000003.pth"))["options"]


def test_a_checkpoint_has_the_scores_that_it_had(written: Path):
    """Within what the arithmetic of another machine may change."""
    metrics = deblurkit.evaluate(weights="run/checkpoints/iter_00000003.pth", out=written / "report", device="cpu")
    before = json.loads((written / "metrics.json").read_text(encoding="utf-8"))["datasets"]["pairs"]
    for side in ("blurred", "restored", "gain"):
        assert metrics["datasets"]["pairs"][side] == pytest.approx(before[side], abs=1e-3)


def test_a_run_goes_on(written: Path):
    checkpoints = written / "run/checkpoints"
    finished = checkpoint.load(checkpoints / "iter_00000006.pth")
    (checkpoints / "iter_00000006.pth").unlink()
    (checkpoints / "last").write_text("iter_00000003.pth\n", encoding="utf-8")
    deblurkit.train(deblurkit.load_options("tiny.yml"), "run", resume=True, device="cpu")
    resumed = checkpoint.load(checkpoints / "iter_00000006.pth")
    begun = checkpoint.load(checkpoints / "iter_00000003.pth")
    assert resumed.keys() == finished.keys()
    for part in ("generator", "ema"):
        went, missed = 0.0, 0.0
        for name, tensor in finished[part].items():
            went += float((tensor - begun[part][name]).square().sum())
            missed += float((tensor - resumed[part][name]).square().sum())
        # Adam's steps are as long where a gradient is only rounding: on another CPU such weights differ, others hardly.
        assert missed < 1e-3 * went, (part, missed / went)


def test_a_journal_is_gone_on_with(written: Path):
    file = written / "unfinished/pairs.jsonl"
    fingerprint = json.loads(file.read_text(encoding="utf-8").splitlines()[0])
    journal = Journal(file, {key: value for key, value in fingerprint.items() if key != "layout"})
    journal.close()
    assert not journal.differing
    assert [outcome.row.key for outcome in journal.outcomes.values()] == ["0", "1", "2"]
    assert journal.outcomes[0].row.restored == pytest.approx({"psnr": 23.5676, "ssim": 0.71679}, abs=1e-4)
