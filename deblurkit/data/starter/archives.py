"""Archives of packages: where they lie, how they are downloaded, and files out of them without installing anything."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from deblurkit.data.starter.table import Package
from deblurkit.errors import UserError
from deblurkit.files import remove_unfinished, saying, whole_folder

_PICTURE = re.compile(rb"RIFF(.{4})WEBP", re.DOTALL)


def find_archives(package: Package, folder: Path) -> list[Path]:
    """Returns the archives of a package, of whatever versions, in a folder and those in it."""
    pattern = f"{package.name}_*.deb" if package.kind == "deb" else f"{package.name.replace('-', '_')}-*.whl"
    # What a killed download left in its unfinished folder is no archive.
    return sorted(found for found in folder.rglob(pattern) if not found.parent.name.endswith(".making"))


def download(packages: Sequence[Package], cache: Path, say: Callable[[str], None]) -> None:
    """Downloads the packages that have no archive in ``cache``, by apt-get and pip, each into a folder of its own.

    Raises:
        UserError: A program is not there, or could not download; packages that are complete stay.
    """
    lacking = [package for package in packages if not find_archives(package, cache)]
    if not lacking:
        return
    names = ", ".join(package.name for package in lacking)
    say(f"downloading {names} to {cache}: about {sum(package.bytes for package in lacking) / 1e6:.0f} MB")
    with saying(f"{cache}: it cannot be written"):
        cache.mkdir(parents=True, exist_ok=True)
        for package in lacking:
            remove_unfinished(cache / package.name)
            with whole_folder(cache / package.name) as making:
                _download(package, making)


def read_files(archive: Path, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yields those of the named files that a ``.deb`` or ``.whl`` holds, each with its content.

    Raises:
        UserError: The archive is damaged, or dpkg-deb, which opens a ``.deb``, is not there.
    """
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                for name in sorted(set(names) & set(wheel.namelist())):
                    yield name, wheel.read(name)
            return
        yield from _in_deb(archive, names)
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise UserError(f"{archive}: it cannot be unpacked: {error}; delete it, and it is downloaded again") from error


def pictures(name: str, content: bytes) -> Iterator[bytes]:
    """Yields the image files of a package's file: itself, or every WebP image in a Qt resource file (``.rcc``).

    Such a file holds images as they are, since nothing makes them smaller; their own headers say how long they are.
    """
    if not name.endswith(".rcc"):
        yield content
        return
    for found in _PICTURE.finditer(content):
        yield content[found.start() : found.start() + 8 + int.from_bytes(found[1], "little")]


def _download(package: Package, folder: Path) -> None:
    if package.kind == "deb":
        program, command = "apt-get", ["apt-get", "download", package.name]
        hint = "`apt-get update` may be due"
    else:
        program, command = "pip", [sys.executable, "-m", "pip", "download", "--no-deps", package.name]
        hint = "pip must be in the environment of deblurkit"
    other = f"or put its archive into a folder DIR and give --packages DIR (it is of version {package.version})"
    with _running(command, folder) as running:
        _, complaint = running.communicate()
    if running.returncode or not any(folder.iterdir()):
        reason = " ".join(complaint.decode(errors="replace").split()) or f"exit code {running.returncode}"
        raise UserError(f"{package.name}: {program} could not download it: {reason}; {hint}, {other}")


def _in_deb(archive: Path, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    # A stream: a package is read once from its beginning, and nothing of it is written to the disk.
    with _running(["dpkg-deb", "--fsys-tarfile", str(archive)]) as unpacking:
        try:
            with tarfile.open(fileobj=unpacking.stdout, mode="r|") as tar:
                for member in tar:
                    name = member.name.removeprefix("./")
                    opened = tar.extractfile(member) if name in names and member.isfile() else None
                    if opened is not None:
                        yield name, opened.read()
        except tarfile.TarError:
            # All that tarfile saw is a stream that stopped; dpkg-deb knows why.
            _, complaint = unpacking.communicate()
            if complaint:
                raise tarfile.TarError(complaint.decode(errors="replace").splitlines()[0]) from None
            raise


def _running(command: Sequence[str], folder: Path | None = None) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError as error:
        other = "--packages DIR takes archives that were downloaded elsewhere, and opens .deb files with dpkg-deb"
        raise UserError(f"{command[0]}: there is no such program on this machine; {other}") from error
