"""Tables for papers: what is marked, what is escaped, and that LaTeX takes it."""

from __future__ import annotations

import csv
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from made_candidates import PAPER, candidate, entry, images

from deblurkit.evaluation.comparison import compare
from deblurkit.report.model import Paper, PublishedRow
from deblurkit.report.publication import csv_table, escape, latex
from deblurkit.results import ImageScore

NASTY = r"[50%] a_b & {c} #1 $x^2$ ~ \end <|> *"


def rows_of(table: str) -> list[list[str]]:
    body = [line.strip() for line in table.splitlines() if line.endswith(r"\\") and "&" in line]
    return [re.split(r"(?<!\\)&", line.removesuffix(r"\\")) for line in body]


def cells(table: str, method: str) -> list[str]:
    return next([cell.strip() for cell in row[1:]] for row in rows_of(table) if row[0].strip() == method)


def several(*names: str) -> tuple:
    values = {"A": ([27.004, 29.0], [0.2, 0.3]), "B": ([27.0, 29.0], [0.4, 0.3]), "C": ([26.0, 26.0], [0.5, 0.3])}
    found = [candidate(name, {"gopro": images(*values[name])}) for name in names]
    return found, compare(found)


def test_best_and_second_are_marked_as_they_are_printed():
    table = latex(*several("A", "B", "C"))
    assert cells(table, "A") == [r"\textbf{28.00}", r"\textbf{0.2500}"]
    assert cells(table, "B") == [r"\textbf{28.00}", r"\underline{0.3500}"]  # 0.002 dB less reads the same
    assert cells(table, "C") == [r"\underline{26.00}", "0.4000"]
    assert cells(table, "Blurred input") == ["20.00", "0.5000"]
    assert r"PSNR $\uparrow$ & LPIPS $\downarrow$" in table
    assert "best is bold, the second underlined" in table


def test_of_two_only_the_best_is_marked_and_of_one_nothing():
    table = latex(*several("A", "C"))
    assert cells(table, "C") == ["26.00", "0.4000"]
    assert "best is bold." in table
    assert not any(mark in latex(*several("A")) for mark in (r"\textbf", r"\underline", "bold"))


def test_published_rows_are_marked_and_never_the_best():
    rows = images([27.0, 28.0])
    ours = [
        candidate(name, {"gopro": rows}, datasets={"gopro": entry(rows, published={"psnr": 31.5, "lpips": 0.1})})
        for name in "AB"
    ]
    table = latex(ours, compare(ours), PAPER)
    assert cells(table, r"Nah$^\dagger$") == ["29.08", "--"]
    assert cells(table, r"A\textbar{}B$^\dagger$") == ["27", "--"]  # as printed; seconds are no column here
    assert cells(table, r"Original paper$^\dagger$") == ["31.5", "0.1"]  # once, though both candidates have it
    assert cells(table, "A") == [r"\textbf{27.50}", r"\textbf{0.5000}"]
    assert r"$^\dagger$As published in \emph{Blur \& how\_to}; not measured by us" in table
    other = candidate("C", {"gopro": rows}, datasets={"gopro": entry(rows, published={"psnr": 29.0})})
    assert cells(latex([*ours, other], compare([*ours, other])), r"Original paper of C$^\dagger$") == ["29.0", "--"]


def test_two_figures_of_one_method_are_two_rows():
    quoted = [PublishedRow("Nah", "gopro", {"psnr": value}) for value in (29.08, 28.6)]
    found, compared = several("A")
    table = csv_table(found, compared, Paper("T", {}, quoted))
    assert [row[4] for row in csv.reader(table.splitlines()) if row[0] == "Nah"] == ["29.08", "28.6"]


def test_the_caption_says_how():
    first, second = several("A", "B")[0]
    tiled = candidate(
        "B", second.rows, inference="tlc:256", notes=["LPIPS (alex): random\nbackbone, this is not LPIPS"]
    )
    table = latex([first, tiled], compare([first, tiled]))
    assert r"\texttt{gopro-basicsr-v1}, version 1, inference \texttt{whole}, \texttt{tlc:256}." in table
    assert "Images: gopro 2." in table
    assert "% Mind: B: LPIPS (alex): random backbone, this is not LPIPS\n" in table
    assert cells(table, r"B (\texttt{tlc:256})")


def test_several_data_sets_and_missing_scores():
    sets = {"gopro": images([27.0, math.inf]), "lai": [ImageScore("x", None, None, 0.1)], "hide": images([25.0])}
    ours = candidate("A", sets)
    table = latex([ours], compare([ours]))
    assert r"\multicolumn{2}{c}{gopro}" in table
    assert r"\cmidrule(lr){4-5}" in table
    assert "lai" not in table
    assert cells(table, "A") == [r"$\infty$", "0.5000", "25.00", "0.5000"]


@pytest.mark.parametrize("candidates", [["A"], ["A", "B", "C"]])
def test_latex_is_well_formed(candidates: list[str]):
    found, compared = several(*candidates)
    table = latex(found, compared, Paper(NASTY, {}, [PublishedRow(NASTY, "gopro", {"psnr": 1})]))
    assert re.findall(r"\\begin{(\w+)}", table) == re.findall(r"\\end{(\w+)}", table)[::-1] == ["table", "tabular"]
    plain = re.sub(r"\\[\\{}$&#_%]", "", table)
    assert plain.count("{") == plain.count("}")
    assert {len(row) for row in rows_of(table)} - {2} == {3}  # 2: the data set above its two columns
    assert not re.search(r"^\s*[\[*]", table, flags=re.MULTILINE)


def test_escape():
    assert escape(NASTY) == (
        r"{[}50\%] a\_b \& \{c\} \#1 \$x\textasciicircum{}2\$ \textasciitilde{} \textbackslash{}end "
        r"\textless{}\textbar{}\textgreater{} {*}"
    )


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path: Path):
    rows = images([27.0, 28.0])
    found = [candidate(name, {NASTY: rows, "hide": rows}, notes=[NASTY]) for name in (NASTY, "*", "ü")]
    compared = [PublishedRow(method, "hide", {"psnr": 1}) for method in (NASTY, "[x", "*")]
    table = latex(found, compare(found), Paper(NASTY, {}, compared))
    document = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n" + table + "\\end{document}\n"
    (tmp_path / "t.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]


def test_csv_keeps_all_decimals():
    third = 1 / 3
    ours = candidate("A, or B", {"gopro": images([27 + third])})
    table = list(csv.reader(csv_table([ours], compare([ours]), PAPER).splitlines()))
    assert table == [
        ["method", "kind", "protocol", "inference", "gopro psnr", "gopro lpips"],
        ["Blurred input", "blurred", "gopro-basicsr-v1 version 1", "", "20.0", "0.5"],
        ["Nah", "published", "", "", "29.08", ""],
        ["A|B", "published", "", "", "27", ""],
        ["A, or B", "scored", "gopro-basicsr-v1 version 1", "whole", repr(27 + third), "0.5"],
    ]
