"""``deblurkit weights get``: a whole and verified file or none, from servers good and bad; then used by its name."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from small_disk import small_disk_at
from weight_server import Served, serving

from deblurkit import Deblurrer
from deblurkit.data.images import read_image, write_image
from deblurkit.errors import CheckpointError, UserError
from deblurkit.weights import box, fetched, transfer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "interop"))

from published_nafnet import PublishedNAFNet

ROOT = Path(__file__).resolve().parents[2]
CONTENT = box.file_of(box.DEFAULT).read_bytes()
Command = Callable[..., list[str]]


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(CONTENT) as server:
        yield server


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what was fetched, empty; no mirror and no proxy is asked."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("DEBLURKIT_WEIGHTS", raising=False)
    return tmp_path / "cache" / "deblurkit" / "weights"


@pytest.fixture
def index(tmp_path: Path, served: Served) -> Callable[..., Path]:
    """A function that writes an index that offers the starter as ``twin``, with other values where they are given."""

    def write(content: bytes = CONTENT, **other: object) -> Path:
        fields = {
            "summary": "the starter once more",
            "architecture": "ResidualUNet",
            "url": f"{served.url}/files/twin.safetensors",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
            "licence": "Apache-2.0",
            "data": "[{what: photographs, licence: unknown}]",
            **other,
        }
        lines = "".join(f"    {key}: {value}\n" for key, value in fields.items())
        (tmp_path / "index.yml").write_text(f"format: 1\nweights:\n  twin:\n{lines}", encoding="utf-8")
        return tmp_path / "index.yml"

    return write


def environment(tmp_path: Path, **other: str) -> Mapping[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **other}


def left_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder)) if folder.is_dir() else []


def test_fetched_once_and_then_used_by_its_name(
    index: Callable[..., Path], served: Served, cache: Path, command: Command, tmp_path: Path
) -> None:
    with pytest.raises(
        UserError, match=r"twin: no weights in the box have this name .*; nor were any fetched under it"
    ):
        box.find("twin")
    assert command("weights", "get", "twin", "--index", index()) == [
        f"{cache}/twin/twin.safetensors: verified; --weights twin"
    ]
    assert left_in(cache / "twin") == [".entry.json", "twin.safetensors"]
    assert (cache / "twin" / "twin.safetensors").read_bytes() == CONTENT
    (said,) = command("weights", "get", "twin", "--index", index())
    assert "there already, verified" in said
    assert served.sent == len(CONTENT)

    write_image(tmp_path / "photo.png", np.ascontiguousarray(skimage.data.coffee()[:61, :90]))
    command("deblur", tmp_path / "photo.png", "--weights", "twin", "--out", tmp_path / "out", "--device", "cpu")
    expected = Deblurrer(device="cpu")(read_image(tmp_path / "photo.png"))
    assert np.array_equal(read_image(tmp_path / "out" / "photo.png"), expected)
    assert "fetched as other indexes say:" in command("weights")
    assert command("weights", "show", "twin")[:3] == ["twin", "", "the starter once more"]

    # One bit of what lies there is another now: it is not used, and fetched again.
    file = cache / "twin" / "twin.safetensors"
    file.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    with pytest.raises(
        CheckpointError, match=r"twin\.safetensors: damaged: its SHA-256 is .* `deblurkit weights get twin`"
    ):
        box.find("twin")
    file.write_bytes(CONTENT[:-9])
    with pytest.raises(CheckpointError, match=r"damaged: \d+ bytes, expected \d+"):
        box.find("twin")
    command("weights", "get", "twin", "--index", index())
    assert box.find("twin").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("manner", "message", "kept"),
    [
        ("flipped", r"not the file that the index means, nothing of it is kept: its SHA-256 is \w{64}, expected", None),
        ("cut", r"; 65536 of \d+ bytes are kept, and the same command goes on from there", 65536),
        ("cut silently", r"ends too early; 65536 of \d+ bytes are kept", 65536),
        ("more", r"sends more than the \d+ bytes that the index states; nothing of it is kept", None),
        ("404", r"twin: not fetched; http\S+: HTTP 404: there is no such file", None),
        ("500", r"HTTP 500 Internal Server Error", None),
    ],
)
def test_a_bad_server_leaves_nothing_under_the_files_name(
    manner: str,
    message: str,
    kept: int | None,
    index: Callable[..., Path],
    served: Served,
    cache: Path,
    command: Command,
) -> None:
    served.manner, served.cut = manner, 65536
    with pytest.raises(UserError, match=message) as caught:
        command("weights", "get", "twin", "--index", index())
    assert "\n" not in str(caught.value)
    assert served.sent < len(CONTENT) + (32 << 20), "nobody waits for all that is too much"
    part = cache / "twin" / "twin.safetensors.part"
    assert not part.with_suffix("").exists()
    assert (part.stat().st_size if part.exists() else None) == kept
    served.manner = "whole"
    command("weights", "get", "twin", "--index", index())
    assert served.ranges[1:] == ["" if kept is None else f"bytes={kept}-"]
    assert box.find("twin").read_bytes() == CONTENT
    assert left_in(cache / "twin") == [".entry.json", "twin.safetensors"]


@pytest.mark.parametrize("change", ["no ranges", "another version", "another version, unnoticed"])
def test_where_it_cannot_go_on_it_begins_again(
    change: str, index: Callable[..., Path], served: Served, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    served.content, served.manner, served.cut = bytes(len(CONTENT)), "cut", 70_000
    with pytest.raises(UserError, match="65536 of"):
        command("weights", "get", "twin", "--index", index())
    served.content, served.manner = CONTENT, "no ranges" if change == "no ranges" else "whole"
    served.etag = '"two"' if change == "another version" else served.etag
    command("weights", "get", "twin", "--index", index())
    assert served.ranges[:2] == ["", "bytes=65536-"]
    assert served.ranges[2:] == ([""] if "unnoticed" in change else []), "the digest tells in the end"
    assert box.find("twin").read_bytes() == CONTENT


def test_a_file_of_another_size_is_not_begun(index: Callable[..., Path], served: Served, command: Command) -> None:
    with pytest.raises(UserError, match=rf"has {len(CONTENT)} bytes, expected 7: not the file that the index means"):
        command("weights", "get", "twin", "--index", index(size=7))


def test_no_server_and_one_that_is_silent(
    index: Callable[..., Path], served: Served, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"http://127\.0\.0\.1:9/twin\.pth: .*refused"):
        command("weights", "get", "twin", "--index", index(url="http://127.0.0.1:9/twin.pth"))
    monkeypatch.setattr(transfer, "TIMEOUTS", [5.0, 0.3])
    served.manner = "pause"
    with pytest.raises(UserError, match=r"it does not answer|timed out"):
        command("weights", "get", "twin", "--index", index())


def test_killed_and_gone_on_with(index: Callable[..., Path], served: Served, cache: Path, tmp_path: Path) -> None:
    served.manner, served.cut = "pause", 1_000_000
    words = [sys.executable, "-m", "deblurkit", "weights", "get", "twin", "--index", str(index())]
    part = cache / "twin" / "twin.safetensors.part"
    first = subprocess.Popen(words, env=environment(tmp_path), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not part.is_file() or part.stat().st_size < served.cut:
        assert time.monotonic() < deadline
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.wait()
    have = part.stat().st_size
    assert not part.with_suffix("").exists()

    served.manner, served.sent = "whole", 0
    done = subprocess.run(words, env=environment(tmp_path), capture_output=True, text=True, check=True)
    assert f"goes on after {have} of {len(CONTENT)} bytes" in done.stderr
    assert served.ranges == ["", f"bytes={have}-"]
    assert served.sent == len(CONTENT) - have, "no byte is fetched twice"
    assert box.find("twin").read_bytes() == CONTENT


def test_two_processes_fetch_it_once(index: Callable[..., Path], served: Served, tmp_path: Path) -> None:
    served.manner = "slow"
    words = [sys.executable, "-m", "deblurkit", "weights", "get", "twin", "--index", str(index())]
    both = [subprocess.Popen(words, env=environment(tmp_path), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(process.communicate(timeout=60)[0].split(": ")[1].split(";")[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said == ["there already, verified", "verified"]
    assert served.sent == len(CONTENT)


@pytest.mark.parametrize("remote", [False, True])
def test_a_mirror_comes_first(
    remote: bool,
    index: Callable[..., Path],
    served: Served,
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("DEBLURKIT_WEIGHTS", f"{served.url}/mirror/" if remote else str(tmp_path / "mirror"))
    elsewhere = index(url="http://127.0.0.1:9/twin.safetensors")
    if not remote:
        with pytest.raises(
            UserError, match=r"mirror/twin\.safetensors: there is no such file; .* because of --offline"
        ):
            command("weights", "get", "twin", "--index", elsewhere, "--offline")
        (tmp_path / "mirror" / "twin.safetensors").write_bytes(CONTENT[::-1])
        with pytest.raises(UserError, match="not the file that the index means"):
            command("weights", "get", "twin", "--index", elsewhere, "--offline")
        (tmp_path / "mirror" / "twin.safetensors").write_bytes(CONTENT)
    command("weights", "get", "twin", "--index", elsewhere, *([] if remote else ["--offline"]))
    assert box.find("twin").read_bytes() == CONTENT


def test_what_the_mirror_lacks_comes_from_elsewhere(
    index: Callable[..., Path], served: Served, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEBLURKIT_WEIGHTS", f"{served.url}/none")
    command("weights", "get", "twin", "--index", index())
    assert len(served.ranges) == 2


def test_an_index_on_a_server(index: Callable[..., Path], served: Served, command: Command, tmp_path: Path) -> None:
    served.content = index(url="none.safetensors").read_bytes()
    with pytest.raises(UserError, match=rf"{served.url}/lists/none\.safetensors: HTTP 404"):
        command("weights", "get", "twin", "--index", f"{served.url}/lists/index.yml")
    served.content = index(url="file:///etc/passwd", file="a.pth").read_bytes()
    with pytest.raises(UserError, match=r"index\.yml:6: weights\.twin\.url: got 'file:///etc/passwd', expected http"):
        command("weights", "list", "--index", f"{served.url}/lists/index.yml")
    with pytest.raises(UserError, match=r"--index http\S+: not asked, because of --offline"):
        command("weights", "list", "--index", f"{served.url}/lists/index.yml", "--offline")


def test_into_a_folder_of_ones_own(index: Callable[..., Path], command: Command, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "twin.safetensors").write_bytes(CONTENT)  # a relative path begins at the index
    beside = index(url="twin.safetensors")
    (said,) = command("weights", "get", "twin", "--index", beside, "--offline", "--out", tmp_path / "own")
    assert said.startswith(f"{tmp_path / 'own' / 'twin.safetensors'}: verified; --weights ")
    assert left_in(tmp_path / "own") == ["twin.safetensors"]
    assert left_in(cache) == []
    (tmp_path / "own" / "twin.safetensors").write_bytes(b"mine")
    with pytest.raises(UserError, match="exists already, and is another file"):
        command("weights", "get", "twin", "--index", beside, "--offline", "--out", tmp_path / "own")
    assert (tmp_path / "own" / "twin.safetensors").read_bytes() == b"mine"


def test_a_second_file_of_the_same_name_does_not_take_its_place(
    index: Callable[..., Path], served: Served, command: Command
) -> None:
    command("weights", "get", "twin", "--index", index())
    with pytest.raises(UserError, match="twin: another file was fetched under this name"):
        command("weights", "get", "twin", "--index", index(CONTENT[::-1]))
    assert box.find("twin").read_bytes() == CONTENT


def test_a_full_disk_and_a_folder_that_is_none(index: Callable[..., Path], command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/deeper: cannot be written: Not a directory"):
        command("weights", "get", "twin", "--index", index(), "--out", tmp_path / "file" / "deeper")
    with small_disk_at(tmp_path / "disk", 1024) as disk:
        with pytest.raises(UserError, match=r"twin\.safetensors\.part: cannot be written: No space left"):
            command("weights", "get", "twin", "--index", index(), "--out", disk.path)
        assert not (disk.path / "twin.safetensors").exists()
        disk.resize(20_000)
        command("weights", "get", "twin", "--index", index(), "--out", disk.path)
        assert (disk.path / "twin.safetensors").read_bytes() == CONTENT


@pytest.mark.parametrize("licence", ["unknown", "CC-BY-NC-SA-4.0", "for research only"])
def test_a_licence_that_limits_use_is_accepted_by_its_name(
    licence: str, index: Callable[..., Path], served: Served, command: Command
) -> None:
    get = ("weights", "get", "twin", "--index", index(licence=licence))
    with pytest.raises(UserError, match=rf'twin: .* is {licence}, .* add --accept-licence "{licence}"'):
        command(*get)
    with pytest.raises(UserError, match=rf"is {licence}, not 'MIT', "):
        command(*get, "--accept-licence", "MIT")
    assert not served.ranges
    command(*get, "--accept-licence", f" {licence.upper()}")
    assert box.find("twin").read_bytes() == CONTENT


def test_the_wrong_licence_of_permissive_weights(index: Callable[..., Path], command: Command) -> None:
    with pytest.raises(UserError, match=r"is Apache-2\.0, not 'MIT', which needs no --accept-licence"):
        command("weights", "get", "twin", "--index", index(), "--accept-licence", "MIT")
    command("weights", "get", "twin", "--index", index(), "--accept-licence", "apache-2.0")


def test_published_weights_under_a_key(
    index: Callable[..., Path], served: Served, command: Command, tmp_path: Path
) -> None:
    torch.save({"params": PublishedNAFNet().state_dict()}, tmp_path / "net.pth")
    served.content = (tmp_path / "net.pth").read_bytes()
    offered = index(served.content, url=f"{served.url}/NAFNet%20small.pth", file="NAFNet-small.pth", key="params")
    (said,) = command("weights", "get", "twin", "--index", offered)
    assert said.endswith("NAFNet-small.pth: verified; --weights twin --key params")
    write_image(tmp_path / "photo.png", np.ascontiguousarray(skimage.data.coffee()[:61, :90]))
    deblur = ("deblur", tmp_path / "photo.png", "--weights", "twin", "--device", "cpu", "--out", tmp_path / "out")
    with pytest.raises(UserError, match=r"--key 'parms': no weights are there; expected one of params"):
        command(*deblur, "--key", "parms")
    command(*deblur, "--key", "params")
    assert read_image(tmp_path / "out" / "photo.png").shape == (61, 90, 3)


def test_a_mistake_ends_with_one_line_and_code_2(index: Callable[..., Path], served: Served, tmp_path: Path) -> None:
    served.manner, served.cut = "cut", 5000
    words = [sys.executable, "-m", "deblurkit", "weights", "get", "twin", "--index", str(index())]
    done = subprocess.run(words, env=environment(tmp_path), capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert fetched.names() == []


GUARD = """
import sys
def refuse(event, args):
    if event.startswith("socket."):
        sys.stderr.write(f"SOCKET {event}\\n")
        raise RuntimeError(event)
sys.addaudithook(refuse)
"""


def test_offline_opens_no_socket(index: Callable[..., Path], command: Command, tmp_path: Path) -> None:
    """In processes in which any use of a socket is an error."""
    command("weights", "get", "twin", "--index", index())
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    guarded = environment(tmp_path, PYTHONPATH=f"{tmp_path / 'guard'}{os.pathsep}{ROOT}")
    write_image(tmp_path / "photo.png", np.ascontiguousarray(skimage.data.coffee()[:61, :90]))
    deblur = ["deblur", str(tmp_path / "photo.png"), "--device", "cpu", "--out"]
    get = ["weights", "get", "nafnet-gopro-width32"]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "deblurkit", *words], env=guarded, capture_output=True, text=True, timeout=60
        )

    for words, code in [
        (["weights", "--offline"], 0),
        (["weights", "list", "--offline"], 0),
        (["weights", "--offline", "show", "starter"], 0),
        (["weights", "show", "nafnet-gopro-width32", "--offline"], 0),
        (["weights", "get", "twin", "--index", str(tmp_path / "index.yml"), "--offline"], 0),
        ([*get, "--offline"], 2),
        (["weights", "--offline", *get[1:]], 2),
        (["weights"], 0),
        ([*deblur, str(tmp_path / "box")], 0),
        ([*deblur, str(tmp_path / "none"), "--weights", "nafnet-gopro-width32"], 2),
    ]:
        done = run(*words)
        assert (done.returncode, "SOCKET" in done.stderr) == (code, False), (words, done.stderr)
    assert "SOCKET" in run(*get).stderr, "the guard is there"
