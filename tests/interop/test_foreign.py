"""Published weight files as checkpoints of ours, and what is said of files that are not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from published import PublishedDeblurGAN, PublishedV2
from torch import Tensor, nn
from two_pairs import on_two_pairs

from deblurkit import checkpoint
from deblurkit.archs.deblurgan import DeblurGAN
from deblurkit.archs.deblurgan_v2 import DeblurGANv2
from deblurkit.checkpoint import CheckpointError
from deblurkit.data.images import write_image
from deblurkit.engine.train import train
from deblurkit.errors import UserError
from deblurkit.evaluation.evaluate import evaluate
from deblurkit.inference.deblurrer import Deblurrer
from deblurkit.inspection.photo import Settings, look
from deblurkit.interop.foreign import read_weights
from deblurkit.options.load import load_options, options_from_dict

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def loaded(file: Path) -> nn.Module:
    return checkpoint.load_generator(read_weights(file), file)


def as_tested(network: nn.Module) -> nn.Module:
    """The public code's way to test: in training mode. Dropout is left out, so that there is one answer."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    return network


def test_the_references_layout_is_the_published_one():
    """Names as they stand in the public code, and in the error messages that its users report of its file."""
    with torch.device("meta"):
        names = set(PublishedDeblurGAN(64, 9, convs=2).state_dict())
    layers = [f"model.{index}" for index in (1, 4, 7, 19, 22, 26)]
    layers += [f"model.{block}.conv_block.{place}" for block in range(10, 19) for place in (1, 6)]
    norms = [f"model.{index}" for index in (2, 5, 8, 20, 23)]
    norms += [f"model.{block}.conv_block.{place}" for block in range(10, 19) for place in (2, 7)]
    expected = {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
    assert names == expected | {f"{norm}.{kind}" for norm in norms for kind in STATISTICS}


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(
    ("convs", "dropout", "tracked"), [(2, True, True), (2, True, False), (2, False, True), (1, True, True)]
)
def test_deblurgan(tmp_path: Path, convs: int, dropout: bool, tracked: bool, prefix: str):
    torch.manual_seed(0)
    theirs = PublishedDeblurGAN(4, 3, convs, dropout, tracked)
    file = tmp_path / "latest_net_G.pth"
    torch.save({prefix + key: value for key, value in theirs.state_dict().items()}, file)
    ours = loaded(file)
    assert isinstance(ours, DeblurGAN)
    assert not ours.training
    image = 2 * torch.rand(1, 3, 24, 32) - 1
    with torch.no_grad():
        assert torch.allclose(ours(image), as_tested(theirs)(image), atol=1e-5)
    state = read_weights(file)
    assert state["options"]["generator"] == {"type": "DeblurGAN", "channels": 4, "blocks": 3, "convs_per_block": convs}
    assert ("running statistics" in state["note"]) == tracked


@pytest.mark.parametrize(("convs", "parameters"), [(2, 11_378_179), (1, 6_067_459)])
def test_deblurgan_at_its_published_size(tmp_path: Path, convs: int, parameters: int):
    with torch.device("meta"):
        names = {key: value.shape for key, value in PublishedDeblurGAN(64, 9, convs).state_dict().items()}
    torch.save({key: torch.zeros(shape, dtype=torch.uint8) for key, shape in names.items()}, tmp_path / "net.pth")
    assert sum(p.numel() for p in loaded(tmp_path / "net.pth").parameters()) == parameters


@pytest.mark.parametrize(("kind", "width", "size"), [("mobilenet", 128, 64), ("densenet", 16, 64)])
def test_deblurgan_v2(tmp_path: Path, kind: str, width: int, size: int):
    torch.manual_seed(0)
    theirs = PublishedV2(kind, width)
    file = tmp_path / f"fpn_{kind}.h5"
    torch.save({"model": {f"module.{key}": value for key, value in theirs.state_dict().items()}}, file)
    ours = loaded(file)
    assert isinstance(ours, DeblurGANv2)
    image = 2 * torch.rand(2, 3, size, size + 32, dtype=torch.float64) - 1
    theirs, ours = theirs.double(), ours.double()
    with torch.no_grad():
        wanted = torch.cat([as_tested(theirs)(item) for item in image.split(1)])
        assert torch.allclose(ours(image), wanted, atol=1e-6)
    note = read_weights(file)["note"]
    assert f"DeblurGAN-v2 fpn_{kind}" in note
    left_out = {"mobilenet": ["fpn.features.16", "fpn.features.17", "fpn.features.18"], "densenet": []}[kind]
    assert re.findall(r"fpn\.features\.\w+", note) == left_out


def numbered(network: nn.Module) -> dict[str, Tensor]:
    """A state dict whose tensors are each filled with a number of their own."""
    return {
        key: torch.full(value.shape, index, dtype=torch.int16)
        for index, (key, value) in enumerate(network.state_dict().items())
    }


def test_deblurgan_v2_inception_fills_every_tensor_from_its_own(tmp_path: Path):
    with torch.device("meta"):
        theirs = PublishedV2("inception", 256)
    assert sum(p.numel() for p in theirs.parameters()) == 60_929_291
    state = numbered(theirs)
    file = tmp_path / "fpn_inception.h5"
    torch.save({"model": {f"module.{key}": value for key, value in state.items()}}, file)
    content = read_weights(file)
    pairs = {f"laterals.{k}": f"fpn.lateral{k}" for k in range(5)}
    pairs |= {"top_down.0.0": "fpn.td1.0", "top_down.1.0": "fpn.td2.0", "top_down.2.0": "fpn.td3.0"}
    pairs |= {f"heads.{k - 1}.0": f"head{k}.block0" for k in (1, 2, 3, 4)}
    pairs |= {f"heads.{k - 1}.2": f"head{k}.block1" for k in (1, 2, 3, 4)}
    pairs |= {"smooth.0": "smooth.0", "smooth2.0": "smooth2.0", "final": "final"}
    with torch.device("meta"):
        ours = DeblurGANv2().state_dict()
    assert set(content["generator"]) == set(ours)
    for key, value in content["generator"].items():
        layer, _, kind = key.rpartition(".")
        source = f"{pairs[layer]}.{kind}" if layer in pairs else key.replace("encoder.", "fpn.inception.", 1)
        assert value.shape == ours[key].shape
        assert torch.equal(value, state[source]), key
    for part in ("repeat_2", "block8", "conv2d_7b", "last_linear"):
        assert f"fpn.inception.{part}" in content["note"]
    assert "\n" not in content["note"]


def test_densenet_with_older_names(tmp_path: Path):
    with torch.device("meta"):
        published = PublishedV2("densenet", 16)
    state = numbered(published)
    older = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key): value for key, value in state.items()}
    assert any("denselayer1.norm.1.weight" in key for key in older)
    torch.save({"model": older}, tmp_path / "older.h5")
    torch.save({"model": state}, tmp_path / "newer.h5")
    one, other = (read_weights(tmp_path / name)["generator"] for name in ("older.h5", "newer.h5"))
    assert set(one) == set(other)
    assert all(torch.equal(one[key], other[key]) for key in one)


def vgg19() -> dict[str, Tensor]:
    convolutions = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
    return {f"features.{index}.{kind}": torch.zeros(1) for index in convolutions for kind in ("weight", "bias")}


def patch_critic() -> dict[str, Tensor]:
    return {f"model.{index}.{kind}": torch.zeros(1) for index in (0, 2, 5, 8, 11) for kind in ("weight", "bias")}


@pytest.mark.parametrize(
    ("content", "guess"),
    [
        (vgg19(), "VGG-19 weights"),
        (patch_critic(), "DeblurGAN's or DeblurGAN-v2's discriminator"),
        (
            {"params": {"intro.weight": torch.zeros(1), "ending.weight": torch.zeros(1)}},
            "a part or a relative of NAFNet",
        ),
        ({"state": {}, "param_groups": []}, "an optimizer's state"),
        ({"format": 0, "generator": {}}, "a checkpoint of another version of deblurkit (format 0)"),
        ({"net": torch.zeros(1)}, "the weights of another network (1 tensors, such as net)"),
        ([torch.zeros(1)], "a list without weights"),
    ],
)
def test_other_files_are_refused_with_a_guess(tmp_path: Path, content: Any, guess: str):
    torch.save(content, tmp_path / "file.pth")
    with pytest.raises(CheckpointError, match=r"neither a checkpoint of deblurkit .*DeblurGAN-v2, NAFNet\)") as caught:
        read_weights(tmp_path / "file.pth")
    assert str(caught.value).endswith(f"this looks like {guess}")


def test_what_does_not_fit_is_grouped(tmp_path: Path):
    state = PublishedDeblurGAN(4, 2, 2).state_dict()
    del state["model.11.conv_block.6.weight"]
    state["model.1.bias"] = torch.zeros(5)
    state["attention.weight"] = torch.zeros(1)
    state["attention.bias"] = torch.zeros(1)
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(CheckpointError) as caught:
        read_weights(tmp_path / "net.pth")
    first, *lines = str(caught.value).splitlines()
    assert first.endswith("this looks like DeblurGAN (2 convolutions a block), but does not fit it:")
    assert [line.strip() for line in lines] == [
        "missing: 1 in blocks (blocks.1.body.6.weight)",
        "unexpected: 2 in attention (attention.weight)",
        "wrong shape: 1 in encoder (encoder.1.bias is 5, not 4)",
    ]


def test_code_in_a_file_is_refused(tmp_path: Path):
    torch.save({"model": nn.Linear(1, 1)}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match="refused, it holds more than plain types and tensors"):
        read_weights(tmp_path / "net.pth")


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """A published file of a small DeblurGAN."""
    torch.manual_seed(0)
    torch.save(PublishedDeblurGAN(4, 2, convs=1).state_dict(), tmp_path / "public.pth")
    return tmp_path / "public.pth"


def options(tmp_path: Path, generator: dict[str, Any]) -> Any:
    """An experiment on two pairs of photographs, of one training step of no size."""
    return on_two_pairs(tmp_path, generator, "small")


def test_deblurring(public: Path):
    deblurrer = Deblurrer(public, device="cpu")
    image = skimage.data.chelsea()[:40, :50]
    assert deblurrer(image).shape == image.shape
    assert deblurrer.source["name"] == "public"
    assert "DeblurGAN (1 convolution a block), trained elsewhere" in deblurrer.source["note"]


def test_looking_inside(tmp_path: Path, public: Path):
    write_image(tmp_path / "photo.png", np.ascontiguousarray(skimage.data.astronaut()[:64, 100:164]))
    look(Deblurrer(public, device="cpu"), tmp_path / "photo.png", tmp_path / "inside", Settings(channels=0), "")
    page = (tmp_path / "inside" / "look.html").read_text(encoding="utf-8")
    assert "trained elsewhere" in page
    assert len([*(tmp_path / "inside").glob("*.png")]) == 4 + 6, "modules spread over its depth"


def test_testing(tmp_path: Path, public: Path):
    ours = options(tmp_path, {"type": "DeblurGAN"})
    metrics = evaluate(ours, public, out=tmp_path / "report", device="cpu")
    assert "trained elsewhere" in metrics["notes"][0]
    assert metrics["weights"]["iteration"] == 0
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["datasets"]["pairs"]
    assert load_options(tmp_path / "report" / "options.yml") == ours, "the report's command names it"
    assert f"-opt {tmp_path / 'report' / 'options.yml'}" in (tmp_path / "report" / "report.md").read_text()
    with pytest.raises(UserError, match="another generator than the options"):
        evaluate(options(tmp_path, {"type": "FilterBankUNet"}), public, out=tmp_path / "other", device="cpu")
    with pytest.raises(UserError, match=r"of DeblurGAN .* name no test sets"):
        evaluate(None, public, out=tmp_path / "other", device="cpu")


def test_training_from_it(tmp_path: Path, public: Path):
    small = {"type": "DeblurGAN", "channels": 4, "blocks": 2}
    done = train(options(tmp_path, {**small, "convs_per_block": 1}), tmp_path / "run", device="cpu", init_from=public)
    trained = checkpoint.load(done / "checkpoints" / "iter_00000001.pth")["generator"]
    wanted = read_weights(public)["generator"]
    assert all(torch.equal(trained[key], wanted[key]) for key in wanted)
    with pytest.raises(CheckpointError, match=r"generator of DeblurGAN\) do not fit DeblurGAN:") as caught:
        train(options(tmp_path, small), tmp_path / "other", device="cpu", init_from=public)
    assert "missing: 4 in blocks (blocks.0.body.6.weight)" in str(caught.value)
    assert not (tmp_path / "other").exists()


def test_a_training_needs_the_encoders_weights_only_to_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    torch.manual_seed(0)
    generator = {"type": "DeblurGANv2", "encoder": "mobilenet_v2", "channels": 8}
    generator |= {"encoder_weights": str(tmp_path / "imagenet.pth")}
    experiment = options(tmp_path, generator)
    broken = {**experiment.to_dict(), "val": {"protocol": "perceptual-v1"}}
    with pytest.raises(UserError, match=r"generator: there is no file .*imagenet\.pth") as caught:
        train(options_from_dict(broken, "test"), tmp_path / "run", device="cpu")
    assert "weights of AlexNet" in str(caught.value), "with everything else that stands against the run"
    assert not (tmp_path / "run").exists()

    torch.save({"model": PublishedV2("mobilenet", 8).state_dict()}, tmp_path / "public.h5")
    train(experiment, tmp_path / "run", device="cpu", init_from=tmp_path / "public.h5")
    longer = options_from_dict({**experiment.to_dict(), "train": {"iters": 2, "checkpoint_every": 1}}, "test")
    train(longer, tmp_path / "run", device="cpu", resume=True)
    last = tmp_path / "run" / "checkpoints" / "iter_00000002.pth"
    assert Deblurrer(last, device="cpu").source["iteration"] == 2

    from torchvision.models import mobilenet_v2

    imagenet = mobilenet_v2(weights=None).state_dict()
    torch.save(imagenet, tmp_path / "imagenet.pth")
    train(experiment, tmp_path / "begun", device="cpu")
    begun = checkpoint.load(tmp_path / "begun" / "checkpoints" / "iter_00000001.pth")["generator"]
    assert torch.equal(begun["encoder.4.conv.2.weight"], imagenet["features.4.conv.2.weight"])
