"""Reports of given scores, byte for byte: a change of the code behind them must leave them as they are.

The scores are sums of powers of two, so that means, intervals and p-values are the same on every CPU. Where a change of
an output is meant, copy what the failing test wrote over the file in ``tests/files/golden``.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from made_candidates import PAPER, candidate, content_of, entry, in_folder, videos

from deblurkit.report.write import write_comparison, write_report
from deblurkit.results import CandidateResult, ImageScore, ProtocolReference

GOLDEN = Path(__file__).resolve().parents[1] / "files" / "golden"
BLURRED = [(24.0, 0.75), (25.5, 0.8125), (26.25, 0.8125), (27.0, 0.875), (28.5, 0.875), (30.0, 0.9375), (31.5, 0.9375)]
KEYS = ["a/1", "a/2", "a/3", "b/1", "b/2", 'b,"3"', "b|*4*_`x`"]
GAINS = {
    "ours": [(3.5, 0.125), (2.25, 0.0625), (1.125, 0.03125), (0.5, 0.0), (-0.25, -0.0625), (4.0, 0.03125), (1.75, 0.0)],
    "theirs_2": [(2.5, 0.125), (2.0, 0.03125), (2.0, 0.0625), (0.75, 0.0), (0.0, 0.0), (1.0, 0.0), (math.inf, 0.0625)],
    "third": [(2.5, 0.125), (0.0, 0.0), (0.25, -0.03125), (-0.5, 0.0), (0.5, -0.125), (1.5, -0.03125), (0.125, 0.0)],
}


def gopro(name: str) -> list[ImageScore]:
    """Seven images, which are enough for a test of two candidates."""
    rows = []
    for number, ((psnr, ssim), (more, alike)) in enumerate(zip(BLURRED, GAINS[name], strict=True)):
        before, after = {"psnr": psnr, "ssim": ssim}, {"psnr": psnr + more, "ssim": ssim + alike}
        rows.append(ImageScore(KEYS[number], before, after, 0.25 + number / 64))
    return rows


def ours() -> CandidateResult:
    """What has most to tell: three data sets, facts of a protocol, groups, published figures, notes."""
    shifts = {"ecc": "converged", "best": 3}
    kohler = [
        ImageScore("1_1", {"psnr": 22.0}, {"psnr": 25.5}, 0.5, {"ecc": "failed"}, shifts),
        ImageScore("1_2", None, {"psnr": 24.25}, 0.5, {}, shifts),
    ]
    rows = {"gopro": gopro("ours"), "kohler": kohler, "blind": [ImageScore("x|y", None, None, 1.0)]}
    other = ProtocolReference("kohler-aligned-v1", 2, "12ab")
    entries = {
        "gopro": entry(rows["gopro"], published={"psnr": 30.18, "lpips": 0.1}, groups={"video": videos(0.75)}),
        "kohler": entry(kohler, protocol=other, inference="x8", inference_used={"x8": 2}, data={"set": "Kohler"}),
        "blind": entry(rows["blind"], data=None),
    }
    notes = ["gopro: limited to 7 of 1111 images", "kohler, restored: 1 of 2 | *mind*"]
    return candidate("ours", rows, datasets=entries, notes=notes)


def several() -> list[CandidateResult]:
    """Three, of which the last is of a folder: their data sets, images and metrics are not all the same."""
    third = gopro("third")[:6]
    return [
        ours(),
        candidate("theirs_2", {"gopro": gopro("theirs_2"), "blind": [ImageScore("x|y", None, None, 1.0)]}),
        candidate("third", {"gopro": third}, inference=None, **in_folder("their/out")),
    ]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reports as they are written now."""
    out = tmp_path_factory.mktemp("reports")
    write_report(out / "one", content_of(ours(), paper=PAPER), {"gopro": {"best: a|1": "strips/gopro/best.png"}})
    both = several()
    for name, compared in (("two", both[:2]), ("three", both)):
        write_comparison(out / name, content_of(*compared, paper=PAPER))
    return out


@pytest.mark.parametrize("name", sorted(file.relative_to(GOLDEN).as_posix() for file in GOLDEN.rglob("*.*")))
def test_output_is_the_same_to_the_byte(written: Path, name: str):
    found, kept = ((folder / name).read_bytes().decode("utf-8") for folder in (written, GOLDEN))
    assert found == kept, f"{written / name} differs"


def test_every_text_is_held(written: Path):
    """Pages are compared by ``benchmarks/same_outputs.py``: their styles and scripts would be most of the bytes."""
    texts = {file.relative_to(written).as_posix() for file in written.rglob("*.*") if file.suffix != ".html"}
    assert texts == {file.relative_to(GOLDEN).as_posix() for file in GOLDEN.rglob("*.*")}
