"""The command ``deblurkit``: its help, its mistakes and the terminals it meets."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deblurkit import cli

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = [name for group in cli.GROUPS.values() for name in group]
TOOLS = sorted(file.stem.replace("_", "-") for file in (ROOT / "tools").glob("*.py"))


def deblurkit(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deblurkit", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        timeout=120,
    )


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_help_names_every_command_in_its_group_and_fits(columns: int) -> None:
    done = deblurkit("--help", COLUMNS=str(columns))
    assert (done.returncode, done.stderr) == (0, "")
    assert max(len(line) for line in done.stdout.splitlines()) <= columns
    lines = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ") and line[2] != " "]
    assert lines == COMMANDS
    assert [line[:-1] for line in done.stdout.splitlines() if line.endswith(":")] == list(cli.GROUPS)
    assert deblurkit(COLUMNS=str(columns)).stdout == done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_an_example_that_its_parser_takes(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    module = cli.module_of(command)
    with pytest.raises(SystemExit) as end:
        cli.program().parse_args([command, "--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: deblurkit {command} ")
    assert shown.endswith(f"\nexample:\n  {module.EXAMPLE}\n")
    words = module.EXAMPLE.removeprefix('eval "$(').removesuffix(')"').partition(" > ")[0].split()
    assert words[:2] == ["deblurkit", command]
    assert cli.program().parse_args(words[1:]).run is module.run


def test_help_imports_nothing_heavy() -> None:
    script = "import sys; from deblurkit import cli; cli.program().format_help(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not {"torch", "numpy", "mmengine", "pydantic", "rich", "cv2"} & set(done.stdout.split())


def test_every_tool_is_a_command() -> None:
    assert set(TOOLS) <= set(COMMANDS)
    assert len(TOOLS) == 11


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["trian"], "deblurkit: there is no command 'trian' (did you mean 'train'?)"),
        (["check_data", "x"], "deblurkit: there is no command 'check_data' (did you mean 'check-data'?)"),
        (
            ["deblur", "a.jpg", "--wieghts", "x"],
            "deblurkit deblur: there is no option --wieghts (did you mean '--weights'?)",
        ),
        (["train", "--opt", "madn"], "deblurkit train: there is no option --opt (did you mean '-opt'?)"),
        (
            ["blur", "photos", "x", "--cuont=3"],
            "deblurkit blur photos: there is no option --cuont (did you mean '--count'",
        ),
        (["blur", "photo", "x"], "deblurkit blur: argument source_kind: got 'photo', expected one of frames, photos"),
        (
            ["test", "-opt", "madn", "--precision", "fp8"],
            "deblurkit test: argument --precision: got 'fp8', expected one of fp32, tf32, bf16, fp16",
        ),
        (["test"], "deblurkit test: give -opt, --weights, or both; `deblurkit test --help` explains"),
        (["train"], "deblurkit train: the following arguments are required: -opt"),
        (["list", "generators"], "no registry is named 'generators' (did you mean 'generator'?)"),
        (["train", "-opt", "madm"], "madm: no shipped option file has this name (did you mean 'madn'?)"),
        (["completion", "tcsh"], "deblurkit completion: argument SHELL: got 'tcsh', expected one of bash, zsh, fish"),
        (["quickstart", "--minutes", "-1"], "deblurkit quickstart: --minutes: expected more than 0, got -1"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(words: list[str], problem: str) -> None:
    done = deblurkit(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(problem)
    assert done.stderr.count("\n") == 1


def test_values_that_begin_with_a_hyphen_are_no_options() -> None:
    args = cli.program().parse_args(["quickstart", "--minutes", "-1"])
    assert args.minutes == -1
    assert cli.program().parse_args(["deblur", "--weights", "w", "--out", "d", "--", "-odd.jpg"]).inputs == ["-odd.jpg"]


def test_version() -> None:
    done = deblurkit("--version")
    assert done.stdout.split() == ["deblurkit", __import__("deblurkit").__version__]


def test_a_terminal_that_is_not_utf8() -> None:
    done = deblurkit("list", "transform", PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, "")
    names = deblurkit("-h", PYTHONIOENCODING="latin-1")
    assert (names.returncode, names.stderr) == (0, "")
    error = deblurkit("list", "générateur", PYTHONIOENCODING="ascii")
    assert error.returncode == 2
    assert error.stderr.startswith("no registry is named 'g?n?rateur'")


@pytest.mark.slow
def test_no_color_leaves_no_escapes(tmp_path: Path) -> None:
    pexpect = pytest.importorskip("pexpect", reason="needs pexpect, of the extra [dev]")
    words = ["-m", "deblurkit", "measure", "-opt", "quickstart", "--no-latency", "--sizes", "64x64"]
    for extra, coloured in (({"NO_COLOR": "1"}, False), ({"TERM": "xterm-256color"}, True)):
        base = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "CI", "TERM")}
        environment = {**base, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **extra}
        child = pexpect.spawn(
            sys.executable, words, env=environment, cwd=str(tmp_path), dimensions=(40, 60), timeout=120
        )
        shown = child.read().decode()
        child.close()
        assert child.exitstatus == 0, shown
        assert bool(re.search(r"\x1b\[(\d+;)*(3[0-8]|9[0-7])", shown)) == coloured, shown


def test_ctrl_c_ends_without_a_traceback(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "deblurkit", "measure", "--all", "--repeats", "10000"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, **pipes, env=environment, cwd=tmp_path) as process:
        try:
            time.sleep(4)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    # Python ends by the signal itself where it struck inside of exec; a shell shows 130 for both.
    assert process.returncode in (130, -signal.SIGINT)
    assert errors == "interrupted\n"


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("except KeyboardInterrupt: pass\n    time.sleep(60)", "begun\n"),
        ("finally:\n        time.sleep(3)\n        print('cleaned up')", "begun\ncleaned up\n"),
        (
            "finally:\n        try: {}['no']\n        except KeyError: time.sleep(3)\n        print('cleaned up')",
            "begun\ncleaned up\n",
        ),
    ],
    ids=["swallowed by a library", "clean-up takes seconds", "clean-up meets an error"],
)
def test_one_ctrl_c_is_enough(after: str, expected: str) -> None:
    main = f"def main():\n    try:\n        print('begun', flush=True)\n        time.sleep(60)\n    {after}"
    words = [sys.executable, "-c", f"from deblurkit import cli\nimport time\n{main}\ncli.run(main)"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, **pipes, cwd=ROOT) as process:
        assert process.stdout is not None
        begun = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=30)
    assert (process.returncode, begun + printed, errors) == (130, expected, "interrupted\n")


def test_the_second_ctrl_c_ends_what_swallowed_the_first() -> None:
    body = (
        "from deblurkit import cli\nimport time\ndef main():\n    word = 'begun'\n    while True:\n"
        "        try:\n            print(word, flush=True)\n            time.sleep(60)\n"
        "        except KeyboardInterrupt:\n            word = 'no'"
    )
    words = [sys.executable, "-c", f"{body}\ncli.run(main)"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for expected in ("begun\n", "no\n"):
            assert process.stdout.readline() == expected
            process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


def test_doctor_says_what_is_there_and_what_to_do(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TORCH_HOME": str(tmp_path / "torch")}
    words = [sys.executable, "-m", "deblurkit", "doctor", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = {(finding["subject"], finding["name"]): finding for finding in json.loads(done.stdout)}
    assert found["version", "torch"]["state"] == "ok"
    assert found["data", "GoPro"]["state"] == "note"
    assert "GOPRO_Large.zip" in found["data", "GoPro"]["advice"]
    assert str(tmp_path / "torch") in found["weights", "VGG-19"]["value"]
    assert {"device", "memory", "disk", "extra"} <= {subject for subject, _ in found}


def test_doctor_without_torch_says_so() -> None:
    blocker = "import sys; sys.modules['torch'] = None; sys.argv = ['deblurkit', 'doctor']\n"
    script = f"{blocker}from deblurkit.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (1, "")
    assert "problem version  torch" in done.stdout
    assert "pip install torch" in done.stdout
