"""Writes docs/photographs.md from the table of the photographs that the networks in the box are trained on.

    python benchmarks/photograph_credits.py

A test says when the page is not that of the table.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from deblurkit.data.starter.table import read_packages, read_photographs

PAGE = Path(__file__).resolve().parents[1] / "docs" / "photographs.md"
ASKS = {
    "CC-BY-2.0": "name the author and the licence, say what was changed",
    "CC-BY-3.0": "as CC-BY-2.0",
    "CC-BY-4.0": "as CC-BY-2.0",
    "CC-BY-SA-3.0": "as CC-BY, and hand on adapted works under the same or a compatible licence only",
    "CC-BY-SA-4.0": "as CC-BY-SA-3.0",
    "CC0-1.0": "nothing",
    "GFDL": "name the author, pass on the licence's text, hand on changed works under the same licence",
    "GPL-2+": "pass on the licence's text and the source, hand on derived works under the same licence",
    "LGPL-3": "as the GPL, for works derived of the file itself",
    "public domain": "nothing; it is the package that states it, for those from Unsplash and NASA too",
}
"""What each licence asks of those who pass copies or adaptations on, in our words."""

HEAD = """\
# The photographs that the networks in the box learned from

{count} photographs, {train} to train on and {val} to validate with, all of them out of Debian 12 packages and Python
wheels. deblurkit contains none of them: it has their names, authors, licences and hashes
(`deblurkit/data/starter/photographs.csv`, from which `python benchmarks/photograph_credits.py` writes this page), and

```
deblurkit prepare-data photographs --out datasets/starter
```

makes the same pixels again ([how](../datasets/README.md#the-photographs-of-the-networks-in-the-box)).

## How they were chosen

From the packages below everything that is a photograph, by eye, and has a statement of its licence that allows to
pass it on and to change it: no clause against commerce or changes, no unclear one. Left out for want of a statement
of their own: opencv-doc's samples, and those of endless-sky's that are of morgueFile, whose terms are narrower than
the package says. Left out otherwise: grey ones, cut-outs, and all three photographs of the sample set's test split.

353 were left, and their sharpness was measured. Each was reduced, by Pillow's Lanczos filter, by the least of the
factors 1, 1.25, 1.5, 2, 2.5, 3 and 4 at which it is at most 2000 pixels long, at least 256 high and wide, and sharp:
in those 30 % of its blocks of 64 x 64 pixels that have most detail, the octave below the Nyquist frequency holds at
least 0.4 times the power of the octave below that (the median of the blocks). Where no factor reached that, the one
with the highest ratio was taken if that is 0.28 or more. The others, 27, are soft or have too little detail, and were
left out; so were 5 grey ones and 2 whose stated author was doubtful. Some of what was taken has parts out of focus,
and moving water that is smooth.

A photograph belongs to one split as a whole, with all others of its series, which is one place or one author's
occasion: those validate for which the first 32 bits of the SHA-256 of the series' name, as a fraction of 2^32, are
below 0.15. That made {val_series} of {series} series, and {share:.0f} % of the photographs.

## What the licences ask

| licence | photographs | asks of who passes on copies or adaptations |
| --- | ---: | --- |
{licences}

This is a summary of facts and no legal advice; the licences' own texts count. What follows from how deblurkit is
made:

- The photographs are not part of deblurkit; you get them from your distribution and make the reduced images yourself.
  `photographs.csv` beside them names authors and licences. Whoever passes these images on, or blurred ones made of
  them, passes on adaptations: with the authors' names, with what was changed (cut, scaled, blurred), and those of the
  share-alike licences, the GPL, the LGPL and the GFDL under these same licences.
- The networks' weights are numbers that were fitted to crops of the photographs. They contain none of them, and they
  are released under deblurkit's own licence, Apache-2.0. No licence above mentions weights, and whether they are
  adaptations of what they were fitted to is not settled; so that nobody's name is lost, all authors are named here.

## The packages

| package | version | photographs | MB | states authors and licences in |
| --- | --- | ---: | ---: | --- |
{packages}

## The credits

"not named" stands where the package names a collection and no author. Every photograph was reduced as said above, or
taken as it is.

| photograph | split | author | licence | source |
| --- | --- | --- | --- | --- |
{credits}
"""


def page() -> str:
    """Returns the whole page, Markdown."""
    photographs = read_photographs()
    splits = Counter(photograph.split for photograph in photographs)
    licences = Counter(photograph.licence for photograph in photographs)
    packages = Counter(photograph.package for photograph in photographs)
    licence_rows, package_rows, credit_rows = [], [], []
    for licence, count in licences.most_common():
        licence_rows.append(f"| {licence} | {count} | {ASKS[licence]} |")
    for package in read_packages():
        about = f"{packages[package.name]} | {package.bytes / 1e6:.0f}"
        package_rows.append(f"| {package.name} | {package.version} | {about} | {package.statement} |")
    for photograph in photographs:
        source = f"<{photograph.source}>" if photograph.source else ""
        author = photograph.author.replace("|", r"\|")
        credit_rows.append(f"| {photograph.name} | {photograph.split} | {author} | {photograph.licence} | {source} |")
    return HEAD.format(
        count=len(photographs),
        train=splits["train"],
        val=splits["val"],
        series=len({photograph.series for photograph in photographs}),
        val_series=len({photograph.series for photograph in photographs if photograph.split == "val"}),
        share=100 * splits["val"] / len(photographs),
        licences="\n".join(licence_rows),
        packages="\n".join(package_rows),
        credits="\n".join(credit_rows),
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
