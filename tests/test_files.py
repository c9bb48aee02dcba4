"""Files and folders are whole or not there, whatever ends the process that writes them."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from small_disk import small_disk_at

from deblurkit.errors import UserError
from deblurkit.files import JsonLines, Lock, remove_unfinished, saying, whole_folder, write_atomically, write_together

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """What starts a process and waits until it has printed a line; it ends with the test."""
    processes: list[subprocess.Popen[str]] = []

    def begin(script: str, *arguments: object) -> subprocess.Popen[str]:
        code = f"import sys, time\nfrom pathlib import Path\nfrom deblurkit.files import *\n{script}\ntime.sleep(60)"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", code, *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        return process

    yield begin
    for process in processes:
        kill(process)
        process.communicate()


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, where one can be mounted."""
    with small_disk_at(tmp_path / "disk", 64) as disk:
        yield disk.path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


HALF = """
def half(file):
    file.write(b"half")
    file.flush()
    print("now", flush=True)
    time.sleep(60)

write_atomically(Path(sys.argv[1]), half, durable=True, hidden=sys.argv[2] == "True")
"""


@pytest.mark.parametrize(("hidden", "left"), [(False, r"a\.txt\.tmp"), (True, r"\.[a-z0-9_]{8}\.tmp")])
def test_killed_in_the_middle_the_old_content_stays(tmp_path: Path, start: Start, hidden: bool, left: str) -> None:
    file = tmp_path / "a.txt"
    write_atomically(file, "old, größer\r\n")
    kill(start(HALF, file, hidden))
    assert file.read_bytes() == "old, größer\r\n".encode()
    (temporary,) = set(names(tmp_path)) - {"a.txt"}
    assert re.fullmatch(left, temporary)
    write_atomically(file, b"new", hidden=hidden)
    assert file.read_bytes() == b"new"
    assert (temporary in names(tmp_path)) == hidden, "the next write replaces the one that bears the file's name"


@pytest.mark.parametrize("hidden", [False, True])
def test_a_full_disk_leaves_no_temporary_file(disk: Path, hidden: bool) -> None:
    first, second = disk / "first", disk / "second"
    write_together({first: "1", second: "2"}, hidden=hidden)
    for contents in ({first: bytes(100_000)}, {first: "new", second: bytes(100_000)}):
        with pytest.raises(OSError, match="No space left") as caught:
            write_together(contents, durable=True, hidden=hidden)
        assert caught.value.errno == errno.ENOSPC
        assert (names(disk), first.read_text(), second.read_text()) == (["first", "second"], "1", "2")


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_writer_that_fails_leaves_no_temporary_file(tmp_path: Path, hidden: bool, error: type[BaseException]) -> None:
    def broken(file: BinaryIO) -> None:
        file.write(b"half")
        raise error

    with pytest.raises(error):
        write_atomically(tmp_path / "a", broken, hidden=hidden)
    assert names(tmp_path) == []


def test_names_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("a" * 255), "text", hidden=True)
    assert names(tmp_path) == ["a" * 255]


def test_durable_content_reaches_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, original=original: calls.append(name) or original(*a))
    write_atomically(tmp_path / "a", "text")
    assert calls == ["replace"]
    write_together({tmp_path / "a": "text", tmp_path / "b": "text"}, durable=True)
    assert calls == ["replace", "fsync", "fsync", "replace", "replace"]


def test_permissions_are_those_of_a_plain_open(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a", "text")
        write_atomically(tmp_path / "b", "text", hidden=True)
        with whole_folder(tmp_path / "c"):
            pass
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in "abc"] == [0o640, 0o640, 0o750]


FOLDER = """
with whole_folder(Path(sys.argv[1])) as making:
    (making / "half.txt").touch()
    print("now", flush=True)
    time.sleep(60)
"""


def test_a_folder_gets_its_name_last(tmp_path: Path, start: Start) -> None:
    folder = tmp_path / "set [1]"
    with pytest.raises(FileNotFoundError), whole_folder(folder) as making:
        (making / "missing" / "a.txt").touch()
    assert names(tmp_path) == []
    kill(start(FOLDER, folder))
    (left,) = names(tmp_path)
    assert re.fullmatch(r"\.set \[1\]\..*\.making", left)
    remove_unfinished(folder)
    assert names(tmp_path) == []
    with whole_folder(folder) as making:
        (making / "a.txt").touch()
        assert not folder.exists()
    assert (names(tmp_path), names(folder)) == (["set [1]"], ["a.txt"])
    with pytest.raises(OSError, match="not empty"), whole_folder(folder):
        pass
    assert (names(tmp_path), names(folder)) == (["set [1]"], ["a.txt"])


HOLD = """
lock = Lock(Path(sys.argv[1]))
if sys.argv[2] == "True":
    lock.tell_pid()
print("now", flush=True)
"""


@pytest.mark.parametrize("tells", [False, True])
def test_one_process_holds_a_lock(tmp_path: Path, start: Start, tells: bool) -> None:
    file = tmp_path / ".lock"
    other = start(HOLD, file, tells)
    with pytest.raises(UserError) as caught:
        Lock(file, "{here}: process {pid} is busy")
    assert caught.value.problems == (f"{{here}}: process {other.pid if tells else 'unknown'} is busy",)
    kill(other)
    with Lock(file) as lock:
        lock.tell_pid()
        with pytest.raises(UserError, match=f"process {os.getpid()} is busy"):
            Lock(file, "process {pid} is busy")
    assert names(tmp_path) == [".lock"]
    Lock(file, "busy").release()


WAIT = """
print("now", flush=True)
Lock(Path(sys.argv[1])).tell_pid()
"""


def test_without_words_a_lock_waits(tmp_path: Path, start: Start) -> None:
    file = tmp_path / ".lock"
    with Lock(file):
        start(WAIT, file)
        time.sleep(0.2)
        assert names(tmp_path) == [".lock"]
    deadline = time.monotonic() + 30
    while len(names(tmp_path)) == 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert names(tmp_path) == [".lock", ".lock.pid"]


def test_what_the_system_refuses_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match=r"^here: cannot be written: No such file or directory$"),
        saying("here: cannot be written"),
    ):
        write_atomically(tmp_path / "missing" / "a", "text")


APPEND = """
lines = JsonLines(Path(sys.argv[1]))
lines.append([{"blur": "größer"}, float("inf")])
print("now", flush=True)
"""


@pytest.mark.parametrize("cut", ["", '{"key": "cut sho', '{"key"\n[2]\n', "[2]", "\0\0\0\n"])
def test_lines_go_on_behind_the_last_that_is_whole(tmp_path: Path, start: Start, cut: str) -> None:
    file = tmp_path / "journal.jsonl"
    kill(start(APPEND, file))
    with file.open("a") as opened:
        opened.write(cut)
    wanted: list[Any] = [{"blur": "größer"}, float("inf")]
    for more in range(2):
        lines = JsonLines(file)
        assert lines.read() == wanted
        lines.append([more])
        lines.close()
        wanted.append(more)
    assert file.read_bytes().count(b"\n") == 4


def test_lines_of_earlier_versions_are_read(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    file.write_text('{"key": "größer"}\n[[1], {"psnr": Infinity}]\n{"key": "cut', encoding="utf-8")
    lines = JsonLines(file)
    assert lines.read() == [{"key": "größer"}, [[1], {"psnr": float("inf")}]]
    lines.close()


def test_lines_on_a_full_disk(disk: Path) -> None:
    file = disk / "journal.jsonl"
    lines = JsonLines(file)
    lines.append(["first"])
    with pytest.raises(OSError, match="No space left"):
        lines.append(["x" * 100_000])
    lines.close()
    assert file.stat().st_size > 60_000, "the disk takes a part"
    again = JsonLines(file)
    assert again.read() == ["first"]
    again.append(["second"])
    assert again.read() == ["first", "second"]
    again.clear()
    again.sync()
    assert again.read() == []
    again.close()
