from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from deblurkit.data.source import find_entry, open_source
from deblurkit.errors import UserError
from deblurkit.registry import BLURS, DATASETS

ROOT = Path(__file__).resolve().parents[2]


def test_a_component_written_in_yaml(sample_root: Path) -> None:
    dataset = open_source(f"{{type: SamplePairs, split: test, root: {sample_root}, crop: 32, limit: 3}}")
    assert dataset.keys() == ["chelsea_00", "chelsea_01", "chelsea_02"]
    assert dataset.describe()["set"] == "SamplePairs"


def test_a_section_of_an_option_file() -> None:
    entry = find_entry(f"{ROOT}/options/quickstart.yml:test.sample")
    assert entry.component == {"type": "SamplePairs", "split": "test"}


def test_one_of_several_training_sets(tmp_path: Path) -> None:
    file = tmp_path / "mine.yml"
    sets = "[{type: SamplePairs, split: train}, {type: SamplePairs, split: test, repeat: 2}]"
    file.write_text(f"_base_: {ROOT}/options/quickstart.yml\ndatasets: {{train: {sets}}}\n", encoding="utf-8")
    assert find_entry(f"{file}:train.1").component == {"type": "SamplePairs", "split": "test"}
    with pytest.raises(UserError) as caught:
        find_entry(f"{file}:train")
    assert caught.value.problems == (f"--data {file}:train: it has 2 training sets: name one of train.0, train.1",)
    with pytest.raises(UserError, match=r"no data set is named 'train\.2'"):
        find_entry(f"{file}:train.2")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{type: SamplePiars, split: test}", "--data: datasets.train.type: .*did you mean 'SamplePairs'"),
        ("{type: SamplePairs, splitt: test}", "datasets.train.splitt: SamplePairs has no argument 'splitt'"),
        ("{type: SamplePairs, split: test, workers: -1}", "datasets.train.workers"),
        ("{type: os.system}", "no dots"),
        ("{type: [", "--data: "),
        ("{}", "datasets.train.type: missing"),
        ("photos/", "--data photos/: expected OPTIONS.yml:train"),
        (f"{ROOT}/options/quickstart.yml:test.sampel", "did you mean 'test.sample'.*known: train, val.sample"),
    ],
)
def test_what_names_no_data_set_is_refused(text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        open_source(text)


WRITTEN = re.findall(r"`(\{type: [^`]*\})`", (ROOT / "datasets" / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", dict.fromkeys(WRITTEN))
def test_what_the_readme_writes_is_accepted(text: str) -> None:
    blur = text.removeprefix("{type: ").rstrip("}").split(",")[0] in BLURS.names()
    entry = find_entry(f"{{type: SynthesizedBlur, sharp: a, blur: [{text}]}}" if blur else text)
    assert entry.component["type"] in DATASETS.names()


def test_the_base_for_sharp_photographs(tmp_path: Path, sample_root: Path) -> None:
    bases = [f"{ROOT}/options/{name}.yml" for name in ("quickstart", "_base_/sharp_photos")]
    file = tmp_path / "mine.yml"
    file.write_text(f"_base_: {bases}\ndatasets: {{train: {{sharp: '{sample_root}/test/sharp', crop: 64}}}}\n")
    dataset = open_source(f"{file}:train")
    assert {dataset.sample(index, np.random.default_rng(index))["blurred"].shape for index in range(8)} == {(3, 64, 64)}
