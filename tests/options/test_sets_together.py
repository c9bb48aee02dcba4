"""``datasets.train`` with several entries: what is read, what is refused, and where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from deblurkit.options.expand import expanded
from deblurkit.options.json_schema import json_schema
from deblurkit.options.load import load_options, options_from_dict
from deblurkit.options.shipped import find

Write = Callable[..., Path]
Lines = Callable[..., list[str]]

SETS = """\
_base_: good.yml
datasets:
  train:
    - {type: ToyPairs, blurred: a, sharp: b, crop: 8, batch_size: 4, workers: 2, cache: true}
    - {type: ToyPairs, blurred: c, sharp: d, crop: 8, repeat: 3}
    - {type: ToyOpen, anything: 1, limit: 5}
"""


@pytest.fixture
def file(write: Write, good: Path) -> Path:
    return write(SETS, "sets.yml")


def test_several_sets_are_read(file: Path):
    first, second, third = load_options(file).datasets.train
    assert (first.loader.batch_size, first.loader.workers, first.repeat) == (4, 2, None)
    assert (second.component["blurred"], second.repeat, second.weight) == ("c", 3, None)
    assert (third.component, third.limit) == ({"type": "ToyOpen", "anything": 1}, 5)


def test_overrides_number_the_sets(file: Path, good: Path):
    options = load_options(file, ["datasets.train.1.repeat=2", "datasets.train.0.batch_size=6"])
    assert [entry.repeat for entry in options.datasets.train] == [None, 2, None]
    assert options.datasets.train[0].loader.batch_size == 6
    (alone,) = load_options(good, ["datasets.train.repeat=2"]).datasets.train
    assert alone.repeat == 2


def test_expanded_options_make_equal_ones(file: Path, good: Path):
    """Those of a run's ``options.yml`` and of a checkpoint; one set alone is a dict there, as it always was."""
    for source in (file, good):
        options = load_options(source)
        assert options_from_dict(options.to_dict(), "again") == options
    assert isinstance(load_options(good).to_dict()["datasets"]["train"], dict)
    one = load_options(file, ["datasets.train=[{type: ToyOpen, anything: 1}]"])
    assert one.to_dict()["datasets"]["train"]["anything"] == 1


def test_bases_merge_into_what_expand_prints(file: Path, write: Write):
    child = write("_base_: sets.yml\nname: child\n", "child.yml")
    text = expanded(find(str(child)))
    again = write(text, "again.yml")
    assert load_options(again).datasets == load_options(file).datasets


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        (
            "[{type: ToyPairs, blurred: a, sharp: b}, {type: ToyPairs, blurred: a, sharp: b, repaet: 2}]",
            "datasets.train.1.repaet: ToyPairs has no argument 'repaet' (did you mean 'repeat'?)",
        ),
        (
            "[{type: ToyOpen}, {type: ToyPears, blurred: a, sharp: b}]",
            "datasets.train.1.type: no dataset is named 'ToyPears' (did you mean 'ToyPairs'?)",
        ),
        (
            "[{type: ToyOpen}, {type: ToyOpen, batch_size: 2}]",
            "datasets.train.1.batch_size: one loader serves all sets: say datasets.train.0.batch_size, in the first "
            "entry",
        ),
        ("[{type: ToyOpen, repeat: 0}]", "datasets.train.0.repeat: should be greater than 0, not 0"),
        ("[{type: ToyOpen}, 3]", "datasets.train.1: should be a dict of keys and values"),
        ("[{type: ToyOpen, weight: .inf}, {type: ToyOpen, weight: 1}]", "datasets.train.0.weight: should be a finite"),
        (
            "[{type: ToyOpen, repeat: 2}, {type: ToyOpen, weight: 1}]",
            "datasets.train.0.repeat: sets are drawn by repeat or by weight, and datasets.train.1 has a weight; give "
            "each set the one or each the other",
        ),
        (
            "[{type: ToyOpen, weight: 2}, {type: ToyOpen}]",
            "datasets.train.1.weight: missing, datasets.train.0 has one; give each set its weight",
        ),
        (
            "[{type: ToyOpen, weight: 2}, {type: ToyOpen, weight: null}]",
            "datasets.train.1.weight: missing, datasets.train.0 has one; give each set its weight",
        ),
        (
            "{type: ToyOpen, weight: 2}",
            "datasets.train.weight: weights share an epoch among several sets, and there is one",
        ),
        ("[]", "datasets.train: missing, training needs it"),
        ("[{type: ToyOpen}, {type: ToyOpen, protocol: x}]", "datasets.train.1.protocol: a training set is not scored"),
        (
            "[{type: ToyPairs, blurred: a, sharp: b, crop: 8, batch_size: 2}, {type: ToyOpen, crop: 8},"
            " {type: ToyOpen, crop: [8, 16]}]",
            "datasets.train.2.crop: 8 x 16 pixels (h x w), but datasets.train.0.crop gives 8 x 8: the images of a "
            "batch are of one size",
        ),
    ],
)
def test_mistakes_name_their_place(write: Write, good: Path, problems: Lines, entries: str, found: str):
    file = write(f"_base_: good.yml\nname: x\nseed: 1\ndatasets: {{train: {entries}}}\n", "wrong.yml")
    (line,) = problems(file)
    assert line.startswith(f"{file}:4: {found}")


@pytest.mark.parametrize(
    "entries",
    [
        "[{type: ToyOpen, crop: 8}, {type: ToyOpen, crop: 16}]",  # in batches of one image
        "[{type: ToyOpen, crop: 8, batch_size: 2}, {type: ToyOpen}]",
        "[{type: ToyOpen, crop: 8, batch_size: 2}, {type: ToyOpen, crop: 16, augment: [{type: Resize, size: 8}]}]",
        "[{type: ToyOpen, crop: 8, batch_size: 2}, {type: ToyOpen, crop: 18, augment: [CameraShake]}]",
    ],
)
def test_sizes_that_may_fit_are_let_pass(write: Write, good: Path, entries: str):
    file = write(f"_base_: good.yml\ndatasets: {{train: {entries}}}\n", "fits.yml")
    assert len(load_options(file).datasets.train) == 2


def test_val_and_test_sets_are_not_repeated(write: Write, good: Path, problems: Lines):
    file = write("_base_: good.yml\ndatasets: {val: {toy: {repeat: 2}}}\n", "wrong.yml")
    assert "ToyPairs has no argument 'repeat'" in problems(file)[0]


def test_the_json_schema_knows_both_forms():
    schema = json_schema()
    validator = jsonschema.Draft202012Validator(schema)
    entry = {"type": "PairedImages", "blurred": "a", "sharp": "b", "repeat": 2}
    for form in (entry, [entry, entry]):
        assert validator.is_valid({"name": "x", "datasets": {"train": form}})
    (mistake,) = validator.iter_errors({"name": "x", "datasets": {"train": [entry, {**entry, "repaet": 2}]}})
    assert list(mistake.absolute_path)[:3] == ["datasets", "train", 1]
    assert "repaet" in mistake.message
    own = schema["$defs"]["TrainSet"]["properties"]
    assert {"repeat", "weight", "limit", "batch_size"} <= own.keys()
    assert "repeat" not in schema["$defs"]["DatasetEntry"]["properties"]
    json.dumps(schema)
