"""The bundle: everything that others need of a network, in one folder to hand on."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deblurkit import __version__
from deblurkit.errors import UserError
from deblurkit.exporting.agreement import Agreement
from deblurkit.exporting.network import Network
from deblurkit.exporting.onnx_file import export_onnx
from deblurkit.exporting.tensors import export_safetensors
from deblurkit.files import saying, whole_folder
from deblurkit.report.card import card_markdown
from deblurkit.weights import box
from deblurkit.weights.card import Card, DataSource, card_of, read_card, with_reports
from deblurkit.weights.description import Description

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Bundle:
    """What was written: the folder, its files, and how near the ONNX file comes to PyTorch."""

    folder: Path
    files: tuple[str, ...]
    agreement: Agreement


def write_bundle(
    network: Network,
    folder: Path,
    card: Path | None = None,
    reports: Sequence[Path] = (),
    author: str = "",
    half: bool = False,
) -> Bundle:
    """Writes a network as a new folder, whole or not at all.

    It holds ``NAME.onnx`` and ``NAME.safetensors``, the model card ``README.md`` with a citation, the entry
    ``1x-NAME.json`` for OpenModelDB, whose addresses are left open, and ``restore.py``, which restores a photograph
    with numpy, Pillow and onnxruntime alone.

    Args:
        network: What to export.
        folder: Must not exist.
        card: A card's YAML file (:class:`deblurkit.weights.card.Card`); by default that of the network in the box, else
            one that says of everything that nobody stated it.
        reports: Folders of ``deblurkit test`` for this very network, whose scores go into the card.
        author: Who trained it, for the entry and the citation.
        half: See :func:`~deblurkit.exporting.onnx_file.export_onnx`.

    Raises:
        UserError: The folder exists or cannot be written, a card or report cannot be read or is of other weights; or as
            :func:`~deblurkit.exporting.onnx_file.export_onnx`.
    """
    if os.path.lexists(folder):
        raise UserError(f"{folder}: exists already; choose another --bundle")
    description = network.describe(half)
    name = description.name
    said = _card(network, description, card, reports)
    with saying(f"{folder}: cannot be written"), whole_folder(folder) as making:
        tensors = making / f"{name}.safetensors"
        described = export_safetensors(network, tensors, half)
        _, agreement = export_onnx(network, making / f"{name}.onnx", half)
        (making / "restore.py").write_text(_example(name), encoding="utf-8")
        page = card_markdown(name, said, described, tensors.stat().st_size)
        cited = f"## Citation\n\n```bibtex\n{_citation(name, author)}\n```\n"
        (making / "README.md").write_text(f"{page}\n{cited}", encoding="utf-8")
        entry = _entry(making, described, said, author)
        (making / f"1x-{name}.json").write_text(json.dumps(entry, indent=2) + "\n", encoding="utf-8")
        files = tuple(sorted(file.name for file in making.iterdir()))
    return Bundle(folder, files, agreement)


def _card(network: Network, description: Description, card: Path | None, reports: Sequence[Path]) -> Card:
    in_box = network.file.parent == box.FOLDER
    if card is not None:
        said = card_of(card)
    elif in_box:
        said = read_card(network.file.stem)
    else:
        unsaid = "Nobody stated it."
        said = Card(
            summary=f"{description.generator['type']}, trained as {description.recipe}",
            placeholder=False,
            what=f"{description.generator['type']}, for blurred photographs. Intended use: nobody stated it.",
            licence=description.licence or "not stated",
            data=(DataSource(description.data or "not stated", "see there", "see there"),),
            recipe=f"deblurkit train -opt {description.recipe}",
            protocol="Each score names its protocol." if reports else "Nothing was scored.",
            scores={},
            limits=(unsaid,),
            failures=(unsaid,),
        )
    return with_reports(said, reports, network.file)


def _example(name: str) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("restore.py.j2").render(name=name)


def _citation(name: str, author: str) -> str:
    """Returns the network's entry for BibTeX."""
    fields = {
        "title": f"{{{name}}}, weights for image deblurring",
        "author": author or "{not stated}",
        "year": str(datetime.date.today().year),
        "note": f"Exported by deblurkit {__version__}",
    }
    lines = [f"  {key} = {{{value}}}," for key, value in fields.items()]
    return "\n".join([f"@misc{{{name},", *lines, "}"])


def _entry(folder: Path, description: Description, card: Card, author: str) -> dict[str, Any]:
    """Returns the entry for OpenModelDB; ids of authors, tags and architectures are of letters, digits and hyphens."""
    resources = []
    for suffix, kind, platform in ((".safetensors", "safetensors", "pytorch"), (".onnx", "onnx", "onnx")):
        content = (folder / f"{description.name}{suffix}").read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        resources.append({"platform": platform, "type": kind, "size": len(content), "sha256": sha256, "urls": []})
    return {
        "name": description.name,
        "author": author,
        "license": card.licence,
        "tags": ["deblur", "restoration"],
        "description": f"{card.summary}\n\n{' '.join(card.what.split())}",
        "date": datetime.date.today().isoformat(),
        "architecture": description.generator["type"].lower(),
        "size": None,
        "scale": 1,
        "inputChannels": 3,
        "outputChannels": 3,
        "trainingIterations": description.iteration,
        "resources": resources,
        "images": [],
    }
