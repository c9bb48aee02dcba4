"""How templates become pages and texts: one file of HTML with its styles and script in it, or text of any kind."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
"""Where the templates of texts are."""


def html_page(
    folders: Sequence[Path], template: str, styles: Sequence[str], scripts: Sequence[str], content: Mapping[str, Any]
) -> str:
    """Returns one HTML file that needs no other.

    Values are escaped and can start no markup; a name that the template misses is an error. Besides ``content`` the
    template has ``style`` and ``script``, the joined files, ``policy``, a content security policy that allows nothing
    but this script, by its hash, and styles and pictures inside the page, and ``safe``, which marks text as markup.

    Args:
        folders: Where the other files are looked for, in this order.
        template: The template's file name.
        styles: File names of the style sheets.
        scripts: File names of the scripts, which share one scope.
        content: The template's values.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # NaN is no JSON: a browser would refuse the whole of the data.
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "ensure_ascii": False, "separators": (",", ":")}
    # The policy names the script by its hash, so markup that gets in from data could not run any other.
    script = _joined(folders, scripts)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    policy = f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
    own = {"style": Markup(_joined(folders, styles)), "script": Markup(script), "policy": policy}
    text = environment.get_template(template).render({**content, **own, "safe": Markup})
    return text.encode("utf-8", "replace").decode("utf-8")  # names of files may be no text


def text_environment(filters: Mapping[str, Callable[[object], str]]) -> Environment:
    """Returns the environment of :data:`TEMPLATES`, which escapes nothing by itself.

    Args:
        filters: By name; what comes from outside must pass the one that escapes for the kind of text.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        keep_trailing_newline=True,
    )
    environment.filters.update(filters)
    return environment


def _joined(folders: Sequence[Path], names: Sequence[str]) -> str:
    texts = []
    for name in names:
        # A page's own folder comes first, so that it may replace a file of another page.
        file = next(folder / name for folder in folders if (folder / name).exists())
        texts.append(file.read_text(encoding="utf-8"))
    return "\n".join(texts)


def data_uri(data: bytes) -> str:
    """Returns an encoded image as a ``data:`` URI.

    Raises:
        ValueError: It is neither WebP nor PNG nor JPEG.
    """
    for start, kind in ((b"RIFF", "webp"), (b"\x89PNG", "png"), (b"\xff\xd8", "jpeg")):
        if data.startswith(start):
            return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    raise ValueError(f"neither WebP nor PNG nor JPEG: it starts with {data[:8]!r}")
