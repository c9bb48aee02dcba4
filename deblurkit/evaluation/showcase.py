"""The images that reports show: which ones, how they are cropped, and where they come from.

:func:`choose_images` alone decides, from the scores. Restored images were kept on the disk while they were scored, and
pages take them from there; only those that got lost since are restored again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deblurkit.data.images import beside, encode_image, read_image, to_uint8, write_image
from deblurkit.evaluation.candidates import Candidate
from deblurkit.evaluation.scoring import draw, restore_again
from deblurkit.evaluation.sets import Evaluation, describe_metrics
from deblurkit.report.model import Picture
from deblurkit.report.plots import ERROR_LEVELS, error_colours
from deblurkit.report.ranking import ranked, ranked_by_score, scores_by_key
from deblurkit.results import CandidateResult, ImageScore

Image = NDArray[np.uint8]
Rows = Mapping[str, Sequence[ImageScore]]
"""One data set's images by candidate, in one order; all candidates have the same keys."""

Load = Callable[[str, str], "Image | None"]
"""Called with a panel's name (``blurred``, ``sharp`` or ``restored/NAME``) and an image's key: the whole image, RGB
``(h, w, 3)``, as it was scored; ``None`` where there is none."""

MOST_PICTURES = 12
"""Crops that one page holds, of all data sets together."""

_THUMBNAIL_PX = 128  # the longer side
_CROP = (400, 600)  # the shorter and the longer side of a crop in pixels
_SMALLER = (1.0, 0.8, 0.64, 0.5, 0.4)  # of those sides, tried until the picture's bytes suffice
_BYTES_PER_PICTURE = 1_100_000  # of its panels and maps; a dozen, in base64, leave 7 MB of 25 MB to all else
_THUMBNAIL_QUALITY = 55
_PLACES = 6  # of each ranking, from which images are taken
_GAP_PX = 4
_PANEL_PX = 480  # the longer side of one picture in a strip


@dataclass(frozen=True)
class ScoredCandidate:
    """A candidate that was scored, the folder of its report, and encoded thumbnails by data set and key."""

    candidate: Candidate
    folder: Path
    result: CandidateResult
    thumbnails: Mapping[str, Mapping[str, bytes]]


@dataclass(frozen=True)
class ShownImages:
    """The images of one data set that a page shows.

    Attributes:
        pictures: Keys of the images of which it has crops, and why, the most telling first.
        strips: Images of the first candidate for strips ``blurred | restored | sharp``, by why they are shown.
    """

    pictures: Mapping[str, str]
    strips: Mapping[str, ImageScore]

    def every_key(self) -> list[str]:
        """Returns the keys of all images, each once."""
        return list(dict.fromkeys([*self.pictures, *(row.key for row in self.strips.values())]))


def choose_images(rows: Rows, metric: str, higher_is_better: bool = True, most: int = MOST_PICTURES) -> ShownImages:
    """Chooses the images of one data set that are worth looking at, from nothing but the scores.

    Args:
        rows: Those of the candidates on the page.
        metric: What decides.
        higher_is_better: Whether a greater value of it is better.
        most: At most so many crops.
    """
    first = next(iter(rows.values()), ())
    order = ranked(first, metric, higher_is_better)

    # The first of every ranking come first, then the second ones, and so on. Titles do not count them ("next"): an
    # image that another ranking has named already would leave a gap.
    pictures: dict[str, str] = {}
    rankings = _rankings(rows, order, metric, higher_is_better)
    for place in range(_PLACES):
        for title, keys in rankings.items():
            if place < len(keys):
                pictures.setdefault(keys[place], f"{title}, next" if place else title)
    if not rankings:
        pictures = dict.fromkeys((row.key for row in first), "for a look, without scores")

    # Strips show both ends and the middle; without gains it is the images' order.
    titles = ("greatest gain", "median gain", "smallest gain") if order else ("first", "middle", "last")
    ends, strips = order or first, dict[str, ImageScore]()
    if ends:
        for title, row in zip(titles, (ends[0], ends[len(ends) // 2], ends[-1]), strict=True):
            if row not in strips.values():
                strips[title] = row
    return ShownImages(dict(itertools.islice(pictures.items(), most)), strips)


def _rankings(rows: Rows, gained: Sequence[ImageScore], metric: str, higher_is_better: bool) -> dict[str, list[str]]:
    """Returns keys in the order of differences between candidates, of gains, and of the scores themselves."""
    rankings = _differences(rows, metric, higher_is_better)
    keys = [row.key for row in gained]
    if keys:
        rankings |= {"greatest gain": keys, "smallest gain": keys[::-1], "median gain": [keys[len(keys) // 2]]}
    worst = ranked_by_score(next(iter(rows.values()), ()), metric, higher_is_better)[::-1]
    if worst:
        rankings[f"worst {metric}"] = [row.key for row in worst]
    return rankings


def _differences(rows: Rows, metric: str, higher_is_better: bool) -> dict[str, list[str]]:
    """Ranks the images by how far candidates differ: two in both directions, more by the best from the worst."""
    sign = 1 if higher_is_better else -1
    scores: dict[str, dict[str, float]] = {}
    for name, images in rows.items():
        scores[name] = scores_by_key(images, metric)
    leads: dict[str, dict[str, float]] = {}
    for key in next(iter(scores.values()), {}):
        if len(scores) < 2 or not all(key in own for own in scores.values()):
            continue
        values = {name: own[key] for name, own in scores.items()}
        best = max(values, key=lambda name: sign * values[name])
        worst = min(values, key=lambda name: sign * values[name])
        if values[best] != values[worst]:
            title = f"{best} ahead of {worst}" if len(scores) == 2 else "greatest difference"
            leads.setdefault(title, {})[key] = abs(values[best] - values[worst])
    if len(scores) == 2:  # the first candidate's lead stands first, whichever image came first
        one, other = scores
        titles = (f"{one} ahead of {other}", f"{other} ahead of {one}")
        leads = {title: leads[title] for title in titles if title in leads}
    return {title: sorted(lead, key=lead.__getitem__, reverse=True) for title, lead in leads.items()}


def pictures_per_set(sets: int) -> int:
    """Returns how many crops each of so many data sets may show, so that all together keep to :data:`MOST_PICTURES`.

    >>> pictures_per_set(1), pictures_per_set(5), pictures_per_set(40)
    (12, 2, 0)
    """
    return MOST_PICTURES // max(1, sets)


class Showcase:
    """The images that the pages of an evaluation show.

    Args:
        evaluation: What they are of.
        scored: The candidates; those of more than one are shown together, too.
    """

    def __init__(self, evaluation: Evaluation, scored: Sequence[ScoredCandidate]) -> None:
        self.evaluation = evaluation
        self.scored = {each.result.name: each for each in scored}
        self._index: dict[str, dict[str, int]] = {}  # in its data set, of each scored image
        for dataset, test in evaluation.sets.items():
            rows = scored[0].result.rows[dataset]
            self._index[dataset] = {row.key: index for row, index in zip(rows, test.indices, strict=True)}

    def pictures(self, names: Sequence[str]) -> dict[str, list[Picture]]:
        """Returns the crops of a page that shows these candidates, by data set."""
        found = {}
        for dataset in self.evaluation.sets:
            metric, higher = self._main_metric(dataset)
            found[dataset] = make_pictures(
                self._rows(names, dataset),
                self._load(dataset),
                metric=metric,
                higher_is_better=higher,
                most=pictures_per_set(len(self.evaluation.sets)),
            )
        return found

    def strips(self, name: str) -> dict[str, dict[str, str]]:
        """Writes a candidate's strips beside its report: caption to path relative to it, by data set."""
        found: dict[str, dict[str, str]] = {}
        for dataset in self.evaluation.sets:
            metric, load = self._main_metric(dataset)[0], self._load(dataset)
            folder = self.scored[name].folder / "strips" / dataset
            found[dataset] = {}
            for title, row in self._shown([name], dataset).strips.items():
                panels = {"blurred": load("blurred", row.key), "restored": load(f"restored/{name}", row.key)}
                panels["sharp"] = load("sharp", row.key)
                known = {side: image for side, image in panels.items() if image is not None}
                folder.mkdir(parents=True, exist_ok=True)  # here: without images there is no folder
                file = f"{title.replace(' ', '_')}.png"
                write_image(folder / file, beside([shrink(image, _PANEL_PX) for image in known.values()], _GAP_PX))
                gain = row.gain(metric)
                shown = "" if gain is None else f" ({metric} {gain:+.3f})"
                found[dataset][f"{title}: {row.key}{shown}: {' | '.join(known)}"] = f"strips/{dataset}/{file}"
        return found

    def restore_lacking(self) -> None:
        """Restores those images again that pages show and that are not on the disk.

        Of a network none are, unless somebody removed them; of a folder all are, which costs a reading. A network is
        loaded again only where an image of it is lacking.
        """
        for name, each in self.scored.items():
            lacking: dict[str, dict[int, Path]] = {}
            for dataset in self.evaluation.sets:
                for names in ([name], list(self.scored)):  # its own page and, of several candidates, that of all
                    for key in self._shown(names, dataset).every_key():
                        index = self._index[dataset][key]
                        file = self.evaluation.restored_file(each.folder, dataset, index, key)
                        if not file.is_file():
                            lacking.setdefault(dataset, {})[index] = file
            if not lacking:
                continue
            with each.candidate.opened() as open_source:
                for dataset, files in lacking.items():
                    test = self.evaluation.sets[dataset]
                    source = open_source(dataset, test)
                    again = restore_again(source, test.dataset, test.protocol, self.evaluation.seed, list(files))
                    for index, image in again:
                        files[index].parent.mkdir(parents=True, exist_ok=True)
                        write_image(files[index], to_uint8(image))

    def _rows(self, names: Sequence[str], dataset: str) -> Rows:
        return {name: self.scored[name].result.rows[dataset] for name in names}

    def _shown(self, names: Sequence[str], dataset: str) -> ShownImages:
        metric, higher = self._main_metric(dataset)
        return choose_images(self._rows(names, dataset), metric, higher, pictures_per_set(len(self.evaluation.sets)))

    def _main_metric(self, dataset: str) -> tuple[str, bool]:
        """Returns the name of a data set's first metric, and whether higher is better."""
        name, kind = next(iter(describe_metrics([self.evaluation.sets[dataset].protocol]).items()))
        return name, kind.higher_is_better

    def _load(self, dataset: str) -> Load:
        """Returns what reads the images of one data set."""
        indices = self._index[dataset]
        latest: dict[str, dict[str, Any]] = {}  # an image's panels are asked for one after the other

        def load(panel: str, key: str) -> Image | None:
            if panel.startswith("restored/"):
                folder = self.scored[panel.removeprefix("restored/")].folder
                return read_image(self.evaluation.restored_file(folder, dataset, indices[key], key))
            if key not in latest:
                latest.clear()
                # Drawn and prepared as it was scored, with the same random numbers.
                seed, test, index = self.evaluation.seed, self.evaluation.sets[dataset], indices[key]
                sample = draw(test.dataset, index, seed)
                latest[key] = sample = test.protocol.prepare(sample, np.random.default_rng((seed, 1, index)))
                if sample.get("blurred") is not None:
                    latest[key] = {**sample, "blurred": test.protocol.after(sample["blurred"], sample)}
            image = latest[key].get(panel)
            return None if image is None else to_uint8(image)

        return load


def thumbnail(image: Image) -> bytes:
    """Returns a small WebP file of an image ``(h, w, 3)``; 1 to 4 kB."""
    return encode_image(shrink(image, _THUMBNAIL_PX), ".webp", _THUMBNAIL_QUALITY)


def make_pictures(
    rows: Rows, load: Load, *, metric: str = "psnr", higher_is_better: bool = True, most: int = MOST_PICTURES
) -> list[Picture]:
    """Crops the images of :func:`choose_images`, each where its restorations differ most, the most telling first.

    For the arguments see there; ``load`` gives the images. An image of which no restoration is there has no picture.
    """
    chosen = choose_images(rows, metric, higher_is_better, most).pictures
    names = ["blurred", "sharp", *(f"restored/{name}" for name in rows)]
    room = _BYTES_PER_PICTURE * most // max(1, len(chosen))
    made = []
    for key, title in chosen.items():
        picture = _picture(key, title, {name: load(name, key) for name in names}, room)
        if picture is not None:
            made.append(picture)
    return made


def shrink(image: NDArray[Any], longer_side: int) -> NDArray[Any]:
    """Makes an image ``(h, w, 3)`` small; smaller ones stay as they are."""
    height, width = image.shape[:2]
    scale = longer_side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _picture(key: str, title: str, images: Mapping[str, Image | None], room: int) -> Picture | None:
    """Crops and encodes one image in about ``room`` bytes; ``None`` where none of its restorations is there.

    What has another size than the restoration cannot be laid over it and is left out.
    """
    found = [image for name, image in images.items() if name.startswith("restored/") and image is not None]
    restored = next(iter(found), None)
    if restored is None:
        return None
    size = (restored.shape[0], restored.shape[1])
    panels = {name: image for name, image in images.items() if image is not None and image.shape == restored.shape}
    shape = _CROP if size[0] <= size[1] else _CROP[::-1]
    # Noise hardly compresses: the crop gets smaller until the page keeps to its size.
    for scale in _SMALLER:
        height, width = (min(whole, round(scale * part)) for whole, part in zip(size, shape, strict=True))
        top, left = corner(panels, (height, width))
        crops = {name: image[top : top + height, left : left + width] for name, image in panels.items()}
        maps: dict[str, Image] = {}
        sharp = crops.get("sharp")
        if sharp is not None:
            maps = {name: error_map(crop, sharp) for name, crop in crops.items() if name != "sharp"}
        picture = Picture(key, title, size, (top, left), _encoded(crops), _encoded(maps))
        if sum(map(len, itertools.chain(picture.panels.values(), picture.errors.values()))) <= room:
            break
    return picture


def corner(panels: Mapping[str, Image], size: tuple[int, int]) -> tuple[int, int]:
    """Returns the upper left pixel, row and column, of the window where restorations differ most in squared error.

    Args:
        panels: Images ``(h, w, 3)`` by panel name. Errors are taken from ``sharp``, else from ``blurred``. The
            candidates are compared with each other; one alone is compared with the blurred image.
        size: Height and width of the window in pixels, at most the images'.
    """
    restored = [image for name, image in panels.items() if name.startswith("restored/")]
    reference = panels.get("sharp", panels.get("blurred", restored[0]))
    compared = restored if len(restored) > 1 else [*restored, panels.get("blurred", restored[0])]
    errors = [_window_means(image, reference, size) for image in compared]
    # Where one candidate is much better than another is more telling than where all are bad.
    spread = np.max(errors, axis=0) - np.min(errors, axis=0)
    row, column = np.unravel_index(np.argmax(spread), spread.shape)
    return int(row), int(column)


def error_map(image: Image, sharp: Image) -> Image:
    """Returns the absolute difference of two images ``(h, w, 3)``, the mean of red, green and blue, in colours.

    The colours are :func:`~deblurkit.report.plots.error_colours`, from no error to
    :data:`~deblurkit.report.plots.ERROR_LEVELS` levels of 255 and more, in steps of one level.
    """
    levels = np.rint(cv2.absdiff(image, sharp).astype(np.float32).mean(axis=2))
    shades = np.rint(np.minimum(levels, ERROR_LEVELS) * (255 / ERROR_LEVELS)).astype(np.uint8)
    return error_colours()[shades]


def _window_means(image: Image, reference: Image, size: tuple[int, int]) -> NDArray[np.float32]:
    """Returns the mean squared difference in every window of ``size`` that lies within the images."""
    squared = ((image.astype(np.float32) - reference) ** 2).mean(axis=2)
    means = cv2.boxFilter(squared, -1, (size[1], size[0]), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
    return np.asarray(means[: squared.shape[0] - size[0] + 1, : squared.shape[1] - size[1] + 1])


def _encoded(images: Mapping[str, Image]) -> dict[str, bytes]:
    return {name: encode_image(image, ".webp") for name, image in images.items()}
