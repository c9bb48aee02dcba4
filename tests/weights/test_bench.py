"""``deblurkit bench``: one network in several runtimes, in turn, on the same images."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from deblurkit.data.images import write_image
from deblurkit.errors import UserError
from deblurkit.exporting.bench import images_of
from deblurkit.exporting.runtimes import RUNTIMES

Command = Callable[..., list[str]]

NO_SOCKETS = """
import sys
import numpy as np
from pathlib import Path
from deblurkit.exporting.runtimes import RUNTIMES

def refuse(event, arguments):
    if event.startswith("socket.") or event in ("os.fork", "subprocess.Popen"):
        print(event, arguments)

sys.addaudithook(refuse)
for runtime in RUNTIMES:
    runtime.start(Path(sys.argv[1]), "fp32", np.zeros((1, 3, 9, 13), np.float32))
    print(runtime.name)
"""


@pytest.fixture
def exported(trained: Path, command: Command) -> Path:
    command("export", "--weights", trained, "--to", "onnx", "--out", trained.with_name("small.onnx"))
    return trained.with_name("small.onnx")


def test_all_runtimes_agree(trained: Path, exported: Path, command: Command, tmp_path: Path) -> None:
    half = trained.with_name("half.onnx")
    command("export", "--weights", trained, "--to", "onnx", "--out", half, "--half")
    photo, page, figures = tmp_path / "photo.png", tmp_path / "page.md", tmp_path / "figures.json"
    write_image(photo, np.ascontiguousarray(skimage.data.coffee()[:30, :200]))
    files = [exported, half, trained]
    flags = ["--bf16", "--input", photo, "--size", "45x61", "--rounds", "2"]
    said = command("bench", *files, *flags, "--markdown", page, "--json", figures)
    assert said[0] == "Time of one image of 45x61"
    found = json.loads(figures.read_text())
    assert found["notes"] == []
    rows = {(Path(row["file"]).name, row["runtime"], row["precision"]): row for row in found["runtimes"]}
    assert rows.keys() == {
        ("small.pth", "PyTorch", "fp32"),
        ("small.pth", "PyTorch", "bf16"),
        *((file, "OpenVINO", "bf16") for file in ("small.pth", "small.onnx")),
        *((file, runtime.name, "fp32") for file in ("small.pth", "small.onnx") for runtime in RUNTIMES),
        *(("half.onnx", runtime.name, "fp16") for runtime in RUNTIMES),
    }
    reference = rows.pop(("small.pth", "PyTorch", "fp32"))
    assert (reference["psnr"], reference["ratio"]) == (None, 1)
    for (_, _, precision), row in rows.items():
        assert row["psnr"] == "inf" or row["psnr"] > (100 if precision == "fp32" else 40)
        assert 0 < row["least_s"] <= row["median_s"]
    medians = [row["median_s"] for row in found["runtimes"]]
    assert medians == sorted(medians)
    assert f"small.pth | OpenVINO | fp32 | {rows['small.pth', 'OpenVINO', 'fp32']['median_s']:.3f}" in page.read_text()


def test_each_network_is_judged_by_itself(exported: Path, command: Command, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command("bench", "starter", exported, "--size", "33x47", "--rounds", "1", "--json", figures)
    rows = json.loads(figures.read_text())["runtimes"]
    assert [row["file"] for row in rows] == ["starter"] * 4 + [str(exported)] * 3
    references = [(row["file"], row["runtime"]) for row in rows if row["psnr"] is None]
    assert references == [("starter", "PyTorch"), (str(exported), "onnxruntime")]


def test_no_runtime_opens_a_socket(exported: Path) -> None:
    """OpenVINO's telemetry looks up a host of statistics as soon as it is imported."""
    script = [sys.executable, "-c", NO_SOCKETS, str(exported)]
    said = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [runtime.name for runtime in RUNTIMES]


def test_a_runtime_that_is_missing_or_refuses_is_a_line(
    trained: Path, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    said = command("bench", trained, "--size", "32x32", "--rounds", "1")
    assert f"{trained}: OpenVINO: not installed: pip install 'deblurkit[openvino]'" in said
    (tmp_path / "no.onnx").write_bytes(b"no graph")
    photo = tmp_path / "photo.png"
    write_image(photo, np.ascontiguousarray(skimage.data.coffee()[:8, :8]))
    for flags, message in [
        ([tmp_path / "no.onnx"], "no.onnx: damaged, or not written by deblurkit"),
        ([tmp_path / "none.onnx"], "none.onnx: there is no such checkpoint"),
        ([trained, "--size", "0x7"], "size: '0x7'"),
        ([trained, "--rounds", "0"], "--rounds: got 0"),
        ([trained, "--size", "99999x99999"], "^3 images of 99999x99999 would take about .* GiB"),
        ([trained, "--input", tmp_path / "none.png"], "none.png"),
        ([trained, "--json", tmp_path / "no" / "a.json"], "there is no folder"),
    ]:
        with pytest.raises(UserError, match=message):
            command("bench", *flags)
    monkeypatch.setattr("deblurkit.exporting.bench.free_device_memory", lambda device: 3 << 20)
    with pytest.raises(UserError, match=r"small.pth: an image of 160x200 would take about .* GiB, and 0.0 are free"):
        command("bench", trained, "--size", "160x200", "--input", photo)


def test_images_are_cut_or_mirrored(tmp_path: Path) -> None:
    image = np.ascontiguousarray(skimage.data.coffee()[:20, :30])
    write_image(tmp_path / "a.png", image)
    (found,) = images_of(50, 10, [tmp_path / "a.png"])
    assert found.shape == (1, 3, 50, 10)
    pixels = (found[0].transpose(1, 2, 0) * 255).round().astype(np.uint8)
    np.testing.assert_array_equal(pixels, np.vstack([image, image[::-1], image])[:50, :10])
    assert len(images_of(8, 8)) == 3
