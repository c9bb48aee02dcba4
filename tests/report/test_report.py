"""The report's tables and files, without torch."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deblurkit.report.scores import ImageScore, ranked, share_gained
from deblurkit.report.tables import escape, headline, published_rows
from deblurkit.report.write import per_image_csv, plain, write_report

ROWS = {
    "gopro": [
        ImageScore("a/1", {"psnr": 26.0, "ssim": 0.80}, {"psnr": 27.5, "ssim": 0.85}, 0.25),
        ImageScore("a/2", {"psnr": 28.0, "ssim": 0.90}, {"psnr": 27.75, "ssim": 0.90}, 0.5),
        ImageScore('b,"1"', {"psnr": 30.0, "ssim": 0.95}, {"psnr": math.inf, "ssim": 1.0}, 0.125),
    ],
    "blind": [ImageScore("x|y", None, None, 1.0)],
}
METRICS: dict[str, Any] = {
    "name": "my_*experiment*",
    "protocol": {"id": "gopro-basicsr-v1", "version": 1},
    "inference": "whole",
    "weights": {"file": "w.pth", "sha256": "0" * 64, "iteration": 5, "ema": False},
    "trained_on": {"set": "GoPro", "variant": "linear"},
    "environment": {"device": "cpu (a|b)"},
    "datasets": {
        "gopro": {
            "images": 3,
            "blurred": {"psnr": 28.0, "ssim": 0.8833},
            "restored": {"psnr": math.inf, "ssim": 0.9167},
            "published": {"psnr": 30.18, "lpips": 0.1},
            "seconds_per_image": {"median": 0.25, "p95": 0.475},
            "data": {"set": "GoPro", "variant": "gamma", "images": 3},
        },
        "blind": {
            "images": 1,
            "blurred": None,
            "restored": None,
            "published": None,
            "seconds_per_image": {"median": 1.0, "p95": 1.0},
        },
    },
    "notes": ["gopro: limited to 3 of 1111 images"],
}


def test_published_rows() -> None:
    compared = [
        {"method": "Nah", "dataset": "gopro", "psnr": 29.08, "ssim": 0.9135},
        {"method": "A|B", "dataset": "gopro", "psnr": 27, "seconds": 0.85},
    ]
    lines = published_rows({"title": "A paper", "compared": compared})
    assert "Not measured by us" in lines[2]
    assert lines[4:] == [
        "| method | data set | psnr | ssim | seconds |",
        "| --- | --- | ---: | ---: | ---: |",
        "| Nah | gopro | 29.08 | 0.9135 | - |",
        "| A\\|B | gopro | 27 | - | 0.85 |",
        "",
    ]
    assert published_rows({"title": "A paper", "compared": []}) == published_rows(None) == []


def test_headline() -> None:
    lines = headline(plain(METRICS["datasets"]))
    assert "published" in lines[0]
    assert lines[2:] == [
        "| gopro | 3 | psnr | 28.00 | inf | +inf | 30.18 | 0.250 |",
        "| gopro | 3 | ssim | 0.8833 | 0.9167 | +0.0334 | - | 0.250 |",
        "| gopro | 3 | lpips | - | - | - | 0.1000 | 0.250 |",
        "| blind | 1 | - | - | - | - | - | 1.000 |",
    ]


def test_gains() -> None:
    assert [row.key for row in ranked(ROWS["gopro"])] == ['b,"1"', "a/1", "a/2"]
    assert share_gained(ROWS["gopro"]) == pytest.approx(2 / 3)
    assert share_gained(ROWS["blind"]) is None
    unchanged = ImageScore("same", {"psnr": math.inf}, {"psnr": math.inf}, 0.0)
    assert unchanged.gain("psnr") is None


def test_csv_holds_full_precision_and_quotes_names() -> None:
    assert per_image_csv(ROWS).splitlines() == [
        "dataset,image,psnr_blurred,psnr_restored,ssim_blurred,ssim_restored,seconds",
        "gopro,a/1,26.0,27.5,0.8,0.85,0.250000",
        "gopro,a/2,28.0,27.75,0.9,0.9,0.500000",
        'gopro,"b,""1""",30.0,inf,0.95,1.0,0.125000',
        "blind,x|y,,,,,1.000000",
    ]


def test_values_that_json_cannot_hold() -> None:
    assert plain({"a": [math.inf, -math.inf, None, 1]}) == {"a": ["inf", "-inf", None, 1]}
    with pytest.raises(ValueError, match="NaN"):
        plain({"a": math.nan})


def test_files(tmp_path: Path) -> None:
    out = tmp_path / "new" / "Bericht ü"
    arguments: dict[str, Any] = {
        "protocol": "explained",
        "command": "python tools/test.py --weights w.pth",
        "strips": {"gopro": {"best: a|1": "strips/gopro/best.png"}},
    }
    write_report(out, plain(METRICS), ROWS, **arguments)
    assert sorted(path.name for path in out.iterdir()) == ["metrics.json", "per_image.csv", "report.md"]
    assert (
        json.loads((out / "metrics.json").read_text(encoding="utf-8"))["datasets"]["gopro"]["restored"]["psnr"] == "inf"
    )
    page = (out / "report.md").read_text(encoding="utf-8")
    for part in (
        "# my\\_\\*experiment\\*",
        "- **gopro: limited to 3 of 1111 images**",
        "66.7 % of the images gained in psnr",
        "| training | set: GoPro, variant: linear |\n| gopro | set: GoPro, variant: gamma, images: 3 |\n\n",
        "![best: a\\|1](strips/gopro/best.png)",
        "`w.pth`: iteration 5, raw weights",
        "| device | cpu (a\\|b) |",
        "| a/2 | 28.00 | 27.75 | -0.25 | 0.9000 | 0.9000 | +0.0000 |",
        "python tools/test.py --weights w.pth",
    ):
        assert part in page
    with pytest.raises(ValueError, match="not JSON compliant"):  # refused before anything is replaced
        write_report(out, METRICS, {}, **arguments)
    assert "66.7 %" in (out / "report.md").read_text(encoding="utf-8")
    assert sorted(path.name for path in out.iterdir()) == ["metrics.json", "per_image.csv", "report.md"]


def test_long_tables_show_both_ends() -> None:
    from deblurkit.report.tables import page

    many = [ImageScore(f"i{n:02}", {"psnr": 20.0}, {"psnr": 20.0 + n}, 0.1) for n in range(20)]
    entry = {**METRICS["datasets"]["gopro"], "restored": {"psnr": 29.5}, "blurred": {"psnr": 20.0}}
    text = page({**METRICS, "datasets": {"gopro": entry}}, {"gopro": many}, "", "", {})
    assert "## Data" not in page({**METRICS, "trained_on": None, "datasets": {}}, {}, "", "", {})
    listed = [line.split(" | ")[0][2:] for line in text.splitlines() if line.startswith("| i")]
    assert listed[1:] == ["i19", "i18", "i17", "i02", "i01", "i00"]


def test_escape() -> None:
    assert escape("a|b\n<c> [d] `e`") == "a\\|b \\<c> \\[d] \\`e\\`"


def test_reports_need_no_torch() -> None:
    code = "import sys, deblurkit.report.write, deblurkit.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[2]).returncode == 0
