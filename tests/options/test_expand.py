"""Expanded files load to the same options and keep the comments of what is in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deblurkit.options import shipped
from deblurkit.options.comments import comments_of
from deblurkit.options.document import to_plain
from deblurkit.options.expand import expanded
from deblurkit.options.load import load_options
from deblurkit.options.problems import OptionsError
from deblurkit.options.read import Reader

Write = Callable[..., Path]


@pytest.mark.parametrize("name", shipped.names())
def test_a_shipped_file_expands_to_the_same_tree_and_keeps_its_comments(name: str, write: Write) -> None:
    file = shipped.find(name)
    text = expanded(file)
    again = shipped.find(str(write(text)))
    assert to_plain(Reader().read(again)) == to_plain(Reader().read(file))
    comments = comments_of(Path(file.path).read_text(encoding="utf-8"))
    lines = [comments.header, *comments.above.values(), *comments.trailing.values()]
    assert [line for block in lines for line in block if line not in text] == [], "a comment is lost"


@pytest.mark.parametrize(
    "name",
    # Options are made of the tree alone, which is compared above: a few will do, and all with --slow.
    [
        pytest.param(name, marks=[] if name in ("madn", "quickstart") else pytest.mark.slow)
        for name in shipped.names()
        if not name.startswith("_base_/")
    ],
)
def test_a_shipped_file_expands_to_the_same_options(name: str, write: Write) -> None:
    assert load_options(write(expanded(shipped.find(name)))) == load_options(name)


def test_comments_stay_with_their_values_and_bases_are_named(write: Write) -> None:
    base = write(
        """\
        # The base.
        # It has a second line.

        seed: 1 # replaced, so this goes

        # above a section that is merged
        train: # beside it
          iters: 10
          keep: 3 # of the base
        val: # of the base alone
          every: 5
        """,
        "base.yml",
    )
    file = write(
        """\
        # The file.
        _base_: base.yml # no value, so this goes
        name: 'a # b' # in quotes
        seed: 2
        # not directly above

        # directly above
        paper: {title: "C# # D", cost: {gmacs_256: 1}} # two of one line
        train: {iters: 20} # the file's
        plugins: # a list
          - one # the first
          - two
        """
    )
    assert expanded(shipped.find(str(file))).splitlines() == [
        f'# {file}, expanded; "from" names the base that a line, with all below it, comes from.',
        "# The file.",
        f"# Base {base}: The base.",
        "seed: 2",
        "# above a section that is merged",
        "# beside it",
        "# the file's",
        "train:",
        "  iters: 20",
        f"  keep: 3 # from {base}: of the base",
        f"val: # from {base}: of the base alone",
        "  every: 5",
        "name: 'a # b' # in quotes",
        "# directly above",
        "paper: {title: 'C# # D', cost: {gmacs_256: 1}} # two of one line",
        "plugins: # a list",
        "- one # the first",
        "- two",
    ]


def test_texts_of_several_lines_stay_whole(write: Write) -> None:
    file = write(
        "name: >- # folded\n  a # 1\n\n  b # 2\npaper: # beside\n  title: |\n    # c\n    d\n  # above\n  cost: 1\n"
    )
    text = expanded(shipped.find(str(file)))
    again = write(text, "again.yml")
    assert to_plain(Reader().read(shipped.find(str(again)))) == {
        "name": "a # 1\nb # 2",
        "paper": {"title": "# c\nd\n", "cost": 1},
    }
    assert "paper: # beside\n" in text
    assert "  # above\n  cost: 1\n" in text


def test_plugins_and_values_survive(write: Write, good: Path, tmp_path: Path) -> None:
    bases = "_base_: [good.yml, 'deblurkit:_base_/runtime.yml']"
    paper = "{title: '1e-4', called: [':x', 'y: z'], published: {'?x': {':x': 1}}}"
    write(f"{bases}\ntrain: {{ema: null}}\npaper: {paper}\n", "own.yml")
    text = expanded(shipped.find(str(tmp_path / "own.yml")))
    again = write(text, "elsewhere/again.yml")
    assert load_options(again) == load_options(tmp_path / "own.yml")
    assert "val: {every: 5000, protocol: gopro-basicsr-v1} # from deblurkit:_base_/runtime.yml\n" in text


def test_a_file_without_bases_names_none(write: Write) -> None:
    file = write("name: x\n")
    assert expanded(shipped.find(str(file))) == f"# {file}, expanded.\nname: x\n"
    empty = write("{}\n", "empty.yml")
    assert expanded(shipped.find(str(empty))) == f"# {empty}, expanded.\n{{}}\n"


def test_what_cannot_be_read_is_told(write: Write) -> None:
    file = write("name: [x\n_base_: base.yml\n")
    with pytest.raises(OptionsError, match=f"^{file}:2: not valid YAML"):
        expanded(shipped.find(str(file)))
