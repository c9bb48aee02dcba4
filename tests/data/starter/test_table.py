"""The table of the photographs holds together, and the page of credits is that of the table."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

from deblurkit.data.photographs import PHOTOGRAPHS
from deblurkit.data.starter.table import read_packages, read_photographs

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "benchmarks"))

from photograph_credits import ASKS, PAGE, page  # noqa: E402


def test_each_photograph_is_named_once_and_can_be_found() -> None:
    photographs = read_photographs()
    assert len(photographs) >= 150
    for values in ([photograph.name for photograph in photographs], [photograph.sha256 for photograph in photographs]):
        assert len(set(values)) == len(photographs)
    assert {photograph.package for photograph in photographs} == {package.name for package in read_packages()}
    for photograph in photographs:
        assert re.fullmatch(r"[a-z0-9-]+", photograph.name)
        assert re.fullmatch(r"[0-9a-f]{64}", photograph.sha256)
        assert re.fullmatch(r"[0-9a-f]{32}", photograph.pixels)
        assert photograph.author
        assert bool(photograph.member) == photograph.file.endswith(".rcc")
        sides = sorted([photograph.width, photograph.height])
        assert 256 <= sides[0] <= sides[1] <= 2000


def test_licences_allow_changes_and_commerce() -> None:
    licences = {photograph.licence for photograph in read_photographs()}
    assert licences == ASKS.keys()
    assert not [licence for licence in licences if "NC" in licence or "ND" in licence]


def test_a_series_is_in_one_split_and_its_name_says_which() -> None:
    photographs = read_photographs()
    for photograph in photographs:
        drawn = int(hashlib.sha256(photograph.series.encode()).hexdigest()[:8], 16) / 2**32
        assert photograph.split == ("val" if drawn < 0.15 else "train")
    validating = [photograph for photograph in photographs if photograph.split == "val"]
    assert 0.1 < len(validating) / len(photographs) < 0.2


def test_nothing_of_the_sample_sets_test_split_is_in_it() -> None:
    held_out = {photograph.file for photograph in PHOTOGRAPHS if photograph.split == "test"}
    ours = {Path(photograph.file).name for photograph in read_photographs() if photograph.package == "scikit-image"}
    assert ours == {"astronaut.png"}
    assert not ours & held_out


def test_the_page_of_credits_is_the_tables() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python benchmarks/photograph_credits.py writes it"
