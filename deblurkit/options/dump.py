"""Writing options out again, so that reading them gives the same options."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import CollectionNode, ScalarNode
from ruamel.yaml.representer import SafeRepresenter

from deblurkit.files import write_atomically
from deblurkit.options.document import Plain, resolve
from deblurkit.options.schema import Options


@dataclass(frozen=True, slots=True)
class OneLine:
    """A dict or list that is written on one line, as ``{a: 1}`` or ``[1, 2]``."""

    value: Plain


class _Representer(SafeRepresenter):
    """Quotes each text that YAML 1.2 would read as something else or fold, so that a comment can follow on its line."""

    def represent_text(self, text: str) -> ScalarNode:
        style = None
        # ruamel.yaml writes `:x` and `?x` plain, and cannot read them between brackets.
        if not isinstance(resolve(text), str) or text[:1] in (":", "?"):
            style = "'"
        if not text.isprintable():
            style = '"'
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    def represent_number(self, number: float) -> ScalarNode:
        plain = repr(number).replace("inf", ".inf").replace("nan", ".nan")
        return self.represent_scalar("tag:yaml.org,2002:float", plain)

    def represent_one_line(self, data: OneLine) -> CollectionNode:
        node: CollectionNode = self.represent_data(data.value)
        node.flow_style = True
        return node

    # A value that stands in two places is written twice, as a reader expects.
    def ignore_aliases(self, data: object) -> bool:
        return True


_Representer.add_representer(str, _Representer.represent_text)
_Representer.add_representer(float, _Representer.represent_number)
_Representer.add_representer(OneLine, _Representer.represent_one_line)


def write_options(options: Options, path: str | os.PathLike[str]) -> None:
    """Writes expanded options as an option file that needs no other file but its plugins, whole or not at all."""
    write_atomically(Path(path), options_text(options))


def options_text(options: Options) -> str:
    """Returns the text of the option file that :func:`write_options` writes."""
    return yaml_text(options.to_dict())


def yaml_text(data: dict[str, Any]) -> str:
    """Returns plain values as YAML, one key or list item a line except what is :class:`OneLine`."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment] # annotated as None there
    yaml.width = 2**16  # no text is wrapped: comments are added by line
    text = io.StringIO()
    yaml.dump(data, text)
    return text.getvalue()
