"""The base of the published data sets: their files are found in known folder layouts, what is missing is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deblurkit.data.dataset import ImagePairs, PairFiles, shorten
from deblurkit.data.images import is_image
from deblurkit.data.paired import no_folder
from deblurkit.data.transforms import Augment, Size
from deblurkit.errors import MissingSetError, UserError, did_you_mean


@dataclass(frozen=True)
class Source:
    """The archives of a published set, the authors' page that leads there, and an example.

    That is one blurred image's path below the root, with other folders in braces.
    """

    name: str
    archives: str
    page: str
    example: str

    def missing(self, root: Path, looked: Iterable[str]) -> UserError:
        """Returns the error that says what was looked for, how to get it, and how it should lie."""
        advice = f"get {self.archives} at {self.page} and unpack into {root}; datasets/README.md says more"
        gone = "" if root.is_dir() else f"; {no_folder(root)}"
        problems = (
            f"{self.name}: no image found in any of {', '.join(looked)}{gone}",
            f"{self.name}: {advice}",
            f"{self.name}: expected {root / self.example}",
        )
        return MissingSetError(*problems, brief=f"{no_folder(root)}; {advice}") if gone else UserError(*problems)


@dataclass(frozen=True)
class Layout:
    """Blurred and sharp images found in one of a set's layouts, by key, and where they were looked for.

    Those with equal keys are a pair.
    """

    blurred_at: str
    sharp_at: str
    blurred: Mapping[str, Path]
    sharp: Mapping[str, Path]

    def pairs(self) -> list[PairFiles]:
        """Returns the pairs, sorted by key.

        Raises:
            UserError: One side is missing, as a whole, in a folder or for single images.
        """
        if not self.blurred:
            raise UserError(f"{self.blurred_at}: no image there, though {self.sharp_at} has {len(self.sharp)}")
        if not self.sharp:
            raise UserError(f"{self.sharp_at}: no image there, though {self.blurred_at} has {len(self.blurred)}")
        problems = _orphans(self.blurred, self.sharp, "sharp") + _orphans(self.sharp, self.blurred, "blurred")
        if problems:
            raise UserError(*problems)
        return [PairFiles(key, path, self.sharp[key]) for key, path in sorted(self.blurred.items())]


class Benchmark(ImagePairs):
    """A published set: image pairs that know how many they should be and what reports must say of them.

    Its constructor raises a UserError where the set or a part of it is not there, which says what was looked for and
    how to get it.

    Args:
        facts: What :meth:`describe` returns, besides the number of images.
        expected: How many pairs the authors published.
    """

    def __init__(
        self,
        files: Sequence[PairFiles],
        facts: Mapping[str, str],
        expected: int,
        resize: Size | None = None,
        crop: Size | None = None,
        augment: Augment = (),
    ) -> None:
        super().__init__(files, resize, crop, augment)
        self.facts: dict[str, str | int] = {**facts, "images": len(self.files)}
        self.expected = expected

    def describe(self) -> dict[str, str | int]:
        """Returns the set's name, variant and part, the number of images found, and what was measured."""
        return {**self.facts, **super().describe()}

    def verify(self) -> None:
        """Looks at every pair's header, and notes a number of pairs that is not the published one."""
        super().verify()
        self.notes = []  # verify may be called again
        more = len(self) - self.expected
        if more < 0:
            self.notes.append(f"{len(self)} of {self.expected} images")
        elif more > 0:
            self.notes.append(f"{len(self)} images, {more} more than the published set has")


def repackaged(root: Path, split: str, name: str) -> list[Layout]:
    """Finds ``{input,target}/NAME.png``, as MPRNet and Restormer hand sets out, wherever their users put ``split``.

    ``name`` is the set's folder in those archives.

    Source:
        The download scripts and READMEs of MPRNet, Restormer, NAFNet and HI-Diff.
    """
    layouts = []
    for place in (root / split, root / name / split, root / split / name):
        blurred, sharp = place / "input", place / "target"
        layouts.append(Layout(str(blurred), str(sharp), images_in(blurred), images_in(sharp)))
    return layouts


def the_layout(source: Source, root: Path, layouts: Sequence[Layout]) -> Layout:
    """Returns the one layout in which anything was found.

    Raises:
        UserError: None holds an image, or several do.
    """
    found = [layout for layout in layouts if layout.blurred or layout.sharp]
    if not found:
        raise source.missing(root, (layout.blurred_at for layout in layouts))
    if len(found) > 1:
        places = " and ".join(layout.blurred_at for layout in found)
        raise UserError(f"{source.name}: root: {root} holds the set more than once, in {places}: name one of them")
    return found[0]


@contextmanager
def looking_into(folder: Path) -> Iterator[None]:
    """Raises a UserError that names the folder or the file where the system refuses what the block does."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename or folder}: it cannot be looked into: {error.strerror or error}") from error


def images_in(folder: Path) -> dict[str, Path]:
    """Returns the images that lie directly in a folder by name without ending; nothing where it does not exist.

    Raises:
        UserError: Two differ in their ending only, or the folder cannot be looked into.
    """
    found: dict[str, Path] = {}
    for path in _inside(folder):
        if not is_image(path):
            continue
        if path.stem in found:
            raise UserError(f"{found[path.stem]} and {path.name} have the same name; remove one")
        found[path.stem] = path
    return found


def in_sequences(folder: Path, side: str = "") -> dict[str, Path]:
    """Returns the images of ``folder/SEQUENCE/side`` (or ``folder/SEQUENCE``) by ``SEQUENCE/NAME``."""
    found: dict[str, Path] = {}
    for sequence in _inside(folder):
        for name, path in images_in(sequence / side).items():
            found[f"{sequence.name}/{name}"] = path
    return found


def _inside(folder: Path) -> list[Path]:
    """Returns what lies in a folder, sorted; nothing where it does not exist or is a file."""
    with looking_into(folder):
        if folder.is_dir():
            return sorted(folder.iterdir())
    return []


def check_choice(key: str, value: str, known: Sequence[str]) -> None:
    """Refuses an argument that is not among the known values, by a ValueError with key, value and what was expected."""
    if value not in known:
        hint = did_you_mean(str(value), known)
        raise ValueError(f"{key}: got {value!r}, expected one of {', '.join(known)}{hint}")


def _orphans(these: Mapping[str, Path], others: Mapping[str, Path], other: str) -> list[str]:
    """Names images without a partner: by their folder where none of its images has one, as when it was not copied."""
    folders: dict[Path, list[str]] = {}
    for key, path in these.items():
        folders.setdefault(path.parent, []).append(key)
    lines: list[str] = []
    for folder, keys in folders.items():
        alone = [key for key in keys if key not in others]
        if len(alone) == len(keys):
            lines.append(f"{folder}: none of its {len(keys)} images has a {other} one")
        else:
            lines += [f"{these[key]} has no {other} image" for key in alone]
    return shorten(lines)
