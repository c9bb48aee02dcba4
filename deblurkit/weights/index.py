"""Indexes of weights that can be fetched: where each file is, its digest, its licences, what its authors claim of it.

An index is a YAML file, ``index.yml`` here or anybody's own; docs/weights.md describes it. Needs no torch.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import url2pathname

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from deblurkit.errors import UserError, did_you_mean
from deblurkit.files import saying
from deblurkit.names import folder_name
from deblurkit.options.document import Composer, Node, follow, to_plain
from deblurkit.options.problems import Origin, Problem, finished

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SHIPPED = Path(__file__).parent / "index.yml"
FORMAT = 1
MAX_BYTES = 1 << 20
"""The most that is read of an index."""

PERMISSIVE = (
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "ISC", "MIT", "MIT-0", "WTFPL", "Zlib"),
    *("CC-BY-3.0", "CC-BY-4.0", "CC0-1.0"),
)
"""SPDX names of licences under which weights may be used for anything; any other has to be accepted by name."""

_NAME = "^[a-z0-9][a-z0-9-]{0,59}$"
_FILE = "^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,90}[.][A-Za-z0-9]{1,12}$"


def _line(text: str) -> str:
    """Returns a text as one line that a terminal can be given, whoever wrote it."""
    line = " ".join(text.split())
    if not line or not line.isprintable():
        raise ValueError("expected words, without control characters")
    return line


Line = Annotated[str, AfterValidator(_line), Field(max_length=1000)]


@dataclass(frozen=True)
class TrainingData:
    """A data set that weights were trained on, and its licence; ``unknown`` where nobody says."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    what: Line
    licence: Line


@dataclass(frozen=True)
class PublishedScore:
    """A score that its authors published: of which images, PSNR in dB, SSIM, and where it stands. Not measured here."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    dataset: Line
    psnr: Annotated[float, Field(gt=0, lt=200)]
    source: Line
    ssim: Annotated[float, Field(gt=0, le=1)] | None = None


@dataclass(frozen=True)
class Entry:
    """A weight file that an index offers.

    Attributes:
        name: What the user calls it.
        summary: One line for lists.
        architecture: The network.
        url: Where the file is: an http or https address, or an absolute path.
        file: What it is called, on a mirror and on disk.
        sha256: Its digest, in 64 hexadecimal digits.
        size: Its bytes.
        licence: Of the weights, by its SPDX name; ``unknown`` where nobody says.
        data: What they were trained on.
        published: Scores that their authors state.
        note: What else should be known, such as where the digest comes from.
        home: The page of its authors.
        key: Where in the file the weights stand, for ``--key``; ``None``: no key is needed.
        extra: The extra of deblurkit that the network needs, if any.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: Annotated[str, Field(pattern=_NAME)]
    summary: Line
    architecture: Line
    url: Line
    file: Annotated[str, Field(pattern=_FILE), AfterValidator(folder_name)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    size: Annotated[int, Field(gt=0, lt=1 << 40)]
    licence: Line
    data: Annotated[tuple[TrainingData, ...], Field(min_length=1)]
    published: tuple[PublishedScore, ...] = ()
    note: Line | None = None
    home: Line | None = None
    key: Line | None = None
    extra: Literal["onnx", "spandrel"] | None = None

    @property
    def megabytes(self) -> str:
        """Returns its size as messages state it."""
        return f"{self.size / 1e6:.2f} MB"

    @property
    def is_permissive(self) -> bool:
        """Tells whether its licence lets everybody use it for anything."""
        return self.licence.casefold() in (name.casefold() for name in PERMISSIVE)

    def to_text(self) -> str:
        """Returns the JSON that :func:`parse_entry` reads."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"


@dataclass(frozen=True)
class _Document:
    """What stands in the file."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    format: Literal[1]
    weights: Mapping[str, Entry]


@dataclass(frozen=True)
class Index:
    """What an index offers, by name.

    Attributes:
        source: The file or address that it was read from.
        entries: In its order.
    """

    source: str
    entries: Mapping[str, Entry]

    def entry(self, name: str) -> Entry:
        """Returns one of its entries.

        Raises:
            UserError: There is none of this name.
        """
        if name not in self.entries:
            hint = did_you_mean(name, self.entries) or f" (there is {', '.join(self.entries) or 'nothing in it'})"
            raise UserError(f"{name}: {self.source} offers no weights of this name{hint}")
        return self.entries[name]


def refuse_licence(entry: Entry, accepted: str | None) -> None:
    """Returns where the user may have the weights: their licence is permissive, or it is the one that was accepted.

    Raises:
        UserError: Another licence was accepted, or none, and this one limits what the weights may be used for.
    """
    said = " ".join((accepted or "").split()).casefold()
    if said == entry.licence.casefold() or (accepted is None and entry.is_permissive):
        return
    got = "" if accepted is None else f", not {accepted[:80]!r}"
    if entry.is_permissive:
        expected = "which needs no --accept-licence"
    else:
        expected = f'which may limit their use; to have them all the same, add --accept-licence "{entry.licence}"'
    page = f" ({entry.home})" if entry.home else ""
    raise UserError(f"{entry.name}: the licence of these weights is {entry.licence}{got}{page}, {expected}")


def read_shipped() -> Index:
    """Returns the index that comes with deblurkit."""
    return read_file(SHIPPED)


def read_file(file: Path) -> Index:
    """Reads an index from a file; relative paths in it begin at its folder.

    Raises:
        UserError: It cannot be read, or is no index; a line a problem, which names file, line and key.
    """
    with saying(f"{file}: cannot be read"), open(file, "rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    return parse(content, str(file))


def parse(content: bytes, source: str) -> Index:
    """Reads an index from its YAML; ``source`` is where it comes from, a path or an http or https address.

    Raises:
        UserError: It is no index; a line a problem, which names source, line and key.
    """
    if len(content) > MAX_BYTES:
        raise UserError(f"{source}: more than {MAX_BYTES} bytes, expected an index of weights")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{source}: not text in UTF-8, expected an index of weights") from None
    problems: list[Problem] = []
    root = Composer(text, Origin(source, 1), problems).compose()
    if root is None or problems:
        raise UserError(*finished(problems))
    written = to_plain(root)
    if not isinstance(written, dict) or not isinstance(written.get("weights"), dict):
        raise UserError(f"{source}: expected an index of weights, with `format: {FORMAT}` and `weights:`, a name each")
    offered = written["weights"]
    assert isinstance(offered, dict)
    filled = {name: _filled(name, fields) for name, fields in offered.items()}
    try:
        document = TypeAdapter(_Document).validate_python({**written, "weights": filled})
    except ValidationError as error:
        raise UserError(*finished(_problem(root, detail) for detail in error.errors(include_url=False))) from None
    entries = {}
    for name, entry in document.weights.items():
        if entry.name != name:
            path: tuple[str, ...] = ("weights", name, "name")
            text = f"got {entry.name!r}, expected nothing: its key {name!r} is its name"
            raise UserError(str(Problem(follow(root, path)[-1].origin, path, text)))
        try:
            entries[name] = dataclasses.replace(entry, url=_place(entry.url, source))
        except ValueError as error:
            path = ("weights", name, "url")
            raise UserError(str(Problem(follow(root, path)[-1].origin, path, f"got {entry.url!r}, {error}"))) from None
    return Index(source, entries)


def parse_entry(text: str, source: object) -> Entry:
    """Reads what :meth:`Entry.to_text` wrote.

    Raises:
        UserError: It is damaged; one line.
    """
    try:
        return TypeAdapter(Entry).validate_json(text)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        raise UserError(f"{source}: damaged: {'.'.join(map(str, detail['loc']))}: {detail['msg']}") from None


def is_remote(place: str) -> bool:
    """Tells whether a place is an http or https address, for which a socket has to be opened."""
    return place.partition(":")[0].lower() in ("http", "https")


def local_path(place: str) -> Path:
    """Returns the path that a place names, as such or as a ``file:`` address."""
    parts = urlsplit(place)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else Path(place)


def _filled(name: str, fields: object) -> object:
    """Returns what is written of an entry with what follows from the rest: its name, and that of its file."""
    if not isinstance(fields, dict):
        return fields
    address = str(fields.get("url", ""))
    return {"name": name, "file": unquote(urlsplit(address).path).rpartition("/")[2], **fields}


def _place(address: str, source: str) -> str:
    """Returns where an address in an index leads; a ValueError says why it leads nowhere."""
    if is_remote(source):
        place = urljoin(source, address)
        if not is_remote(place):
            raise ValueError("expected http, https or a relative address: the index is not of this machine")
        return place
    if is_remote(address):
        return address
    if urlsplit(address).scheme not in ("", "file") and not Path(address).is_absolute():
        raise ValueError("expected an http, https or file address, or a path")
    return str(Path(source).parent.absolute() / local_path(address))


def _problem(root: Node, detail: ErrorDetails) -> Problem:
    """Returns what pydantic found as a line with file, line and key."""
    path = tuple(part for part in detail["loc"] if part != "[key]")
    trail = follow(root, path)
    text = detail["msg"].removeprefix("Value error, ")
    if detail["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        kinds = {1: _Document, 3: Entry}
        kind = kinds.get(len(path)) or {"data": TrainingData, "published": PublishedScore}[str(path[2])]
        known = [field.name for field in dataclasses.fields(kind)]
        text = f"no such key{did_you_mean(str(path[-1]), known)}"
    elif len(trail) > len(path):  # it is there
        text = f"got {to_plain(trail[-1])!r:.100}: {text}"
    return Problem(trail[-1].origin, path, text)
