"""Indexes of weights: the shipped one holds together, and mistakes in others are named with line and nearest key."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from deblurkit.completion import COMPLETERS
from deblurkit.errors import UserError
from deblurkit.weights import box, index
from deblurkit.weights.index import parse, parse_entry, read_shipped

Command = Callable[..., list[str]]
OFFERED = read_shipped().entries
GOOD = """format: 1
weights:
  our-net:
    summary: ours
    architecture: NAFNet
    url: files/net.pth
    sha256: "SHA"
    size: 17
    licence: MIT
    data:
      - {what: photographs, licence: unknown}
    published:
      - {dataset: GoPro, psnr: 30.5, source: a paper}
""".replace("SHA", "0123456789abcdef" * 4)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", OFFERED)
def test_what_the_shipped_index_offers(name: str, command: Command) -> None:
    entry = OFFERED[name]
    assert name not in box.names()
    assert urlsplit(entry.url).scheme == "https"
    assert entry.home
    assert entry.note
    assert parse_entry(entry.to_text(), "text") == entry
    shown = command("weights", "show", name)
    assert shown[0] == name
    (row,) = (line for line in command("weights") if line.startswith(f"{name} "))
    for word in (entry.megabytes, entry.licence, entry.summary):
        assert word in row
    for word in (entry.url, entry.sha256, str(entry.size), *(data.licence for data in entry.data)):
        assert any(word in line for line in shown)
    assert any(line.startswith("- published, not measured here") for line in shown) == bool(entry.published)
    with pytest.raises(UserError, match=rf"{name}: not fetched yet; `deblurkit weights get {name}` does"):
        box.find(name)


def test_each_digest_stands_once() -> None:
    assert len({entry.sha256 for entry in OFFERED.values()}) == len(OFFERED)
    assert len({entry.file for entry in OFFERED.values()}) == len(OFFERED), "a mirror is one folder"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("format: 1", "format: 2", r"i.yml:1: format: got 2: Input should be 1"),
        ("format: 1", "fromat: 1", r"i.yml:1: fromat: no such key \(did you mean 'format'\?\)"),
        ("licence: MIT", "license: MIT", r"i.yml:9: weights.our-net.license: no such key \(did you mean 'licence'\?\)"),
        ("psnr", "pnsr", r"i.yml:13: weights.our-net.published.0.pnsr: no such key \(did you mean 'psnr'\?\)"),
        ("what: ph", "waht: ph", r"i.yml:11: weights.our-net.data.0.waht: no such key \(did you mean 'what'\?\)"),
        ("size: 17", "size: 0", r"i.yml:8: weights.our-net.size: got 0: Input should be greater than 0"),
        ("0123", "012", r"i.yml:7: weights.our-net.sha256: got '0120?\w+...: String should match"),
        ("our-net:", "Our_Net:", r"i.yml:3: weights.Our_Net.name: String should match"),
        ("    size: 17\n", "", r"i.yml:3: weights.our-net.size: Field required"),
        (
            "files/net.pth",
            "ftp://a.org/net.pth",
            r"i.yml:6: weights.our-net.url: got 'ftp://a.org/net.pth', expected an",
        ),
        ("files/net.pth", "https://a.org/", r"i.yml:6?3?: weights.our-net.file: .*match"),
        ("files/net.pth", "..", r"i.yml:3: weights.our-net.file: .*match"),
        ("summary: ours", 'summary: "a\\e[2J"', r"i.yml:4: weights.our-net.summary: .*without control characters"),
        (
            "summary: ours",
            "summary: ours\n    name: other",
            r"i.yml:5: weights.our-net.name: got 'other', expected nothing",
        ),
        ("summary: ours", "summary: !!python/name:os.system x", r"i.yml:4: .*the tag .* is refused"),
        ("weights:", "weights: 3\nnot:", r"i.yml: expected an index of weights"),
        ("weights:", "weights: [", r"i.yml:\d+: not valid YAML"),
    ],
)
def test_mistakes_are_named(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(UserError, match=message):
        parse(GOOD.replace(old, new, 1).encode(), "i.yml")


def test_addresses_begin_where_the_index_is(tmp_path: Path) -> None:
    (tmp_path / "i.yml").write_text(GOOD, encoding="utf-8")
    assert index.read_file(tmp_path / "i.yml").entry("our-net").url == str(tmp_path / "files" / "net.pth")
    remote = parse(GOOD.encode(), "https://a.org/lists/i.yml").entry("our-net")
    assert (remote.url, remote.file) == ("https://a.org/lists/files/net.pth", "net.pth")
    with pytest.raises(UserError, match=r"our-ent: \S+ offers no weights of this name \(did you mean 'our-net'\?\)"):
        parse(GOOD.encode(), "https://a.org/lists/i.yml").entry("our-ent")


def test_too_much_and_no_text() -> None:
    with pytest.raises(UserError, match="more than 1048576 bytes"):
        parse(bytes(index.MAX_BYTES + 1), "i.yml")
    with pytest.raises(UserError, match="not text in UTF-8"):
        parse(b"\xff\xfe", "i.yml")


def test_tab_completes_what_is_offered(tmp_path: Path) -> None:
    (tmp_path / "i.yml").write_text(GOOD, encoding="utf-8")

    def offered(dest: str, named: str | None) -> list[str]:
        return COMPLETERS[dest]("", argparse.Namespace(index=named))

    assert offered("offered_name", None) == list(OFFERED)
    assert offered("offered_name", str(tmp_path / "i.yml")) == ["our-net"]
    assert offered("offered_name", "https://a.org/i.yml") == []
    assert set(offered("box_name", None)) == {*box.names(), *OFFERED}
