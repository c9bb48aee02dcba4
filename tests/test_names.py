"""Names that become parts of paths: none leads anywhere but where it stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deblurkit import names
from deblurkit.errors import UserError

TRAVERSAL = [
    "..",
    ".",
    "",
    "../x",
    "a/..",
    "a/../../b",
    "/etc",
    "//host/share",
    "..\\x",
    "\\\\host\\share",
    "C:\\x",
    "C:",
]
UNPRINTABLE = ["a\0b", "a\nb", "a\x1b[2Jb", "a\x7fb", "a\u202eb", "a\ud800b"]
RESERVED = ["con", "NUL", "com1", "LPT9", "aux.txt"]
UNWRITABLE = [" a", "a ", "a.", "...", "a:b", "a|b", "a?b", "a*b", 'a"b', "x" * 300, "\N{GRINNING FACE}" * 90]
GOOD = ["madn", "MADN-2", "v1.0 (new)", "été", "日本語", "a" * 100, "con1", "x.pth"]


@pytest.mark.parametrize("name", TRAVERSAL + UNPRINTABLE + RESERVED + UNWRITABLE)
def test_no_folder(name: str):
    with pytest.raises(ValueError, match="names a folder") as caught:
        names.folder_name(name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", GOOD)
def test_folders(tmp_path: Path, name: str):
    (tmp_path / names.folder_name(name)).mkdir()
    assert [item.name for item in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", [*TRAVERSAL, *UNPRINTABLE, *RESERVED, *UNWRITABLE, "a.b", "-a", "a b"])
def test_no_entry(name: str):
    with pytest.raises(ValueError, match=r"a name here|names a folder"):
        names.entry_name(name)


def test_entries():
    assert [names.entry_name(name) for name in ("pairs", "_x-1", "été")] == ["pairs", "_x-1", "été"]


NO_KEYS = [
    *TRAVERSAL,
    *UNPRINTABLE,
    *RESERVED,
    "a//b",
    "a/",
    "a/./b",
    "a/D:b/c",
    "a/con/b",
    "x" * 300,
    "a/" + "é" * 120,
]


@pytest.mark.parametrize("key", NO_KEYS)
def test_no_image(key: str):
    with pytest.raises(ValueError, match="its name"):
        names.image_path(key)


@pytest.mark.parametrize("key", ["0001", "scene/0001", "2024-01-01 12:00:00", "été/x.y", "...a", "a."])
def test_images(tmp_path: Path, key: str):
    path = tmp_path / names.image_path(key)
    assert path.relative_to(tmp_path).as_posix() == key
    assert path.resolve().is_relative_to(tmp_path.resolve())


@pytest.mark.parametrize(
    "text", [*TRAVERSAL, *UNPRINTABLE, *RESERVED, "last", "a b.pth", ".pth", "é.pth", "x" * 300 + ".pth"]
)
def test_no_checkpoint(text: str):
    with pytest.raises(ValueError, match="should name a checkpoint beside it"):
        names.checkpoint_name(text)


def test_checkpoints():
    assert [names.checkpoint_name(text) for text in ("iter_00000100.pth", "best_psnr.pth")]


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"../../x.pth", b"/etc/passwd", b"\xff\xfe\x00", b"a\0.pth", b"iter_1.pth\n../x.pth", b"x" * 10**6],
)
def test_a_pointer_that_names_no_checkpoint(tmp_path: Path, content: bytes):
    (tmp_path / "last").write_bytes(content)
    with pytest.raises(UserError, match="last: should name a checkpoint beside it") as caught:
        names.read_pointer(tmp_path / "last")
    assert str(caught.value).isprintable()


def test_pointers(tmp_path: Path):
    (tmp_path / "last").write_bytes(b"iter_00000100.pth\r\n")
    assert names.read_pointer(tmp_path / "last") == "iter_00000100.pth"
    with pytest.raises(UserError, match="nothing: cannot be read"):
        names.read_pointer(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("text", "name"),
    [("latest_net_G", "latest_net_G"), ("a b/..", "a_b"), ("con", "other"), ("...", "other"), ("x" * 300, "x" * 40)],
)
def test_names_made_of_others(text: str, name: str):
    assert names.folder_name_from(text, "other") == name


@pytest.mark.parametrize("function", [names.folder_name, names.entry_name, names.image_path, names.checkpoint_name])
def test_every_control_character_is_refused(function: Callable[[str], object]):
    for code in [*range(32), *range(127, 160)]:
        with pytest.raises(ValueError, match="name"):
            function(f"a{chr(code)}b")
