"""Two thousand damaged and malicious checkpoints: each works or is refused in words."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given
from hypothesis import strategies as st
from limits import Tally, fuzz, untouched
from mutations import ODD_VALUES, changed_bytes, changed_tree, odd_tensors

from deblurkit import checkpoint
from deblurkit.data.images import write_image
from deblurkit.engine.work_dir import WorkDir
from deblurkit.evaluation.candidates import NetworkCandidate
from deblurkit.evaluation.evaluate import Settings, evaluate_all
from deblurkit.inference.deblurrer import Deblurrer
from deblurkit.options.load import options_from_dict

FIXTURE = Path(__file__).parents[1] / "files" / "format1_tiny.pth"
CONTENT = FIXTURE.read_bytes()
STATE = torch.load(FIXTURE, weights_only=True)
PHOTOGRAPH = np.ascontiguousarray(skimage.data.astronaut()[100:124, 100:132])
CPU = torch.device("cpu")
CASES = int(os.environ.get("DEBLURKIT_CASES", "1000"))  # of each of the two kinds


class Room:
    """A folder to work in, in which nothing may change but what the test itself writes.

    Attributes:
        file: Where a case is written.
        tally: What became of all that was tried with the cases.
        cases: How many there were.
        resumable: How many a training could take up.
        usable: How many could restore images.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.file = root / "given" / "case.pth"
        self.out = root / "out"
        self.run = WorkDir(root / "run")
        self.tally = Tally()
        self.cases = self.resumable = self.usable = 0
        self.run.checkpoints.mkdir(parents=True)
        self.run.iteration_file(1).write_bytes(CONTENT)

    def attempt(self, content: bytes) -> None:
        """Do all that is done with a checkpoint of others."""
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_bytes(content)
        self.run.iteration_file(2).write_bytes(content)
        with untouched(self.root, self.out):
            found = self.tally.attempt(lambda: self.run.newest(lambda line: None))
            assert found is not None, "the checkpoint before is always there"
            self.cases += 1
            self.resumable += self.tally.attempt(self._resume) is not None
            self.tally.attempt(lambda: Deblurrer(self.file, device="cpu", memory=0.2)(PHOTOGRAPH))
            network = self.tally.attempt(lambda: NetworkCandidate(self.file, None, (), CPU, "fp32"))
            if network is not None:
                assert Path(network.name).name == network.name
                self.tally.attempt(lambda: options_from_dict(network.state["options"], str(self.file)))
                self.usable += 1
                if self.usable % 20 == 0:
                    files = [f"one={self.file}", self.file]
                    self.tally.attempt(lambda: evaluate_all(None, files, Settings(out=self.out, device="cpu")))

    def _resume(self) -> Any:
        state = checkpoint.load(self.file)
        return checkpoint.load_generator(state, self.file)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """Where the cases run: the current directory and the home folder, with the pairs that the checkpoint names."""
    root = tmp_path_factory.mktemp("fuzz")
    for number in range(2):
        sharp = np.ascontiguousarray(skimage.data.astronaut()[30 * number : 30 * number + 40, 100:140])
        for kind, pixels in (("sharp", sharp), ("blur", cv2.GaussianBlur(sharp, (0, 0), 1.5))):
            (root / "pairs" / kind).mkdir(parents=True, exist_ok=True)
            write_image(root / "pairs" / kind / f"{number:03}.png", pixels)
    (root / "home").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("HOME", str(root / "home"))
        evaluate_all(None, [FIXTURE, FIXTURE], Settings(out=root / "out", device="cpu"))  # imports and compiles once
        made = Room(root)
        yield made
        print(f"\n{made.cases} checkpoints: {made.resumable} resume, {made.usable} restore; steps: {made.tally}")


FUZZ = fuzz(CASES)


@st.composite
def damaged_archives(draw: st.DrawFn) -> bytes:
    """The file with changed bytes, or an archive of changed entries whose checksums are right."""
    if draw(st.booleans()):
        return draw(changed_bytes(CONTENT))
    with zipfile.ZipFile(io.BytesIO(CONTENT)) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    for _ in range(draw(st.integers(1, 3))):
        described = next((index for index, (name, _) in enumerate(entries) if name.endswith("data.pkl")), 0)
        index = draw(st.sampled_from([described, draw(st.integers(0, len(entries) - 1))]))
        name, data = entries[index]
        action = draw(st.sampled_from(["change"] * 4 + ["drop", "rename", "again", "exchange"]))
        if action == "change":
            entries[index] = (name, draw(changed_bytes(data)))
        elif action == "drop" and len(entries) > 1:
            del entries[index]
        elif action == "rename":
            entries[index] = (
                draw(st.sampled_from(["../pwned", "/pwned", "x", "archive/constants.pkl", name + "0"])),
                data,
            )
        elif action == "again":
            entries.append((name + "x", data))
        elif action == "exchange":
            other = draw(st.integers(0, len(entries) - 1))
            entries[index], entries[other] = (name, entries[other][1]), (entries[other][0], data)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", draw(st.sampled_from([0, 0, 0, 8]))) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return written.getvalue()


@st.composite
def damaged_states(draw: st.DrawFn) -> bytes:
    """A file of torch's, whole, that holds something else than it should."""
    state: Any = draw(changed_tree(STATE, ODD_VALUES + odd_tensors()))
    written = io.BytesIO()
    torch.save(state, written, _use_new_zipfile_serialization=draw(st.sampled_from([True, True, False])))
    return written.getvalue()


@pytest.mark.slow
@FUZZ
@given(content=damaged_archives())
def test_damaged_archives(room: Room, content: bytes) -> None:
    room.attempt(content)


@pytest.mark.slow
@FUZZ
@given(content=damaged_states())
def test_damaged_states(room: Room, content: bytes) -> None:
    room.attempt(content)
