"""Weight files are checked before torch reads them: what loads is what was written, and takes no more than it has."""

from __future__ import annotations

import random
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from crafted import archive, name, number, older, tensor, text, whole

from deblurkit.torchfile.read import CheckpointError, digest, read

FIXTURE = Path(__file__).parents[1] / "files" / "format1_tiny.pth"


def same(one: Any, other: Any) -> bool:
    """Tell whether two contents of files are the same, bit for bit."""
    if isinstance(one, torch.Tensor):
        return (
            one.dtype == other.dtype and one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()
        )
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def refused(path: Path, words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).isprintable(), "one line"


def test_a_flipped_byte_is_noticed_or_harmless(tmp_path: Path):
    content, expected = FIXTURE.read_bytes(), read(FIXTURE)
    chance = random.Random(7)
    file = tmp_path / "flipped.pth"
    loaded = 0
    for _ in range(300):
        place = chance.randrange(len(content))
        file.write_bytes(content[:place] + bytes([content[place] ^ (1 << chance.randrange(8))]) + content[place + 1 :])
        try:
            found = read(file)
        except CheckpointError:
            continue
        assert same(found, expected), place
        loaded += 1
    assert 0 < loaded < 250, "padding and headers are no content; all else is"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_file_that_ends_early(tmp_path: Path, share: float):
    content = FIXTURE.read_bytes()
    (tmp_path / "cut.pth").write_bytes(content[: int(share * len(content))])
    refused(tmp_path / "cut.pth", "refused|not a whole checkpoint")


def test_an_inflating_file_is_refused_by_name(tmp_path: Path):
    torch.save({"weight": torch.zeros(30_000_000)}, tmp_path / "large.pth")
    with zipfile.ZipFile(tmp_path / "large.pth") as large, zipfile.ZipFile(tmp_path / "bomb.pth", "w", 8) as bomb:
        for entry in large.namelist():
            bomb.writestr(entry, large.read(entry))
    assert (tmp_path / "bomb.pth").stat().st_size < 500_000
    refused(tmp_path / "bomb.pth", "its entry 'large/data.pkl' is compressed, which torch never does")


def test_what_stands_around_an_archive(tmp_path: Path):
    content = FIXTURE.read_bytes()
    file = tmp_path / "around.pth"
    file.write_bytes(b"PK\x03\x04" + content)
    refused(file, "before or behind its archive")
    file.write_bytes(content + b"more")
    refused(file, "before or behind its archive")
    with zipfile.ZipFile(file, "w") as twice:
        twice.writestr("archive/data.pkl", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            twice.writestr("archive/data.pkl", b"2")
    refused(file, "twice")
    with zipfile.ZipFile(file, "w") as commented:
        commented.writestr("archive/data.pkl", whole(b"N"))
        commented.comment = b"PK\x05\x06"
    refused(file, "before or behind|not a whole")


@pytest.mark.parametrize(
    ("size", "stride", "offset", "words"),
    [
        ([1000000, 1000000], [0, 0], 0, "1000000x1000000 whose numbers share places"),
        ([2, 4], [0, 1], 0, "share places"),
        ([3, 2], [1, 1], 0, "share places"),
        ([5], [1], 0, "larger than its 16 bytes"),
        ([4], [1], 1, "larger than its 16 bytes"),
        ([2], [2**62], 0, "larger than its 16 bytes"),
        ([-1], [1], 0, "whose size is none"),
        ([4], [], 0, "whose size is none"),
        ([4], [1], -1, "whose size is none"),
        ([2**200], [1], 0, "larger than its 16 bytes"),
    ],
)
def test_a_tensor_lies_within_its_storage(tmp_path: Path, size: list[int], stride: list[int], offset: int, words: str):
    made = archive(tmp_path / "a.pth", whole(tensor(size, stride, offset=offset)), {"0": bytes(16)})
    refused(made, words)


def test_a_crafted_tensor_that_fits(tmp_path: Path):
    made = archive(tmp_path / "a.pth", whole(tensor([2, 2], [1, 2])), {"0": bytes(range(16))})
    assert read(made).shape == (2, 2)


@pytest.mark.parametrize("count", [5, 3, 10**12, 2**64])
def test_a_storage_is_as_large_as_it_says(tmp_path: Path, count: int):
    refused(
        archive(tmp_path / "a.pth", whole(tensor([1], [1], count=count)), {"0": bytes(16)}),
        r"bytes of '0', which has 16",
    )


def test_tensors_that_are_not_dense(tmp_path: Path):
    ones = torch.ones(2, 2)
    kinds = {
        "sparse": ones.to_sparse(),
        "csr": ones.to_sparse_csr(),
        "meta": ones.to("meta"),
        "quantised": torch.quantize_per_tensor(ones, 1.0, 0, torch.qint8),
        "stretched": torch.ones(1).expand(1000),
        "conjugate": torch.ones(2, dtype=torch.complex64).conj(),
    }
    for kind, value in kinds.items():
        torch.save({"weight": value}, tmp_path / f"{kind}.pth")
        refused(tmp_path / f"{kind}.pth", "refused, it holds")


def test_all_that_is_dense_loads(tmp_path: Path):
    shared = torch.arange(12.0)
    content = {
        "views": [shared, shared[2:5], shared.view(3, 4).T, shared[::2]],
        "types": [torch.ones(3).to(kind) for kind in (torch.bfloat16, torch.int8, torch.bool, torch.float8_e4m3fn)],
        "wide": torch.ones(2, dtype=torch.complex128),
        "empty": torch.ones(0, 5),
        "number": torch.tensor(1.5),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "state": torch.nn.BatchNorm2d(2).state_dict(),
        "plain": [None, True, -(2**70), 1.5, float("nan"), "ü", b"\xff", (1, 2), {"a": 1}, {3: 4}, torch.Size([2])],
        "ordered": OrderedDict(a=1),
        "set": {1, 2},
    }
    for zipped in (True, False):
        if not zipped:
            content["types"].pop()  # whose storages the older format has no name for
        torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
        loaded = read(tmp_path / "a.pth")
        assert str(loaded) == str(torch.load(tmp_path / "a.pth", weights_only=True)) == str(content)


def test_an_older_file(tmp_path: Path):
    content = {"weight": torch.arange(1000.0), "again": torch.arange(3)}
    torch.save(content, tmp_path / "older.pth", _use_new_zipfile_serialization=False)
    assert same(read(tmp_path / "older.pth"), content)
    whole_file = (tmp_path / "older.pth").read_bytes()
    (tmp_path / "older.pth").write_bytes(whole_file[:-1])
    refused(tmp_path / "older.pth", "refused, it is shorter than it says")


@pytest.mark.parametrize(
    ("pickles", "words"),
    [
        (
            [whole(tensor([1], [1], count=10**12)), whole(b"]" + text("0") + b"a")],
            r"asks for 4000000000000 bytes of '0'",
        ),
        ([whole(tensor([1], [1])), whole(b"]" + text("1") + b"a")], "lists other storages than it uses"),
        ([whole(tensor([1], [1])), whole(b"]" + text("0") + b"a")], "shorter than it says"),
        ([whole(b"N"), whole(b"]]a")], "lists other storages"),
        ([whole(b"(" + text("module") + b"NNNtQ")], "a reference to something else"),
    ],
)
def test_older_files_that_ask_for_what_they_lack(tmp_path: Path, pickles: list[bytes], words: str):
    (tmp_path / "a.pth").write_bytes(older(*pickles))
    refused(tmp_path / "a.pth", words)


def nested(levels: int) -> bytes:
    """A list that holds the one before ten times, and so on: small to write, endless to walk through."""
    instructions = b"]q\x00"
    for level in range(levels):
        instructions += b"](" + (b"h" + bytes([level])) * 10 + b"eq" + bytes([level + 1])
    return whole(instructions)


LOOP = whole(b"]q\x00h\x00a")
ATTRIBUTES = whole(name("collections.OrderedDict") + b")R}" + text("items") + b"K\x05sb")


@pytest.mark.parametrize(
    ("pickled", "words"),
    [
        (nested(9), "holds more than 1000000 values"),
        (LOOP, "nested deeper than 32 levels"),
        (whole(b"]" * 40 + b"a" * 39), "nested deeper than 32 levels"),
        (whole(b"]" * 100_000 + b"a" * 99_999), "nested deeper|not a whole checkpoint"),
        (ATTRIBUTES, "it sets attributes"),
        (
            whole(name("builtins.bytearray") + number(10**12) + b"\x85R"),
            r"it asks for builtins\.bytearray|builtins.bytearray",
        ),
        (whole(name("torch.FloatStorage") + number(10**10) + b"\x85R"), "calls what is no function"),
        (whole(name("torch.Tensor") + number(10**5) * 2 + b"\x86R"), r"it asks for 'torch\.Tensor'"),
        (whole(name("os.system") + text("true") + b"\x85R"), r"it asks for 'os\.system'"),
        (whole(name("_codecs.encode") + text("x") + text("zip") + b"\x86R"), "bytes in an unknown code"),
        (whole(text("a\ud800b")), r"a text that is no Unicode: 'a\\ud800b'"),
        (whole(b"K\x01" * 2_000_001), "describes more than any network has"),
        (b"\x80\x04N.", "is pickled by protocol 4"),
        (whole(b"a"), "not a whole checkpoint"),
        (whole(b"}]Ns"), "not a whole checkpoint"),
        (whole(b"h\x05"), "not a whole checkpoint"),
        (whole(b"t"), "not a whole checkpoint"),
        (whole(b"X\xff\xff\xff\x7fabc"), "not a whole checkpoint"),
        (b"", "it holds no data.pkl"),
    ],
)
def test_pickles_that_torch_never_writes(tmp_path: Path, pickled: bytes, words: str):
    refused(archive(tmp_path / "a.pth", pickled), words)


def test_tensors_may_share_what_a_file_has_a_few_times_only(tmp_path: Path):
    weight = torch.ones(10_000)
    torch.save({"a": weight, "b": weight, "c": weight.view(100, 100)}, tmp_path / "tied.pth")
    assert len(read(tmp_path / "tied.pth")) == 3
    torch.save({str(key): weight for key in range(1000)}, tmp_path / "many.pth")
    refused(tmp_path / "many.pth", "makes 40000000 bytes of tensors, more than 4 times what it has")


def test_bombs_take_no_memory(tmp_path: Path):
    """In a process that may have 2 GiB of addresses above what torch itself takes."""
    archive(tmp_path / "a.pth", whole(name("builtins.bytearray") + number(10**12) + b"\x85R"))
    archive(tmp_path / "b.pth", whole(tensor([1], [1], count=10**12)), {"0": bytes(16)})
    archive(tmp_path / "c.pth", nested(9))
    archive(tmp_path / "d.pth", whole(tensor([10**6, 10**6], [0, 0])), {"0": bytes(16)})
    (tmp_path / "e.pth").write_bytes(older(whole(tensor([1], [1], count=10**10)), whole(b"]" + text("0") + b"a")))
    script = (
        f"import sys, time\nfrom pathlib import Path\nsys.path.append({str(Path(__file__).parents[1])!r})\n"
        "from peak import peak_bytes\n"
        "from deblurkit.torchfile.read import CheckpointError, read\n"
        "before = peak_bytes()\nstart = time.monotonic()\n"
        "for file in sorted(Path(sys.argv[1]).glob('?.pth')):\n"
        "    try:\n        read(file)\n        print('loaded', file)\n    except CheckpointError:\n        pass\n"
        "print(peak_bytes() - before < 100 * 2**20, time.monotonic() - start < 10)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"


@pytest.mark.parametrize("file", ["nothing.pth", ".", "x" * 300, "a/b"])
def test_a_path_without_a_file(tmp_path: Path, file: str):
    refused(tmp_path / file, "there is no such checkpoint")


def test_digest(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc")
    assert digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
