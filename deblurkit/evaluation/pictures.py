"""Pictures for the report's page: thumbnails, full-resolution crops, and maps of the error."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deblurkit.data.images import encode_image
from deblurkit.report.model import Picture
from deblurkit.report.plots import ERROR_LEVELS, error_colours
from deblurkit.report.scores import ImageScore, ranked, ranked_by_score

Image = NDArray[np.uint8]
Load = Callable[[str, str], "Image | None"]
"""Called with a panel's name (``blurred``, ``sharp`` or ``restored/NAME``) and an image's key: the whole image, RGB
``(h, w, 3)``, as it was scored; ``None`` where there is none."""

MOST_PICTURES = 12
"""Crops that one page holds, of all data sets together."""

_THUMBNAIL_PX = 128  # the longer side
_CROP = (400, 600)  # the shorter and the longer side of a crop in pixels
_SMALLER = (1.0, 0.8, 0.64, 0.5, 0.4)  # of those sides, tried until the picture's bytes suffice
_BYTES_PER_PICTURE = 1_100_000  # of its panels and maps; a dozen, in base64, leave 7 MB of 25 MB to all else
_LOSSLESS = [cv2.IMWRITE_WEBP_QUALITY, 101]  # above 100 means lossless
_SMALL = [cv2.IMWRITE_WEBP_QUALITY, 55]
_PLACES = 6  # of each ranking, from which images are taken


def pictures_per_set(sets: int) -> int:
    """Returns how many crops each of so many data sets may show, so that all together keep to :data:`MOST_PICTURES`.

    >>> pictures_per_set(1), pictures_per_set(5), pictures_per_set(40)
    (12, 2, 0)
    """
    return MOST_PICTURES // max(1, sets)


def thumbnail(image: Image) -> bytes:
    """Returns a small WebP file of an image ``(h, w, 3)``; 1 to 4 kB."""
    return encode_image(shrink(image, _THUMBNAIL_PX), ".webp", _SMALL)


def make_pictures(
    rows: Mapping[str, Sequence[ImageScore]],
    load: Load,
    *,
    metric: str = "psnr",
    higher_is_better: bool = True,
    most: int = MOST_PICTURES,
) -> list[Picture]:
    """Chooses the images of one data set that are worth looking at, and crops each where its restorations differ most.

    Args:
        rows: Each candidate's images, in one order; all candidates have the same keys.
        load: Gives the images.
        metric: What decides which images are shown.
        higher_is_better: Whether a greater value of it is better.
        most: At most so many.

    Returns:
        The pictures, the most telling first; fewer where images are missing.
    """
    chosen = list(itertools.islice(_telling(rows, metric, higher_is_better), most))
    names = ["blurred", "sharp", *(f"restored/{name}" for name in rows)]
    room = _BYTES_PER_PICTURE * most // max(1, len(chosen))
    made = (_picture(key, title, {name: load(name, key) for name in names}, room) for key, title in chosen)
    return [picture for picture in made if picture is not None]


def shrink(image: NDArray[Any], longer_side: int) -> NDArray[Any]:
    """Makes an image ``(h, w, 3)`` small; smaller ones stay as they are."""
    height, width = image.shape[:2]
    scale = longer_side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _telling(
    rows: Mapping[str, Sequence[ImageScore]], metric: str, higher_is_better: bool
) -> Iterator[tuple[str, str]]:
    """Names each image's key and why it is worth a look, the most telling first, each image once.

    The first of every ranking come first, then the second ones, and so on; without scores it is the images' order.
    Those behind the first are not counted: an image that another ranking has named already would leave a gap.
    """
    rankings = _rankings(rows, metric, higher_is_better)
    seen = set()
    for number in range(_PLACES):
        for title, keys in rankings.items():
            if number < len(keys) and keys[number] not in seen:
                seen.add(keys[number])
                yield keys[number], f"{title}, next" if number else title
    if not rankings:
        yield from ((row.key, "for a look, without scores") for row in next(iter(rows.values()), ()))


def _rankings(rows: Mapping[str, Sequence[ImageScore]], metric: str, higher_is_better: bool) -> dict[str, list[str]]:
    """Returns keys in the order of differences between candidates, of gains, and of the scores themselves."""
    rankings = _differences({name: _scores(images, metric, higher_is_better) for name, images in rows.items()})
    first = next(iter(rows.values()), ())
    gained = [row.key for row in ranked(first, metric, higher_is_better)]
    if gained:
        middle = len(gained) // 2
        rankings |= {"greatest gain": gained, "smallest gain": gained[::-1], "median gain": gained[middle : middle + 1]}
    worst = [row.key for row in ranked_by_score(first, metric, higher_is_better)][::-1]
    return rankings | ({f"worst {metric}": worst} if worst else {})


def _scores(rows: Sequence[ImageScore], metric: str, higher_is_better: bool) -> dict[str, float]:
    """Returns the restored images' scores by key, turned so that higher is better."""
    sign = 1 if higher_is_better else -1
    return {row.key: sign * row.restored[metric] for row in rows if row.restored and metric in row.restored}


def _differences(scores: Mapping[str, Mapping[str, float]]) -> dict[str, list[str]]:
    """Ranks the images by how far candidates differ: two in both directions, more by the best from the worst."""
    shared = [key for key in next(iter(scores.values()), {}) if all(key in own for own in scores.values())]
    if len(scores) == 2:
        ahead = {f"{a} ahead of {b}": (scores[a], scores[b]) for a, b in itertools.permutations(scores)}
        leads = {
            title: {key: one[key] - other[key] for key in shared if one[key] > other[key]}
            for title, (one, other) in ahead.items()
        }
    elif len(scores) > 2:
        sides = {key: [own[key] for own in scores.values()] for key in shared}
        leads = {"greatest difference": {key: max(s) - min(s) for key, s in sides.items() if max(s) > min(s)}}
    else:
        leads = {}
    return {title: sorted(lead, key=lambda key: -lead[key]) for title, lead in leads.items() if lead}


def _picture(key: str, title: str, images: Mapping[str, Image | None], room: int) -> Picture | None:
    """Crops and encode one image in about ``room`` bytes; ``None`` where none of its restorations is there.

    What has another size than the restoration cannot be laid over it and is left out.
    """
    restored = next(
        (image for name, image in images.items() if name.startswith("restored/") and image is not None), None
    )
    if restored is None:
        return None
    size = (restored.shape[0], restored.shape[1])
    panels = {name: image for name, image in images.items() if image is not None and image.shape == restored.shape}
    shape = _CROP if size[0] <= size[1] else _CROP[::-1]
    for scale in _SMALLER:
        height, width = (min(whole, round(scale * part)) for whole, part in zip(size, shape, strict=True))
        top, left = corner(panels, (height, width))
        crops = {name: image[top : top + height, left : left + width] for name, image in panels.items()}
        picture = Picture(key, title, size, (top, left), _encoded(crops), _encoded(_error_maps(crops)))
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
    return {name: encode_image(image, ".webp", _LOSSLESS) for name, image in images.items()}


def _error_maps(crops: Mapping[str, Image]) -> dict[str, Image]:
    sharp = crops.get("sharp")
    if sharp is None:
        return {}
    return {name: error_map(crop, sharp) for name, crop in crops.items() if name != "sharp"}
