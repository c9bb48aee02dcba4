"""Every network in the box: it is small, loads with nothing else, restores photographs, and has a card that is true."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch

from deblurkit import Deblurrer, checkpoint, evaluate
from deblurkit.data.images import read_image, to_tensor, to_uint8, write_image
from deblurkit.errors import UserError
from deblurkit.inference.restore import restore
from deblurkit.interop.foreign import read_weights
from deblurkit.torchfile.read import digest
from deblurkit.weights import box
from deblurkit.weights.card import read_card
from deblurkit.weights.description import describe

Command = Callable[..., list[str]]
NAMES = box.names()


def test_the_default_is_there() -> None:
    assert box.DEFAULT in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_name_cannot_be_taken_for_a_path(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]+", name)
    assert box.find(name) == box.FOLDER / f"{name}.safetensors"


def test_names_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "starter").mkdir()
    (tmp_path / "own").touch()
    inside = box.FOLDER / "starter.safetensors"
    assert box.find("starter") == inside, "a file or folder of this name has to be asked for as a path"
    assert box.find(Path("starter")) == inside
    for path in ("./starter", "starter/", "starter.pth", "a/starter", "../starter", "none.safetensors", "own"):
        assert box.find(path) == Path(path)
    with pytest.raises(
        UserError, match=r"Startre: no weights .* \(did you mean 'starter'\?\); .* path, such as ./Start"
    ):
        box.find("Startre")
    with pytest.raises(UserError, match=r"zzz: no weights in the box have this name \(there is .*starter"):
        box.find("zzz")


@pytest.mark.parametrize("name", NAMES)
def test_it_restores_photographs_of_odd_sizes(name: str) -> None:
    file = box.find(name)
    assert file.stat().st_size <= 8_000_000
    deblurrer = Deblurrer(name, device="cpu")
    assert deblurrer.source["file"] == name
    built = checkpoint.load_generator(read_weights(file), file)
    assert not built.training
    for height, width in ((61, 90), (33, 47), (7, 130)):
        photograph = np.ascontiguousarray(skimage.data.chelsea()[40 : 40 + height, 60 : 60 + width])
        restored = deblurrer(photograph)
        assert restored.shape == photograph.shape
        expected = to_uint8(restore(built, to_tensor(photograph).unsqueeze(0))[0])
        assert np.array_equal(restored, expected)
        assert not np.array_equal(restored, photograph)


def test_deblur_without_weights_says_what_it_uses(tmp_path: Path, command: Command) -> None:
    write_image(tmp_path / "photo.png", np.ascontiguousarray(skimage.data.coffee()[:61, :90]))
    said = command("deblur", tmp_path / "photo.png", "--out", tmp_path / "sharper", "--device", "cpu")
    summary = read_card("starter").summary
    assert said[0] == f"weights: starter, {summary}; `deblurkit weights show starter` says more"
    restored = read_image(tmp_path / "sharper" / "photo.png")
    assert np.array_equal(restored, Deblurrer(device="cpu")(read_image(tmp_path / "photo.png")))
    named = command("deblur", tmp_path / "photo.png", "--weights", "starter", "--out", tmp_path / "named")
    assert not [line for line in named if line.startswith("weights: ")]
    with pytest.raises(UserError, match="did you mean 'starter'"):
        command("deblur", tmp_path / "photo.png", "--weights", "startr", "--out", tmp_path / "other")


def test_a_report_names_it_and_not_where_it_lies(tmp_path: Path, experiment: Any) -> None:
    options = experiment(read_weights(box.find("starter"))["options"]["generator"])
    metrics = evaluate(options, "starter", out=tmp_path / "report", device="cpu", inference="whole")
    assert metrics["weights"]["file"] == "starter"
    assert metrics["weights"]["sha256"] == digest(box.find("starter"))
    command = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "--weights starter " in command


@pytest.mark.parametrize("name", NAMES)
def test_its_card_is_of_this_file(name: str, checkout: Path, command: Command) -> None:
    card, content = read_card(name), box.find(name).read_bytes()
    description = describe(content, name)
    assert description.licence == card.licence
    assert description.data
    assert card.scores
    assert card.limits
    assert card.failures
    for key, measured in card.measured.items():
        assert key in card.scores
        assert measured.weights.sha256 == digest(box.find(name)), f"{key}: a score of other weights"
    page = checkout / "docs" / f"{name}.md"
    written = "\n".join(command("weights", "show", name, "--markdown")) + "\n"
    assert page.read_text(encoding="utf-8") == written, f"python benchmarks/fill_card.py {name}"


def test_the_list_and_the_cards(command: Command) -> None:
    listed = command("weights")
    assert listed == command("weights", "list")
    boxed = listed[: listed.index("")]
    assert [line.split()[0] for line in boxed] == NAMES
    for name, line in zip(NAMES, boxed, strict=True):
        megabytes = f"{box.find(name).stat().st_size / 1e6:.2f} MB"
        assert line.split(None, 1)[1].split("  ")[0] == megabytes
        assert read_card(name).licence in line
        shown = command("weights", "show", name)
        assert shown[0] == name
        assert {"Training data", "Recipe", "Scores", "What it cannot do", "How it fails"} <= set(shown)
        assert not [each for each in shown if each.startswith("#")]
    with pytest.raises(UserError, match="did you mean 'starter'"):
        command("weights", "show", "startr")


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_lost_nothing_that_matters(name: str) -> None:
    """No weight became infinite or, all at once, nothing."""
    for key, value in read_weights(box.find(name))["generator"].items():
        assert torch.isfinite(value).all(), key
