"""Names that files bring lead nowhere: crafted checkpoints, pointers, data sets and folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from in_process import run_here

from deblurkit import checkpoint
from deblurkit.data.images import write_image
from deblurkit.errors import UserError
from deblurkit.evaluation.candidates import find_weights, split_names
from deblurkit.evaluation.evaluate import Settings, evaluate_all, score_folders

NAMES = ["../../pwned", "/pwned", "..", "a/b", "C:pwned", "pwned\0", "con", "", "x" * 300, "\x1b[2Jpwned"]

SET = '''
import numpy as np

from deblurkit.data.dataset import Pairs
from deblurkit.registry import DATASETS


@DATASETS.register_module()
class NamedAsTold(Pairs):
    """One image under a name that is given, in a set that calls itself as is given."""

    def __init__(self, image: str = "a", name: str = "Named") -> None:
        super().__init__()
        self.image, self.name = image, name

    def keys(self):
        return [self.image]

    def __len__(self):
        return 1

    def load(self, index):
        pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
        return {"blurred": pixels, "sharp": pixels, "key": self.image}

    def size(self, index):
        return 32, 32

    def describe(self):
        return {**super().describe(), "set": self.name}
'''


@pytest.fixture(scope="session")
def named_set(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("named") / "named.py"
    file.write_text(SET, encoding="utf-8")
    return str(file)


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "unfinished" not in path.parts}


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_that_names_another_folder(experiment: Any, tmp_path: Path, name: str) -> None:
    state = checkpoint.read(experiment.best)
    state["options"]["name"] = name
    files = [tmp_path / "a.pth", tmp_path / "b.pth"]
    for file in files:
        torch.save(state, file)
    before = files_in(tmp_path)
    flags = ["--plugin", experiment.plugin, "--out", tmp_path / "work_dirs" / "deep" / "out", "--device", "cpu"]
    done = run_here("test.py", "--weights", *files, *flags)
    assert done.returncode == 2
    assert f"{files[0]}: this checkpoint is damaged: options.name: names a folder" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    photograph = tmp_path / "photo.png"
    write_image(photograph, np.zeros((16, 16, 3), np.uint8))
    done = run_here(
        "deblur.py", photograph, "--weights", files[0], "--out", tmp_path / "out", "--plugin", experiment.plugin
    )
    assert done.returncode == 2
    assert "options.name: names a folder" in done.stderr
    assert files_in(tmp_path) == before | {photograph}


@pytest.mark.parametrize("content", [b"../../../pwned.pth", b"/pwned.pth", b"\xff\xfe", b"", b"a\0.pth"])
def test_a_pointer_that_leads_elsewhere(experiment: Any, content: bytes) -> None:
    folder = experiment.best.parent
    experiment.best.rename(folder.parents[1] / "pwned.pth")
    (folder / "last").write_bytes(content)
    with pytest.raises(UserError, match="last: should name a checkpoint beside it"):
        find_weights(experiment.work_dir)


@pytest.mark.parametrize("name", [name for name in NAMES if name])
def test_a_candidate_is_named_as_a_folder_can_be(name: str) -> None:
    with pytest.raises(UserError, match="cannot name a candidate: it names a folder"):
        split_names([f"{name}=weights.pth"])


@pytest.mark.parametrize("key", ["../pwned", "/pwned", "a\\..\\pwned", "C:pwned", "a\nb", "x" * 300])
def test_an_image_that_leads_out_of_the_folder(
    experiment: Any, rewrite: Any, named_set: str, tmp_path: Path, key: str
) -> None:
    rewrite(f"plugins: [{experiment.plugin}]", f"plugins: [{experiment.plugin}, {named_set}]")
    rewrite("  test:\n", f"  test:\n    odd: {{type: NamedAsTold, image: {json.dumps(key)}}}\n")
    flags = ["--dataset", "odd", "--save-images", "--out", tmp_path / "out", "--device", "cpu"]
    before = files_in(tmp_path)
    done = run_here("test.py", "-opt", experiment.options, *flags)
    assert done.returncode == 2
    assert "its name" in done.stderr
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("name", ["../pwned", "a.b", "con", ""])
def test_a_data_set_that_calls_itself_a_path(named_set: str, tmp_path: Path, name: str) -> None:
    (tmp_path / "restored").mkdir()
    write_image(tmp_path / "restored" / "a.png", np.zeros((32, 32, 3), np.uint8))
    settings = Settings(protocol="gopro-basicsr-v1", plugins=[named_set], out=tmp_path / "out", device="cpu")
    with pytest.raises(UserError, match="the set calls itself"):
        score_folders([tmp_path / "restored"], settings, data=f"{{type: NamedAsTold, name: '{name}'}}")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_name_is_asked_for_one(named_set: str, tmp_path: Path) -> None:
    settings = Settings(protocol="gopro-basicsr-v1", plugins=[named_set], out=tmp_path / "out", device="cpu")
    with pytest.raises(UserError, match=r"give another: NAME=/$"):
        score_folders(["/"], settings, data="{type: NamedAsTold}")


def test_a_published_file_of_any_name_has_a_name(experiment: Any, tmp_path: Path) -> None:
    """Names taken from files are made of letters, digits and ``_``; see tests/test_names.py."""
    file = tmp_path / "..=..con.pth"
    file.write_bytes(experiment.best.read_bytes())
    done = evaluate_all(None, [file], Settings(plugins=[experiment.plugin], out=tmp_path / "out", device="cpu"))
    assert done.candidates[0].name == "sharpener"
