"""``deblurkit export``: a checkpoint's network in a file that everything takes which takes a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch

from deblurkit import Deblurrer, checkpoint, evaluate, train
from deblurkit.data.images import write_image
from deblurkit.errors import UserError
from deblurkit.interop.foreign import read_weights

Command = Callable[..., list[str]]


def export(command: Command, weights: Path, out: Path, *flags: object) -> list[str]:
    return command("export", "--weights", weights, "--to", "safetensors", "--out", out, *flags)


def test_averaged_weights_leave_bit_by_bit(trained: Path, command: Command) -> None:
    out = trained.with_name("small.safetensors")
    said = export(command, trained, out, "--licence", "CC0-1.0", "--data", "noise")
    averaged = read_weights(trained)["ema"]
    state = read_weights(out)
    assert state["generator"].keys() == averaged.keys()
    assert all(torch.equal(state["generator"][name], value) for name, value in averaged.items())
    assert said[0] == f"{trained}: FilterBankUNet after 3 iterations, averaged weights (EMA)"
    assert "no bit changed, SHA-256 of the content" in said[1]
    assert len(said) == 2
    image = skimage.data.coffee()[:61, :90]
    restored = Deblurrer(out, device="cpu")
    assert np.array_equal(restored(image), Deblurrer(trained, device="cpu")(image))
    assert restored.source == {"name": "small", "file": str(out), "iteration": 3, "ema": True}


def test_half_is_half_the_size_and_nearly_the_same(trained: Path, command: Command) -> None:
    whole, half = trained.with_name("whole.safetensors"), trained.with_name("half.safetensors")
    export(command, trained, whole)
    assert "rounded to fp16" in export(command, trained, half, "--half")[1]
    image = skimage.data.coffee()[:64, :64]
    restored = [Deblurrer(file, device="cpu")(image).astype(int) for file in (whole, half)]
    assert abs(restored[0] - restored[1]).max() <= 1
    tensors = sum(value.nbytes for value in read_weights(whole)["generator"].values())
    assert whole.stat().st_size - half.stat().st_size > 0.45 * tensors


def test_without_averages_it_says_so(trained: Path, command: Command) -> None:
    state = checkpoint.read(trained)
    state["ema"] = None
    checkpoint.save(state, trained)
    said = export(command, trained, trained.with_name("a.safetensors"))
    assert said[0].endswith("weights as trained, there are no averaged ones")
    assert said[2:] == [
        f"{trained.with_name('a.safetensors')}: says nothing of the licence; --licence would",
        f"{trained.with_name('a.safetensors')}: says nothing of the data; --data would",
    ]
    assert read_weights(trained.with_name("a.safetensors"))["ema"] is None


def test_what_a_file_says_of_itself_stays_in_its_copies(trained: Path, command: Command) -> None:
    first, second = trained.with_name("first.safetensors"), trained.with_name("second.safetensors")
    export(command, trained, first, "--name", "renamed", "--licence", "CC0-1.0", "--data", "noise")
    export(command, first, second)
    assert second.read_bytes() == first.read_bytes()
    assert read_weights(second)["recipe"] == "small"
    assert read_weights(second)["options"]["name"] == "renamed"


def test_mistakes_leave_nothing_behind(trained: Path, command: Command) -> None:
    out = trained.with_name("a.safetensors")
    huge = checkpoint.read(trained)
    next(iter(huge["ema"].values())).fill_(1e6)
    checkpoint.save(huge, trained.with_name("huge.pth"))
    wrong = checkpoint.read(trained)
    wrong["ema"]["extra"] = torch.ones(1)
    checkpoint.save(wrong, trained.with_name("wrong.pth"))
    before = sorted(trained.parent.iterdir())
    for weights, where, flags, message in [
        (trained, trained.with_name("a.bin"), [], "expected a name that ends in .safetensors"),
        (trained, trained.parent / "none" / "a.safetensors", [], "cannot be written: No such file"),
        (trained, out, ["--name", "a/b"], "name 'a/b': it names a folder, so it may not hold '/'"),
        (trained.with_name("huge.pth"), out, ["--half"], "too large for fp16: leave --half out"),
        (trained.with_name("wrong.pth"), out, [], "unexpected: 1 in extra"),
        (trained.with_name("none.pth"), out, [], "there is no such checkpoint"),
        (trained.with_name("none.safetensors"), out, [], "there is no such checkpoint"),
        ("startr", out, [], "startr: no weights in the box have this name .*'?starter'?"),
    ]:
        with pytest.raises(UserError, match=message):
            export(command, weights, where, *flags)
        assert sorted(trained.parent.iterdir()) == before
    out.write_bytes(b"older")
    with pytest.raises(UserError, match="exists already; choose another --out or say --overwrite"):
        export(command, trained, out)
    assert out.read_bytes() == b"older"
    export(command, trained, out, "--overwrite")
    assert read_weights(out)["position"]["iteration"] == 3


def test_weights_of_another_generator_are_refused(trained: Path, command: Command) -> None:
    out = trained.with_name("a.safetensors")
    export(command, trained, out)
    from deblurkit.weights.description import Description
    from deblurkit.weights.exchange import pack

    tensors = read_weights(out)["generator"]
    wider = Description("small", {"type": "FilterBankUNet"}, "small", 3, averaged=True)
    out.write_bytes(pack(tensors, wider))
    with pytest.raises(UserError, match="its weights do not fit FilterBankUNet"):
        Deblurrer(out, device="cpu")


def test_training_testing_and_looking_start_from_it(
    trained: Path, tmp_path: Path, command: Command, experiment: Any
) -> None:
    out = tmp_path / "small.safetensors"
    export(command, trained, out)
    options = experiment(read_weights(out)["options"]["generator"])
    folder = train(options, tmp_path / "run", device="cpu", init_from=out)
    after = checkpoint.load(folder / "checkpoints" / "iter_00000001.pth")
    for name, value in read_weights(trained)["ema"].items():
        assert torch.equal(after["generator"][name], value)
    assert any("initial weights small.safetensors" in note for note in after["data_notes"])

    metrics = evaluate(options, out, out=tmp_path / "report", device="cpu")
    assert metrics["weights"]["ema"]
    assert metrics["trained_on"] == {"set": "PairedImages"}
    with pytest.raises(UserError, match="weights of an exported file name no test sets"):
        evaluate(None, out, out=tmp_path / "other", device="cpu")

    write_image(tmp_path / "photo.png", np.ascontiguousarray(skimage.data.astronaut()[:64, 100:164]))
    command("look", tmp_path / "photo.png", "--weights", out, "--out", tmp_path / "inside", "--channels", 0)
    assert (tmp_path / "inside" / "look.html").is_file()
