"""Full images for reports: chosen once all scores are known, then restored again, each candidate's in one go."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deblurkit.data.images import read_image, to_uint8, write_image
from deblurkit.evaluation.judging import Evaluation, Judged
from deblurkit.evaluation.pictures import Load, make_pictures, pictures_per_set
from deblurkit.evaluation.protocols.protocol import Protocol
from deblurkit.evaluation.scoring import draw, image_file, restore_again
from deblurkit.evaluation.sets import describe_metrics
from deblurkit.evaluation.strips import strip_rows, write_strips
from deblurkit.report.model import Picture


@dataclass(frozen=True)
class Gallery:
    """The images that pages show, on the disk.

    Attributes:
        evaluation: What they are of.
        judged: The candidates by name.
        files: Restored images by candidate, data set and key.
    """

    evaluation: Evaluation
    judged: Mapping[str, Judged]
    files: Mapping[tuple[str, str, str], Path]

    def pictures(self, names: Sequence[str]) -> dict[str, list[Picture]]:
        """Returns the crops of a page that shows these candidates, by data set."""
        return {name: self.choose(names, name, self._load(name)) for name in self.evaluation.sets}

    def strips(self, candidate: str) -> dict[str, dict[str, str]]:
        """Writes a candidate's strips beside its report: caption to path relative to it, by data set."""
        judged = self.judged[candidate]
        found = {}
        for name, rows in judged.candidate.rows.items():
            metric, higher = main_metric(self.evaluation.sets[name].protocol)
            folder = judged.folder / "strips" / name
            written = write_strips(rows, self._load(name), candidate, folder, metric=metric, higher_is_better=higher)
            found[name] = {caption: f"strips/{name}/{file}" for caption, file in written.items()}
        return found

    def choose(self, names: Sequence[str], dataset: str, load: Load) -> list[Picture]:
        """Returns the crops that a page with these candidates shows of one data set, its images read by ``load``."""
        metric, higher = main_metric(self.evaluation.sets[dataset].protocol)
        rows = {name: self.judged[name].candidate.rows[dataset] for name in names}
        most = pictures_per_set(len(self.evaluation.sets))
        return make_pictures(rows, load, metric=metric, higher_is_better=higher, most=most)

    def _load(self, dataset: str) -> Load:
        """Returns what reads the images of one data set."""
        test = self.evaluation.sets[dataset]
        rows = next(iter(self.judged.values())).candidate.rows[dataset]
        indices = {row.key: index for row, index in zip(rows, test.indices, strict=True)}
        latest: dict[str, dict[str, Any]] = {}  # an image's panels are asked for one after the other

        def load(panel: str, key: str) -> np.ndarray | None:
            if panel.startswith("restored/"):
                return read_image(self.files[panel.removeprefix("restored/"), dataset, key])
            if key not in latest:
                latest.clear()
                latest[key] = self._sample(dataset, indices[key])
            image = latest[key].get(panel)
            return None if image is None else to_uint8(image)

        return load

    def _sample(self, dataset: str, index: int) -> dict[str, Any]:
        """Returns an image's sample as it was scored."""
        seed, test = self.evaluation.seed, self.evaluation.sets[dataset]
        protocol = test.protocol
        sample = draw(test.dataset, index, seed)
        sample = protocol.prepare(sample, np.random.default_rng((seed, 1, index)))
        blurred = sample.get("blurred")
        return sample if blurred is None else {**sample, "blurred": protocol.after(blurred, sample)}


@contextlib.contextmanager
def gallery(evaluation: Evaluation, judged: Sequence[Judged]) -> Iterator[Gallery]:
    """Restores again what pages will show; the images lie in a temporary folder within the block.

    Args:
        evaluation: What was evaluated.
        judged: Its candidates; those of more than one are shown together, too.
    """
    by_name = {each.candidate.name: each for each in judged}
    with tempfile.TemporaryDirectory(prefix="deblurkit-") as folder:
        files: dict[tuple[str, str, str], Path] = {}
        empty = Gallery(evaluation, by_name, {})
        for number, each in enumerate(judged):
            wanted = {name: _wanted(empty, each.candidate.name, name) for name in evaluation.sets}
            files |= _restored(evaluation, each, wanted, Path(folder, str(number)))
        yield Gallery(evaluation, by_name, files)


def main_metric(protocol: Protocol) -> tuple[str, bool]:
    """Returns the name of a protocol's first metric, and whether higher is better."""
    name, facts = next(iter(describe_metrics([protocol]).items()))
    return name, facts["higher_is_better"]


def _wanted(empty: Gallery, candidate: str, dataset: str) -> list[str]:
    """Returns the keys of the images that pages with a candidate show: what they ask for is noted and not given."""
    keys: dict[str, None] = {}

    def note(panel: str, key: str) -> None:
        keys.setdefault(key)

    pages = [[candidate], list(empty.judged)]
    for names in pages if len(empty.judged) > 1 else pages[:1]:
        empty.choose(names, dataset, note)
    metric, higher = main_metric(empty.evaluation.sets[dataset].protocol)
    for row in strip_rows(empty.judged[candidate].candidate.rows[dataset], metric, higher).values():
        keys.setdefault(row.key)
    return list(keys)


def _restored(
    evaluation: Evaluation, judged: Judged, wanted: Mapping[str, Sequence[str]], folder: Path
) -> dict[tuple[str, str, str], Path]:
    """Returns the files of a candidate's images, restored again where they were not kept."""
    files: dict[tuple[str, str, str], Path] = {}
    name = judged.candidate.name
    if evaluation.save_images:
        return {
            (name, dataset, key): image_file(judged.folder / "images" / dataset, key)
            for dataset, keys in wanted.items()
            for key in keys
        }
    folder.mkdir()
    with judged.contender.opened() as opened:
        for dataset, keys in wanted.items():
            test = evaluation.sets[dataset]
            places = {row.key: index for row, index in zip(judged.candidate.rows[dataset], test.indices, strict=True)}
            source = opened(dataset, test)
            indices = [places[key] for key in keys]
            again = restore_again(source, test.dataset, test.protocol, evaluation.seed, indices)
            for _, sample, image in again:
                files[name, dataset, sample["key"]] = file = folder / f"{len(files)}.png"
                write_image(file, to_uint8(image))
    return files
