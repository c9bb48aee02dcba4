"""The tests that are marked ``cuda``, in this process, which has imported torch already."""

from __future__ import annotations

import os
from xml.etree import ElementTree

import pytest

from deblurkit.report.tables import Table
from gpu.task import ROOT, Task, run


def measure(task: Task) -> None:
    """Runs them; without a GPU they are skipped, on one none may be."""
    files = [file for file in (ROOT / "tests").rglob("test_*.py") if "mark.cuda" in file.read_text(encoding="utf-8")]
    os.chdir(ROOT)
    report = task.out / "cudatests.xml"
    plain = ["-n", "0", "-p", "no:cacheprovider", "-v", f"--junitxml={report}"]
    code = pytest.main([*plain, "-m", "cuda", *map(str, sorted(files))])
    counted = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    if report.is_file():
        for suite in ElementTree.parse(report).iter("testsuite"):
            for key in counted:
                counted[key] += int(suite.get(key, 0))
    if code != 0:
        task.failures.append(f"pytest ended with {int(code)}: cudatests.log and cudatests.xml")
    if task.device.type == "cuda" and (counted["skipped"] or not counted["tests"]):
        task.failures.append(f"{counted['skipped']} of {counted['tests']} tests were skipped")
    task.found = {**counted, "exit_code": int(code), "report": report.name}
    rows = [[file.relative_to(ROOT).as_posix()] for file in sorted(files)]
    told = ", ".join(f"{count} {key}" for key, count in counted.items())
    task.keep([Table("Files with tests that need CUDA", ["file"], rows)], [f"pytest: {told}"])


if __name__ == "__main__":
    run("cudatests", measure)
