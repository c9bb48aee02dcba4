from __future__ import annotations

from pathlib import Path

import pytest

from deblurkit.data.source import find_entry, open_source
from deblurkit.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def test_a_component_written_in_yaml(sample_root: Path) -> None:
    dataset = open_source(f"{{type: SamplePairs, split: test, root: {sample_root}, crop: 32, limit: 3}}")
    assert dataset.keys() == ["chelsea_00", "chelsea_01", "chelsea_02"]
    assert dataset.describe()["set"] == "SamplePairs"


def test_a_section_of_an_option_file() -> None:
    entry = find_entry(f"{ROOT}/options/quickstart.yml:test.sample")
    assert entry.component == {"type": "SamplePairs", "split": "test"}


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
