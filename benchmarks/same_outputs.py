"""Compares every output of this working tree with a revision's: whether a change left all as it was.

Both trees run the same commands as real processes, on one thread and with the same seeds: 40 iterations of a tiny GAN
with an averaged generator, validations and checkpoints; the test of one checkpoint; a comparison of two; the scores of
restored folders. What is tested are the revision's checkpoints in both trees: so a difference in training does not
reach the reports, and this tree reads what the revision wrote.

Every file is compared byte by byte, and checkpoints value by value and tensor by tensor, but for what depends on the
clock or names the version: see ``CLOCK_RULES``. Paths are relative to the folder of a side, and so alike. One line
tells of each output that it is identical, or where it first differs. The exit code is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from same_training import CLOCK, differences

from deblurkit import cli
from deblurkit.data.sample import default_root, ensure_sample_set
from deblurkit.errors import UserError

ROOT = Path(__file__).resolve().parents[1]

_CRITIC = {"type": "PatchDiscriminator", "channels": 4, "layers": 2}
_ADVERSARIAL = {"type": "AdversarialLoss", "mode": "wgan", "critic": "critic", "gradient_penalty": {"weight": 10}}
_SAMPLE = {"type": "SamplePairs", "split": "test", "resize": 128}
OPTIONS: dict[str, Any] = {
    "name": "tiny_gan",
    "seed": 3,
    "paper": {
        "title": "Blur & how_to",
        "published": {"sample": {"psnr": 30.18, "ssim": 0.9312}},
        "compared": [{"method": "A|B", "dataset": "sample", "psnr": 27, "seconds": 0.85}],
    },
    "generator": {"type": "DeblurGAN", "channels": 4, "blocks": 1},
    "discriminators": {"critic": _CRITIC},
    "losses": {"image": {"type": "L1Loss"}, "adversarial": {**_ADVERSARIAL, "weight": 0.01}},
    "optimizers": {
        "generator": {"type": "Adam", "lr": 1e-3},
        "discriminators": {"type": "Adam", "lr": 1e-3, "betas": [0.5, 0.9]},
    },
    "schedulers": [{"type": "CosineAnnealingLR", "eta_min": 1e-5}],
    "datasets": {
        "train": {"type": "SamplePairs", "split": "train", "crop": 64, "augment": ["hflip", "rot90"], "batch_size": 2},
        "val": {"sample": {**_SAMPLE, "limit": 2}},
        "test": {"sample": {**_SAMPLE, "limit": 6}},  # the fewest on which two candidates are tested
    },
    "train": {"iters": 40, "accumulate": 2, "ema": {"decay": 0.9}, "checkpoint_every": 20, "keep": 2},
    "val": {"every": 20, "protocol": "gopro-basicsr-v1"},
    "logging": {"every": 1, "tensorboard": False, "samples": 1, "curves": False},
}
_HALF, _END = "given/iter_00000020.pth", "given/iter_00000040.pth"
_PROTOCOL = ["--protocol", "gopro-basicsr-v1"]
TRAINING = {"train": ["train", "-opt", "options.yml", "--work-dir", "train"]}
SCORING = {
    "test": ["test", "--weights", _END, "--out", "test"],
    "compare": ["test", "--weights", f"half={_HALF}", f"end={_END}", "--save-images", "--out", "compare"],
    "score": [
        *("score", "--restored", "half=compare/half", "end=compare/end"),
        *("--data", "options.yml:test.sample", *_PROTOCOL, "--out", "score"),
    ],
}
"""Command lines by the folder of their outputs."""

NOT_COMPARED = ("train.txt", "train/log.txt", "train/.lock*")
"""What the training tells: when, how fast, and advice that depends on how fast."""

_NUMBER = r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?"
_TIMES = "|".join(sorted(CLOCK | {"decode", "network", "metrics", "wall", "median", "p95"}))


@dataclass(frozen=True)
class ClockRule:
    """A part of some files that two runs of the same code need not share.

    Attributes:
        files: Pattern of their names.
        pattern: What the part looks like.
        replacement: What stands there instead for the comparison.
    """

    files: str
    pattern: str
    replacement: str | Callable[[re.Match[str]], str]


def _without_times(section: re.Match[str]) -> str:
    """Keeps of what is said of speed the words, the form of tables and the titles of plots."""
    text = re.sub(r"(?s)<svg.*?</svg>|<p class=\"unseen\">.*?</p>", "", section[0])
    return re.sub(r"\d+(?:[.,]\d+)*", "#", text)


CLOCK_RULES = (
    ClockRule("*", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[-+]\d\d:\d\d)", "DATE"),
    ClockRule("*.json*", rf'"({_TIMES})": {_NUMBER}', r'"\1": SECONDS'),
    ClockRule("*.json", r'"deblurkit": "[^"]*"', '"deblurkit": VERSION'),
    ClockRule("*/per_image.csv", r",\d+\.\d{6}$", ",SECONDS"),
    ClockRule("*.md", r"(?<= )\d+\.\d{3} \|$", "SECONDS |"),  # a table's last column; no score has three decimals
    ClockRule("*.txt", r" +\d+\.\d{3}$", " SECONDS"),  # the same table on the terminal
    ClockRule("*.md", r"^Seconds (?:an image|for all).*$", _without_times),
    ClockRule("*.md", r"^\| deblurkit \| .*$", "VERSION"),
    ClockRule("*.html", r"<dt>deblurkit</dt><dd>[^<]*", "VERSION"),
    ClockRule("*.html", r'"seconds": ?\[[^\]]*\]', '"seconds": SECONDS'),
    ClockRule("*.html", r'(?s)<section id="speed".*?</section>', _without_times),
)
"""All that texts may differ in; in checkpoints it is ``versions``."""


@dataclass(frozen=True)
class Side:
    """One of the two trees.

    Attributes:
        tree: Its code.
        folder: Where its commands run and leave their outputs.
    """

    tree: Path
    folder: Path

    def run(self, commands: dict[str, list[str]]) -> None:
        """Runs command lines one after the other; what one prints goes to ``<name>.txt``.

        Raises:
            UserError: One fails.
        """
        for name, (command, *arguments) in commands.items():
            has_program = (self.tree / "deblurkit" / "__main__.py").is_file()
            script = ["-m", "deblurkit", command] if has_program else [str(self.tree / "tools" / f"{command}.py")]
            printed = self._python([*script, *arguments, "--device", "cpu"])
            (self.folder / f"{name}.txt").write_text(printed, encoding="utf-8")

    def check(self) -> None:
        """Makes sure that commands run the code of this tree.

        Raises:
            UserError: They would run another.
        """
        found = self._python(["-c", "import deblurkit; print(deblurkit.__file__)"]).strip()
        if not Path(found).resolve().is_relative_to(self.tree.resolve()):
            raise UserError(f"{self.tree}: its commands would run {found}")

    def _python(self, arguments: Sequence[str]) -> str:
        own = {"PYTHONPATH": str(self.tree), "DEBLURKIT_DATA": str(default_root().parent.absolute())}
        alike = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        return _output([sys.executable, *arguments], self.folder, {**os.environ, **own, **alike})


def compare_outputs(before: Path, after: Path) -> Iterator[tuple[str, str | None]]:
    """Yields the name of each output in two folders, and where it first differs; ``None`` where it does not."""
    old, new = (_files(folder) for folder in (before, after))
    for name in sorted(old | new):
        if name not in new:
            yield name, "is not there any more"
        elif name not in old:
            yield name, "was not there before"
        else:
            yield name, _difference(name, before / name, after / name)


def timeless(name: str, text: str) -> str:
    """Returns a file's text without what depends on the clock or names the version."""
    for rule in CLOCK_RULES:
        if fnmatch(name, rule.files):
            text = re.sub(rule.pattern, rule.replacement, text, flags=re.MULTILINE)
    return text


def _files(folder: Path) -> set[str]:
    outputs = [name for name in (*TRAINING, *SCORING) if (folder / name).is_dir()]
    found = [*folder.glob("*.txt"), *(file for name in outputs for file in (folder / name).rglob("*"))]
    names = {file.relative_to(folder).as_posix() for file in found if file.is_file()}
    return {name for name in names if not any(fnmatch(name, pattern) for pattern in NOT_COMPARED)}


def _difference(name: str, before: Path, after: Path) -> str | None:
    if name.endswith(".pth"):
        states = [torch.load(file, map_location="cpu", weights_only=True) for file in (before, after)]
        for state in states:
            state.pop("versions", None)
        return next(iter(differences(*states)), None)
    old, new = (file.read_bytes() for file in (before, after))
    if old == new:
        return None
    try:
        return _first_difference(timeless(name, old.decode("utf-8")), timeless(name, new.decode("utf-8")))
    except UnicodeDecodeError:  # a picture
        return "its bytes differ"


def _first_difference(before: str, after: str) -> str | None:
    if before == after:
        return None
    shorter = min(len(before), len(after))
    place = next((index for index in range(shorter) if before[index] != after[index]), shorter)
    line = before.count("\n", 0, place) + 1
    start = max(before.rfind("\n", 0, place) + 1, place - 40)  # a page's lines are long
    was, now = (text[start : place + 40].partition("\n")[0] for text in (before, after))
    return f"line {line}: was {was!r}, is {now!r}"


@contextlib.contextmanager
def checked_out(revision: str, folder: Path) -> Iterator[Path]:
    """Holds a worktree of a revision within the block.

    Raises:
        UserError: There is no such revision.
    """
    _output(["git", "worktree", "add", "--detach", str(folder), revision], ROOT)
    try:
        yield folder
    finally:
        _output(["git", "worktree", "remove", "--force", str(folder)], ROOT)


def _output(command: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        last = "".join(done.stderr.strip().splitlines()[-1:])
        raise UserError(f"{' '.join(command)} failed in {folder} with code {done.returncode}: {last}")
    return done.stdout


def make_outputs(trees: Sequence[Path], folders: Sequence[Path], tiny: bool = False) -> None:
    """Runs all commands in both trees, side by side; both score the checkpoints of the first, the revision's.

    With ``tiny`` they train two iterations, and score nothing.
    """
    options = {**OPTIONS, "train": {**OPTIONS["train"], "iters": 2}} if tiny else OPTIONS
    sides = [Side(tree, folder) for tree, folder in zip(trees, folders, strict=True)]
    for side in sides:
        side.folder.mkdir(parents=True)
        (side.folder / "options.yml").write_text(json.dumps(options, indent=1), encoding="utf-8")  # JSON is YAML
        side.check()
    with ThreadPoolExecutor(len(sides)) as pool:
        list(pool.map(lambda side: side.run(TRAINING), sides))
        if tiny:
            return
        for folder in folders:
            shutil.copytree(folders[0] / "train" / "checkpoints", folder / "given")
        list(pool.map(lambda side: side.run(SCORING), sides))


def main() -> int:
    """Makes the outputs of both trees, compares them, and tells of each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("revision", nargs="?", default="HEAD~1", metavar="REV", help="default: the commit before")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a new folder for the outputs, to look at them")
    parser.add_argument("--tiny", action="store_true", help="compare a training of two iterations alone")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = args.keep or Path(scratch)
        folders = [(base / name).absolute() for name in ("before", "after")]
        ensure_sample_set(default_root())  # frozen, and held by its own tests: both trees read the same files
        with checked_out(args.revision, Path(scratch, "tree")) as tree:
            make_outputs([tree, ROOT], folders, args.tiny)
        found = list(compare_outputs(*folders))
    for name, difference in found:
        print(f"identical  {name}" if difference is None else f"DIFFERS    {name}: {difference}")
    differing = sum(difference is not None for _, difference in found)
    print(f"{len(found)} outputs, {differing} differ from {args.revision}")
    return 1 if differing else 0


if __name__ == "__main__":
    cli.run(main)
