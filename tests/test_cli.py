"""How command lines end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deblurkit import cli

ROOT = Path(__file__).resolve().parents[1]


def run(body: str) -> subprocess.CompletedProcess[str]:
    code = f"from deblurkit import cli\nfrom deblurkit.errors import UserError\ndef main():\n    {body}\ncli.run(main)"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("body", "code"),
    [("pass", 0), ("return 3", 3), ("raise SystemExit(7)", 7), ("raise KeyboardInterrupt", 130), ("1 / 0", 1)],
)
def test_exit_codes(body: str, code: int) -> None:
    done = run(body)
    assert done.returncode == code
    assert ("ZeroDivisionError" in done.stderr) == (body == "1 / 0")


def test_mistakes_are_one_line_each() -> None:
    done = run("raise UserError('x.yml:3: first', 'second\\n  on two lines', 'w' * 300)")
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["x.yml:3: first", "second on two lines", "w" * 300]


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("open('missing/file')", "missing/file: No such file or directory"),
        ("import errno; raise OSError(errno.ENOSPC, 'No space left on device')", "No space left on device"),
    ],
)
def test_what_the_system_refuses_is_one_line(body: str, line: str) -> None:
    done = run(body)
    assert (done.returncode, done.stderr) == (2, f"{line}\n")


def test_a_librarys_own_oserror_keeps_its_traceback() -> None:
    done = run("raise OSError('not in the format that I know')")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")


def test_a_reader_that_leaves() -> None:
    code = "from deblurkit import cli\ndef main():\n    for i in range(10**6): print(i)\ncli.run(main)"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 1
    process.stderr.close()


def test_no_bars_where_there_is_no_terminal() -> None:
    done = run("with cli.progress() as show: show('set', 1, 2); show('set', 2, 2)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--key params", "--key goes with --init-from"),
        ("--resume --key params", "--key goes with --init-from"),
        ("--dry-run --resume", "leave out --resume"),
        ("--dry-run --init-from starter --key params --work-dir w", "leave out --work-dir, --init-from"),
    ],
)
def test_flags_that_nothing_would_read(flags: str, message: str) -> None:
    arguments = cli.program().parse_args(["train", "-opt", "quickstart", *flags.split()])
    with pytest.raises(cli.UsageError, match=message):
        arguments.run(arguments)
