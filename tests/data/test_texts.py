"""Names of files in arrays."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from deblurkit.data.dataset import FileTable, ImagePairs, PairFiles, Texts


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["alone"],
        ["", "a", ""],
        ["train/a/blur/1", "train/b/blur/1", "train/a/blur/12"],
        ["größe/ü", "größe/ä", "größe/日本"],
        ["\u00fc", "\u00fd"],  # whose first byte in UTF-8 is the same
        ["name\udcff", "name\udcfe"],  # of bytes that are no UTF-8
    ],
)
def test_texts_come_back_as_they_went_in(texts: list[str]):
    table = Texts(texts)
    assert list(table) == texts
    assert [table[index - len(texts)] for index in range(len(texts))] == texts
    with pytest.raises(IndexError):
        table[len(texts)]
    assert list(pickle.loads(pickle.dumps(table))) == texts


def test_files_come_back_as_objects_with_and_without_truth():
    files = [
        PairFiles("a/1", Path("set/blur/a/1.png"), Path("set/sharp/a/1.png")),
        PairFiles("a/2", Path("set/blur/a/2.png"), None),
        PairFiles("3", Path("/elsewhere/3.jpg"), Path("3.png")),
    ]
    table = ImagePairs(files).files
    assert list(table) == files
    assert table[-1] == files[-1]
    assert table[1:] == files[1:]
    assert table.keys() == ["a/1", "a/2", "3"]


def test_names_take_little_more_than_their_letters():
    """What all paths begin with is held once; 8 bytes a string say where it ends."""
    names = [f"{number:07d}" for number in range(10_000)]
    place = Path("/a/rather/long/path/that/leads/to/the/pictures")
    table = FileTable(
        PairFiles(name, place / "blur" / f"{name}.png", place / "sharp" / f"{name}.png") for name in names
    )
    assert table.nbytes < len(names) * (3 * (8 + 7) + 2 * len(".png"))
