"""``deblurkit export --to onnx`` and ``--to pt2``: the network itself, which other programs run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import skimage.data
import torch
from shrunk import SHRUNK
from torch import Tensor, nn

from deblurkit import Deblurrer
from deblurkit.archs.crosshatch import CrosshatchAttention
from deblurkit.data.images import read_image, write_image
from deblurkit.errors import UserError
from deblurkit.exporting.network import Labels, Network
from deblurkit.exporting.onnx_file import export_onnx
from deblurkit.exporting.program import export_program
from deblurkit.registry import ARCHS
from deblurkit.weights import graph
from deblurkit.weights.description import KEY

Command = Callable[..., list[str]]
NAMES = [name for name in ARCHS.names() if ARCHS.get(name).__module__.startswith("deblurkit.")]


def network(kind: str, **arguments: Any) -> Network:
    """A network with random weights, none of them zero, so that nothing in it is without effect."""
    torch.manual_seed(0)
    generator: nn.Module = ARCHS.build({"type": kind, **arguments}).eval()
    for weight in generator.parameters():
        if not weight.any():
            nn.init.normal_(weight, 0, 0.02)
    state = {"options": {"name": kind, "generator": {"type": kind}}, "position": {"iteration": 0}, "ema": None}
    return Network(Path(f"{kind}.pth"), state, generator, Labels())


def test_onnx_restores_as_the_checkpoint_does(trained: Path, command: Command) -> None:
    out = trained.with_name("small.onnx")
    said = command("export", "--weights", trained, "--to", "onnx", "--out", out, "--licence", "MIT", "--data", "noise")
    assert said[0] == f"{trained}: FilterBankUNet after 3 iterations, averaged weights (EMA)"
    assert "computes in fp32, images float32 of any number and size, opset" in said[1]
    assert said[2].startswith(f"{out}: onnxruntime {onnxruntime.__version__}: values differ from PyTorch's by ")
    assert len(said) == 3
    image = skimage.data.coffee()[:161, :190]
    for mode in ("whole", "tile:64,16", "x8"):
        exported = Deblurrer(out, device="cpu", inference=mode)
        checkpoint = Deblurrer(trained, device="cpu", inference=mode)
        assert abs(exported(image).astype(int) - checkpoint(image)).max() <= 1
    assert exported.source == {"name": "small", "file": str(out), "iteration": 3, "ema": True}
    taken = [deblurrer.session.estimate(300, 400) for deblurrer in (exported, checkpoint)]
    assert taken[0] == pytest.approx(taken[1], rel=0.01)

    write_image(trained.with_name("photo.png"), np.ascontiguousarray(image))
    folder = trained.with_name("restored")
    command("deblur", trained.with_name("photo.png"), "--weights", out, "--out", folder)
    assert abs(read_image(folder / "photo.png").astype(int) - Deblurrer(trained)(image)).max() <= 1


def test_the_graph_alone_takes_any_size_and_number(trained: Path, command: Command) -> None:
    out = trained.with_name("half.onnx")
    assert "computes in fp16" in command("export", "--weights", trained, "--to", "onnx", "--out", out, "--half")[1]
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    (taken,), (returned,) = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.shape, taken.type) == ("blurred", ["batch", 3, "height", "width"], "tensor(float)")
    assert (returned.name, returned.type) == ("image", "tensor(float)")
    described = graph.parse(session.get_modelmeta().custom_metadata_map[KEY], out)
    assert (described.description.name, described.description.half) == ("small", True)
    for shape in ((1, 3, 1, 1), (3, 3, 50, 3), (2, 3, 64, 600)):
        (image,) = session.run(None, {"blurred": np.full(shape, 0.5, np.float32)})
        assert image.shape == shape
        assert image.dtype == np.float32
        assert np.isfinite(image).all()
    (image,) = session.run(None, {"blurred": np.full((1, 3, 32, 32), np.nan, np.float32)})
    assert np.isnan(image).all()


def test_pytorch_loads_the_program(trained: Path, command: Command) -> None:
    out = trained.with_name("small.pt2")
    assert "from 5 pixels a side" in command("export", "--weights", trained, "--to", "pt2", "--out", out)[1]
    image = skimage.data.coffee()[:61, :90]
    pixels = torch.from_numpy(image.astype(np.float32) / 255).movedim(2, 0).unsqueeze(0)
    (restored,) = torch.export.load(out).module()(pixels)
    expected = Deblurrer(trained, device="cpu")(image).astype(int)
    assert abs((restored[0].movedim(0, 2) * 255).round().numpy() - expected).max() <= 1


def test_what_is_no_whole_export_is_one_line(trained: Path, command: Command, tmp_path: Path) -> None:
    out, photo = tmp_path / "small.onnx", tmp_path / "photo.png"
    command("export", "--weights", trained, "--to", "onnx", "--out", out)
    write_image(photo, np.ascontiguousarray(skimage.data.coffee()[:8, :8]))
    whole = out.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    unsealed = whole[: -len(graph.seal(b""))]
    other = graph.metadata(KEY, '{"format": 7}')
    for content, message in [
        (bytes(flipped), "damaged, or not written by deblurkit"),
        (whole[:-1], "damaged, or not written by deblurkit"),
        (b"", "damaged, or not written by deblurkit"),
        (unsealed, "damaged, or not written by deblurkit"),
        (graph.seal(b"no graph"), "onnxruntime does not take it: "),
        (graph.seal(unsealed + other), "described in format 7, expected 1"),
        (graph.seal(unsealed + graph.metadata(KEY, "[")), "its deblurkit entry is damaged: "),
    ]:
        out.write_bytes(content)
        with pytest.raises(UserError, match=message) as caught:
            command("deblur", photo, "--weights", out, "--out", tmp_path / "never")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "never").exists()
    out.write_bytes(whole)
    for arguments, message in [
        ({"precision": "bf16"}, "run as it is"),
        ({"key": "params"}, "run as it is"),
        ({"fast": True}, "run as it is"),
        ({"inference": "tlc:32"}, "OnnxNetwork has no global average pooling"),
        ({"device": "meta"}, "cannot be used|cannot use 'meta'"),
    ]:
        with pytest.raises(UserError, match=message):
            Deblurrer(out, **arguments)


def test_attention_in_chunks_leaves_whole(tmp_path: Path) -> None:
    """A loop over chunks, unrolled for the example's size, left all rows but the first chunk's undone elsewhere."""
    crosshatch = network("Crosshatch", **SHRUNK["Crosshatch"])
    chunked = [module for module in crosshatch.generator.modules() if isinstance(module, CrosshatchAttention)]
    assert chunked
    for module in chunked:
        nn.init.ones_(module.gamma)
        module.chunk_bytes = 20_000
    assert export_onnx(crosshatch, tmp_path / "a.onnx")[1].largest < 1e-4


class Looping(nn.Module):
    """A network with a loop whose length depends on the image's size."""

    def forward(self, blurred: Tensor) -> Tensor:
        return torch.cat([blurred[:, :, row : row + 9].flip(2) for row in range(0, blurred.shape[2], 9)], 2)


class Asking(nn.Module):
    """A network that looks at its pixels before it decides what to do."""

    def forward(self, blurred: Tensor) -> Tensor:
        return blurred if blurred.sum() > 0 else -blurred


class Decomposing(nn.Module):
    """A network with an operation that ONNX does not have."""

    def forward(self, blurred: Tensor) -> Tensor:
        return torch.linalg.svdvals(blurred)[..., :1, None] * blurred


def test_what_cannot_be_exported_leaves_nothing_behind(trained: Path, command: Command, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    for generator, message in [
        (Looping(), r"^it.pth: Looping does not become a graph: .* cannot be exported: (Constraints|Guard)"),
        (Asking(), r"^it.pth: Asking does not become a graph: .* cannot be exported: "),
        (Decomposing(), r"^it.pth: Decomposing does not become ONNX: its operation aten.*svd.* cannot be exported: "),
    ]:
        name = type(generator).__name__
        state = {"options": {"name": "it", "generator": {"type": name}}, "position": {"iteration": 0}, "ema": None}
        with pytest.raises(UserError, match=message) as caught:
            export_onnx(Network(Path("it.pth"), state, generator.eval(), Labels()), tmp_path / "a.onnx")
        assert "\n" not in str(caught.value)
    for target, out, flags, message in [
        ("onnx", "a.pt2", [], "expected a name that ends in .onnx"),
        ("onnx", "none/a.onnx", [], "cannot be written: No such file"),
        ("onnx", "a.onnx", ["--name", "a/b"], "name 'a/b'"),
    ]:
        with pytest.raises(UserError, match=message):
            command("export", "--weights", trained, "--to", target, "--out", tmp_path / out, *flags)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
@pytest.mark.parametrize("kind", NAMES)
def test_every_generator_leaves_as_onnx(kind: str, half: bool, tmp_path: Path) -> None:
    described, agreement = export_onnx(network(kind, **SHRUNK.get(kind, {})), tmp_path / "a.onnx", half)
    assert described.outputs[0] == "image"
    assert agreement.psnr > 50 if half else agreement.largest < 1e-4


class Heavy(nn.Module):
    """A network whose weights one ONNX file cannot hold."""

    size_divisor = 1

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.rand(540_000_000))

    def forward(self, blurred: Tensor) -> Tensor:
        return blurred / 2 + self.table[(blurred.nan_to_num().clamp(0, 1) * 539_000_000).long()] / 2


@pytest.mark.slow
def test_weights_of_over_two_gigabytes_lie_beside_the_file(tmp_path: Path) -> None:
    state = {"options": {"name": "it", "generator": {"type": "Heavy"}}, "position": {"iteration": 0}, "ema": None}
    out = tmp_path / "heavy.onnx"
    described, agreement = export_onnx(Network(Path("it.pth"), state, Heavy().eval(), Labels()), out)
    data = tmp_path / "heavy.onnx.data"
    assert sorted(tmp_path.iterdir()) == [out, data]
    assert agreement.largest < 1e-4
    assert described.data_sha256
    image = skimage.data.coffee()[:20, :30]
    restored = Deblurrer(out, device="cpu")(image)
    assert restored.shape == image.shape
    with data.open("r+b") as opened:
        opened.seek(10**9)
        byte = opened.read(1)[0]
        opened.seek(10**9)
        opened.write(bytes([byte ^ 1]))
    with pytest.raises(UserError, match=r"heavy.onnx.data: damaged: it does not have the SHA-256 digest"):
        Deblurrer(out, device="cpu")
    data.unlink()
    with pytest.raises(UserError, match=r"heavy.onnx: onnxruntime does not take it|heavy.onnx.data"):
        Deblurrer(out, device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize("kind", NAMES)
def test_every_generator_leaves_as_a_program(kind: str, tmp_path: Path) -> None:
    assert export_program(network(kind, **SHRUNK.get(kind, {})), tmp_path / "a.pt2").largest < 1e-4


@pytest.mark.slow
def test_local_means_leave_with_the_network(tmp_path: Path) -> None:
    nafnet = network("NAFNet", **SHRUNK["NAFNet"])
    images = torch.rand(1, 3, 3, 515).numpy()
    restored = []
    for tlc in (48, None):
        _, agreement = export_onnx(nafnet, tmp_path / f"{tlc}.onnx", tlc=tlc)
        assert agreement.largest < 1e-4
        session = onnxruntime.InferenceSession(tmp_path / f"{tlc}.onnx", providers=["CPUExecutionProvider"])
        restored.append(session.run(None, {"blurred": images})[0])
    assert abs(restored[0] - restored[1]).max() > 1e-5
