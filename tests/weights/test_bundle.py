"""``deblurkit export --bundle``: a folder that is enough to use, judge and cite a network."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data

from deblurkit import Deblurrer, evaluate
from deblurkit.data.images import read_image, write_image
from deblurkit.errors import UserError
from deblurkit.interop.foreign import read_weights

Command = Callable[..., list[str]]


def test_a_folder_that_is_enough(trained: Path, tmp_path: Path, command: Command, experiment: Any) -> None:
    options = experiment(read_weights(trained)["options"]["generator"])
    evaluate(options, trained, out=tmp_path / "report", device="cpu")
    folder = tmp_path / "handed on"
    said = command(
        *("export", "--weights", trained, "--bundle", folder, "--report", tmp_path / "report"),
        *("--author", "Ada", "--licence", "CC0-1.0", "--data", "two pairs"),
    )
    names = ["1x-small.json", "README.md", "restore.py", "small.onnx", "small.safetensors"]
    assert said[0] == f"{folder}: {', '.join(names)}"
    assert "values differ from PyTorch's by" in said[1]
    assert sorted(os.listdir(folder)) == names

    card = (folder / "README.md").read_text(encoding="utf-8")
    for words in ("CC0-1.0", "two pairs", "gopro-basicsr-v1", "Intended use", "What it cannot do", "How it fails"):
        assert words in card
    assert re.search(r"gain .*\[", card), "scores have intervals"
    assert "@misc{small,\n" in card
    assert "  author = {Ada},\n" in card

    entry = json.loads((folder / "1x-small.json").read_text(encoding="utf-8"))
    assert (entry["name"], entry["author"], entry["license"], entry["scale"]) == ("small", "Ada", "CC0-1.0", 1)
    assert (entry["inputChannels"], entry["outputChannels"]) == (3, 3)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", entry["date"])
    for resource in entry["resources"]:
        (file,) = folder.glob(f"*.{resource['type']}")
        content = file.read_bytes()
        assert (resource["size"], resource["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())

    # The example, where neither torch nor deblurkit can be imported: one tile, then several.
    blocked = "import runpy, sys; sys.modules.update(torch=None, deblurkit=None); runpy.run_path(sys.argv.pop(1))"
    photo = np.ascontiguousarray(np.tile(skimage.data.coffee()[:, :510], (2, 1, 1)))
    for rows in (401, 701):
        write_image(tmp_path / "photo.png", photo[:rows])
        files = [folder / "restore.py", tmp_path / "photo.png", tmp_path / "restored.png"]
        subprocess.run([sys.executable, "-c", blocked, *files], check=True, cwd=tmp_path)
        restored = read_image(tmp_path / "restored.png").astype(int)
        assert restored.shape == (rows, 510, 3)
        if rows == 401:
            expected = Deblurrer(trained, device="cpu", inference="whole")(photo[:rows])
            assert abs(restored - expected).max() <= 1
    assert len((folder / "restore.py").read_text(encoding="utf-8").splitlines()) <= 45


def test_mistakes_leave_no_folder(trained: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "card.yml").write_text("summary: one line\nplaceholder: false\n", encoding="utf-8")
    (tmp_path / "broken.yml").write_text("a: [", encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    for flags, message in [
        (["--card", tmp_path / "none.yml"], "none.yml: cannot be read: No such file"),
        (["--card", tmp_path / "broken.yml"], "broken.yml: is no YAML: "),
        (["--card", tmp_path / "card.yml"], "card.yml: what: Field required"),
        (["--report", tmp_path / "none"], "none: expected the report of one network"),
    ]:
        with pytest.raises(UserError, match=message):
            command("export", "--weights", trained, "--bundle", tmp_path / "bundle", *flags)
        assert sorted(tmp_path.iterdir()) == before
    with pytest.raises(UserError, match="exists already; choose another --bundle"):
        command("export", "--weights", trained, "--bundle", tmp_path)
