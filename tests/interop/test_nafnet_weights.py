"""NAFNet's public weights: as they are found in files of several training codes, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import skimage.data
import torch
from in_process import run_here
from published_nafnet import PublishedNAFNet, shown
from ruamel.yaml import YAML
from torch import Tensor, nn
from two_pairs import on_two_pairs

from deblurkit import checkpoint, cli
from deblurkit.archs.nafnet import NAFNet
from deblurkit.checkpoint import CheckpointError
from deblurkit.data.images import write_image
from deblurkit.engine.train import train
from deblurkit.errors import UserError
from deblurkit.evaluation.evaluate import evaluate
from deblurkit.inference.deblurrer import Deblurrer
from deblurkit.inference.restore import restore
from deblurkit.inference.session import Session
from deblurkit.interop.foreign import read_weights

SIZES = {
    "small": (4, [1, 1, 1, 2], 1, [1, 1, 1, 1]),
    "two levels": (8, [2, 3], 2, [1, 2]),
    "odd": (5, [1, 0, 3], 2, [2, 1, 0]),
}
OURS = {"type": "NAFNet", "width": 4, "encoder_blocks": [1, 2], "middle_blocks": 1, "decoder_blocks": [2, 1]}
ZEROS = {**OURS, "padding": "zeros"}
Weights = dict[str, Tensor]


def state(seed: int = 0) -> Weights:
    torch.manual_seed(seed)
    return PublishedNAFNet().state_dict()


def prefixed(prefix: str, weights: Weights) -> Weights:
    return {prefix + key: value for key, value in weights.items()}


def loaded(file: Path) -> nn.Module:
    return checkpoint.load_generator(read_weights(file), file)


def photograph(height: int, width: int) -> Tensor:
    image = np.ascontiguousarray(skimage.data.astronaut()[:height, 100 : 100 + width])
    return torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0) / 255


@pytest.mark.parametrize("size", SIZES)
def test_spandrels_own_network_and_ours_restore_alike(tmp_path: Path, size: str) -> None:
    """As spandrel calls it: whole, zeros beyond the image, clamped."""
    spandrel = pytest.importorskip("spandrel", reason="the networks that ours are compared with: deblurkit[spandrel]")
    from spandrel.architectures.NAFNet import NAFNet as SpandrelNAFNet

    width, down, middle, up = SIZES[size]
    torch.manual_seed(0)
    made = SpandrelNAFNet(width=width, enc_blk_nums=down, middle_blk_num=middle, dec_blk_nums=up)
    file = tmp_path / "nafnet.pth"
    torch.save({"params": shown(made).state_dict()}, file)
    if 0 in down:  # its reader knows a NAFNet by a block in each of the outer stages, its network needs none
        theirs: Callable[[Tensor], Tensor] = lambda image: made.eval()(image).clamp(0, 1)  # noqa: E731
    else:
        theirs = spandrel.ModelLoader().load_from_file(str(file))
    ours = loaded(file)
    assert isinstance(ours, NAFNet)
    assert ours.size_padding == "zeros"
    assert read_weights(file)["options"]["generator"] == {
        "type": "NAFNet",
        "width": width,
        "encoder_blocks": down,
        "middle_blocks": middle,
        "decoder_blocks": up,
        "padding": "zeros",
    }
    for height, across in ((64, 96), (61, 83), (5, 7)):
        image = photograph(height, across)
        with torch.no_grad():
            wanted = theirs(image.clone())
        assert (wanted - image).abs().mean() > 1e-3, "a network that does nothing proves nothing"
        assert (restore(ours, image) - wanted).abs().max() <= 1e-6
        assert (Session(ours, inference="whole")(image[0]) - wanted[0]).abs().max() <= 1e-6


def test_the_networks_written_here_are_the_public_one(tmp_path: Path) -> None:
    theirs = PublishedNAFNet()
    torch.save(theirs.state_dict(), tmp_path / "nafnet.pth")
    image = photograph(41, 59)
    with torch.no_grad():
        wanted = theirs(image).clamp(0, 1)
    assert (restore(loaded(tmp_path / "nafnet.pth"), image) - wanted).abs().max() <= 1e-6


@pytest.mark.parametrize("mode", ["tile:32,8", "tlc:24", "x8", "tlc:24+tile:32,8+x8"])
def test_other_modes(tmp_path: Path, mode: str) -> None:
    torch.save(state(), tmp_path / "nafnet.pth")
    restored = restore(loaded(tmp_path / "nafnet.pth"), photograph(75, 91), inference=mode)
    whole = restore(loaded(tmp_path / "nafnet.pth"), photograph(75, 91))
    assert torch.isfinite(restored).all()
    assert 0 < (restored - whole).abs().max() < 0.5


A, B = state(1), state(2)
CRITIC = {"discriminator.conv.weight": torch.zeros(2), "discriminator.conv.bias": torch.zeros(1)}
COUNTER = {"steps": torch.tensor(7)}
CONTAINERS: dict[str, tuple[Any, str | None, str]] = {
    "plain": (A, None, ""),
    "data parallel": (prefixed("module.", A), None, ""),
    "compiled": (prefixed("_orig_mod.", A), None, ""),
    "compiled, data parallel": (prefixed("module._orig_mod.", A), None, ""),
    "BasicSR": ({"params": A}, None, ""),
    "BasicSR, averaged": (
        {"params": B, "params_ema": A},
        None,
        "the averaged weights of params_ema are taken",
    ),
    "BasicSR, picked": ({"params": A, "params_ema": B}, "params", ""),
    "MMEngine": ({"meta": {"epoch": 1}, "state_dict": prefixed("generator.", A)}, None, ""),
    "MMEngine, averaged": (
        {"state_dict": prefixed("generator.", B), "ema_state_dict": {**prefixed("module.generator.", A), **COUNTER}},
        None,
        "the averaged weights of ema_state_dict.generator are taken, not state_dict.generator "
        "(--key KEY takes others); left out: the counter steps",
    ),
    "MMEngine, picked": (
        {"state_dict": prefixed("generator.", A), "ema_state_dict": prefixed("module.generator.", B)},
        "state_dict",
        "",
    ),
    "two generators in one": (
        {"state_dict": {**prefixed("generator.", B), **prefixed("generator_ema.", A), **CRITIC}},
        None,
        "left out: generator (136 tensors), discriminator (2 tensors)",
    ),
    "Lightning": (
        {"epoch": 3, "state_dict": {**prefixed("model.", A), **CRITIC}, "optimizer_states": []},
        None,
        "left out: discriminator (2 tensors)",
    ),
    "Lightning, compiled": ({"state_dict": prefixed("model._orig_mod.", A)}, None, ""),
    "nested twice": ({"model": {"state_dict": prefixed("module.", A)}}, None, ""),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers(tmp_path: Path, name: str) -> None:
    content, key, note = CONTAINERS[name]
    file = tmp_path / "net.pth"
    torch.save(content, file)
    found = read_weights(file, key)
    assert found["options"]["generator"] == ZEROS
    assert torch.equal(found["generator"]["encoders.1.1.spatial.4.conv.weight"], A["encoders.1.1.sca.1.weight"])
    assert found["note"].startswith(
        f"{file}: weights of NAFNet (width 4, blocks 1-2, 1, 2-1, padding zeros), trained el"
    )
    assert note in found["note"]
    averaged = name in ("BasicSR, averaged", "MMEngine, averaged", "two generators in one")
    assert checkpoint.describe_weights(found, file)["ema"] == averaged
    assert note or found["note"].endswith("trained elsewhere") or key
    if all(isinstance(value, Tensor) for value in content.values()):
        safetensors.torch.save_file(content, tmp_path / "net.safetensors", {"format": "pt"})
        again = read_weights(tmp_path / "net.safetensors")
        assert all(torch.equal(again["generator"][key], value) for key, value in found["generator"].items())


@pytest.mark.parametrize(
    ("content", "key", "words"),
    [
        (
            {"params": A, "params_ema": B},
            "param",
            "--key 'param': no weights are there; expected one of params, params_",
        ),
        (A, "params", "--key 'params': no weights are there; expected one of none, as its weights stand under no key"),
        ({"first": A, "second": B}, None, "holds several networks, expected one of them named by --key: first, second"),
        ({"params": A, "extra": COUNTER}, "extra", "'extra': no weights are there; expected one of params"),
        ({"net": {k.replace("sca", "se"): v for k, v in A.items()}}, None, "looks like the plain baseline of NAFNet's"),
    ],
)
def test_what_is_not_clear_is_refused_in_one_line(tmp_path: Path, content: Any, key: str | None, words: str) -> None:
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(CheckpointError) as caught:
        read_weights(tmp_path / "net.pth", key)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'net.pth'}: ")
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_is_grouped(tmp_path: Path) -> None:
    broken: dict[str, Tensor] = {**A, "encoders.0.0.se.weight": torch.zeros(1), "ending.bias": torch.zeros(4)}
    del broken["encoders.1.0.norm1.bias"]
    broken["encoders.1.1.spatial.0.bias"] = torch.zeros(8)  # our name, beside theirs of the same tensor
    torch.save(broken, tmp_path / "net.pth")
    with pytest.raises(CheckpointError) as caught:
        read_weights(tmp_path / "net.pth")
    first, *lines = str(caught.value).splitlines()
    assert first.endswith("looks like NAFNet (width 4, blocks 1-2, 1, 2-1, padding zeros), but does not fit it:")
    assert [line.strip() for line in lines] == [
        "missing: 1 in encoders (encoders.1.0.spatial.0.bias)",
        "unexpected: 2 in encoders (encoders.1.1.norm1.bias)",
        "wrong shape: 1 in ending (ending.bias is 4, not 3)",
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({**A, "encoders.999999999.0.beta": torch.zeros(1)}, "unexpected: 1 in encoders"),
        ({**A, "middle_blks.999999999.beta": torch.zeros(1)}, "unexpected: 1 in middle"),
        ({**A, **{f"downs.{level}.weight": torch.zeros(1) for level in range(2, 400)}}, "NAFNet"),
        ({**A, "intro.weight": torch.zeros(())}, "this looks like a part or a relative of NAFNet"),
        ({"module.intro.weight": A["intro.weight"], **A}, "unexpected: 1 in module (module.intro.weight)"),
    ],
)
def test_strange_numbers_of_blocks_build_nothing(tmp_path: Path, content: Weights, words: str) -> None:
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(CheckpointError) as caught:
        loaded(tmp_path / "net.pth")
    assert words in str(caught.value)


def test_safetensors_of_nobody_are_refused_with_a_guess(tmp_path: Path) -> None:
    safetensors.torch.save_file({"layer.weight": torch.zeros(1)}, tmp_path / "net.safetensors")
    with pytest.raises(CheckpointError, match=r"knows \(DeblurGAN, DeblurGAN-v2, NAFNet\): this looks like the"):
        read_weights(tmp_path / "net.safetensors")


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """A file of BasicSR with two networks."""
    torch.save({"params": A, "params_ema": B}, tmp_path / "both.pth")
    return tmp_path / "both.pth"


def bias(weights: Path) -> Tensor:
    return checkpoint.weights_of(read_weights(weights))["ending.bias"]


def test_training_goes_on_from_it(tmp_path: Path, both: Path) -> None:
    """By the command, with weights that move; the run's own checkpoints are padded as the option file says."""
    options = on_two_pairs(tmp_path, ZEROS, "tuned").to_dict()
    options["optimizers"] = {"generator": {"type": "Adam", "lr": 1e-4}}
    with open(tmp_path / "tuned.yml", "w", encoding="utf-8") as file:
        YAML(typ="safe").dump(options, file)
    arguments = ("-opt", tmp_path / "tuned.yml", "--init-from", both, "--device", "cpu")
    done = run_here("train.py", *arguments, "--key", "params", "--work-dir", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "weights of NAFNet (width 4, blocks 1-2, 1, 2-1, padding zeros), trained elsewhere" in done.stdout
    last = tmp_path / "run" / "checkpoints" / "iter_00000001.pth"
    trained = checkpoint.load(last)["generator"]
    assert 0 < (trained["ending.bias"] - A["ending.bias"]).abs().max() < 2e-4
    assert checkpoint.load_generator(read_weights(last), last).size_padding == "zeros"
    refused = run_here("train.py", *arguments, "--key", "ema", "--work-dir", tmp_path / "other")
    assert refused.returncode == 2
    assert "both.pth: --key 'ema': no weights are there; expected one of params, params_ema" in refused.stderr
    own = run_here("train.py", *arguments[:3], last, "--key", "params", "--work-dir", tmp_path / "other")
    assert own.returncode == 2
    assert "--key 'params': expected none: it is deblurkit's own" in own.stderr
    with pytest.raises(UserError, match="--key params: expected --init-from too"):
        train(on_two_pairs(tmp_path, ZEROS, "tuned"), tmp_path / "other", device="cpu", key="params")
    assert not (tmp_path / "other").exists()


def test_commands_take_a_key(tmp_path: Path, both: Path) -> None:
    photo = tmp_path / "photo.png"
    write_image(photo, np.ascontiguousarray(skimage.data.astronaut()[:43, 100:161]))
    out = tmp_path / "net.safetensors"
    export = ["export", "--weights", str(both), "--to", "safetensors", "--out", str(out), "--overwrite"]
    for key, weights in (([], B), (["--key", "params"], A)):
        args = cli.program().parse_args([*export, *key])
        args.run(args)
        assert torch.equal(bias(out), weights["ending.bias"])
    assert torch.equal(bias(out), A["ending.bias"])
    assert read_weights(out)["options"]["generator"] == ZEROS

    restoring = ("deblur.py", photo, "--device", "cpu", "--weights", both, "--out")
    told = run_here(*restoring, tmp_path / "a", "--key", "params")
    assert told.returncode == 0, told.stderr
    run_here(*restoring, tmp_path / "b")
    assert (tmp_path / "a" / "photo.png").read_bytes() != (tmp_path / "b" / "photo.png").read_bytes()
    assert torch.equal(Deblurrer(both, device="cpu", key="params").generator.ending.bias, A["ending.bias"])
    listed = run_here("look.py", "--weights", both, "--list", "--key", "nothing", "--device", "cpu")
    assert listed.returncode == 2
    assert "--key 'nothing'" in listed.stderr


def test_testing_compares_two_networks_of_one_file(tmp_path: Path, both: Path) -> None:
    options = on_two_pairs(tmp_path, OURS, "tested")
    with open(tmp_path / "tested.yml", "w", encoding="utf-8") as file:
        YAML(typ="safe").dump(options.to_dict(), file)
    arguments: tuple[Any, ...] = ("-opt", tmp_path / "tested.yml", "--weights", f"plain={both}", f"ema={both}")
    done = run_here("test.py", *arguments, "--key", "plain=params", "--device", "cpu", "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    assert "--key plain=params" in (tmp_path / "report" / "comparison.md").read_text(encoding="utf-8")
    for key, words in (("params", "expected NAME=KEY with a NAME of --weights (plain, ema)"), ("plain=a", "'a'")):
        wrong = run_here("test.py", *arguments, "--key", key, "--device", "cpu", "--out", tmp_path / "other")
        assert wrong.returncode == 2, wrong.stderr
        assert words in wrong.stderr
    scores = []
    for key in ("params", "params_ema"):  # in one folder: what was journalled of one is not taken for the other
        found = evaluate(options, both, out=tmp_path / "alone", device="cpu", keys=[key])
        scores.append(found["datasets"]["pairs"]["restored"])
        assert found["weights"]["ema"] == (key == "params_ema")
    assert scores[0] != scores[1]
