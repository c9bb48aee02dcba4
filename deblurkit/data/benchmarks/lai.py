"""Lai et al.: blurred images for a comparison by people's eyes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from deblurkit.data.benchmarks.layout import Benchmark, Layout, Source, check_choice, images_in, the_layout
from deblurkit.data.dataset import PairFiles
from deblurkit.data.transforms import Size
from deblurkit.registry import DATASETS

_EXAMPLES = {
    "real": "real_dataset/boat1.jpg",
    "uniform": "synthetic_dataset/{uniform/manmade_01_kernel_01.png,ground_truth/manmade_01.png}",
    "nonuniform": "synthetic_dataset/{nonuniform/manmade_01_gyro_01.png,ground_truth/manmade_01.png}",
}
_EXPECTED = 100  # of each part


@DATASETS.register_module()
class Lai(Benchmark):
    """Lai et al.: 100 real photographs without truth, or 25 images under 4 uniform kernels or 4 camera shakes.

    ``real`` has no ``sharp``. The synthetic parts share 25 sharp images; keys are ``manmade_01_kernel_01`` and
    ``manmade_01_gyro_NN``, named after the sharp one. Restorations may be shifted against the truth by several pixels,
    because kernels are not centred: papers search for the shift, plain PSNR does not.

    Not confirmed: the downloads' top folders and the name of the folder ``nonuniform``; the authors' scripts read
    ``synthetic_dataset/ground_truth`` and write ``nonuniform``.

    Args:
        root: The folder that holds ``real_dataset`` or ``synthetic_dataset``, or one of these two.

    Source:
        Lai et al.: A Comparative Study for Single Image Blind Deblurring, CVPR 2016; names and counts from the lists
        in phoenix104104/cvpr16_deblur_study.
    """

    def __init__(
        self,
        part: Literal["real", "uniform", "nonuniform"],
        root: str = "datasets/Lai",
        resize: Size | None = None,
        crop: Size | None = None,
    ) -> None:
        check_choice("part", part, tuple(_EXAMPLES))
        top = Path(root).expanduser()
        page = "https://www.wslai.net/publications/deblur_study/"
        source = Source("Lai", "the real or the synthetic data set", page, _EXAMPLES[part])
        if part == "real":
            folders = [top / "real_dataset", top / "cvpr16_deblur_study_real_dataset" / "real_dataset"]
            layouts = [Layout(str(folder), "", images_in(folder), {}) for folder in (top, *folders)]
            found = the_layout(source, top, layouts)
            files = [PairFiles(key, path, None) for key, path in found.blurred.items()]
        else:
            folders = [top / "synthetic_dataset", top / "cvpr16_deblur_study_synthetic_dataset" / "synthetic_dataset"]
            layouts = []
            for folder in (top, *folders):
                blurred, truths = images_in(folder / part), images_in(folder / "ground_truth")
                sharp = {}
                for key in blurred:
                    truth = key.rsplit("_", 2)[0]  # manmade_01 of manmade_01_kernel_02 and of manmade_01_gyro_07
                    if truth in truths:
                        sharp[key] = truths[truth]
                layouts.append(Layout(str(folder / part), str(folder / "ground_truth"), blurred, sharp))
            files = the_layout(source, top, layouts).pairs()
        super().__init__(files, {"set": "Lai", "part": part}, _EXPECTED, resize, crop)
