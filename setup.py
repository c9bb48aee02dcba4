"""Package metadata; tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "deblurkit/__init__.py").read_text(encoding="utf-8"))

setup(
    name="deblurkit",
    version=VERSION.group(1),
    description="Build, train, compare and use image-deblurring GANs from one YAML option file",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.15",
    # The option files stay at the top of the checkout, and travel as data beside the package.
    packages=[*find_packages(include=["deblurkit", "deblurkit.*"]), "deblurkit.option_files"],
    package_dir={"deblurkit.option_files": "options"},
    package_data={
        "deblurkit": ["py.typed", "plugin_template/*.j2"],
        "deblurkit.data.starter": ["*.csv"],
        "deblurkit.exporting": ["templates/*.j2"],
        "deblurkit.metrics": ["*.txt"],
        "deblurkit.option_files": ["**/*.yml"],
        "deblurkit.report": ["templates/*.j2"],
        "deblurkit.report.curves": ["*.j2", "*.css"],
        "deblurkit.report.inside": ["*.j2", "*.css"],
        "deblurkit.report.page": ["*.j2", "*.css", "*.js"],
        "deblurkit.weights": ["*.json", "*.safetensors", "*.yml"],
    },
    install_requires=[
        "addict>=2.4",
        "argcomplete>=3.5",
        "filelock>=4.0",
        "h5py>=3.10",
        "imagecodecs>=2024.9.22",
        "jinja2>=3.1",
        "lmdb>=1.4",
        "lpips>=0.1.4",
        "matplotlib>=3.8",
        "mmengine>=0.10.7,<0.11",
        "numpy>=1.26,<3",
        "opencv-python>=5",
        "pillow>=11.3",  # the first with AVIF
        "pydantic>=2.7,<3",
        "requests>=2.32",
        "rich>=13.4",
        "ruamel.yaml>=0.18",
        "safetensors>=0.4.3",
        "scikit-image>=0.22",
        "scipy>=1.15,<2",
        "simplejpeg>=1.8",  # alone passes libjpeg's warnings on
        "tensorboard>=2.18",
        "tifffile>=2024.9.20",
        "timm>=1.0,<2",
        "torch>=2.6",
        "torchmetrics>=1.8,<2",  # ships the weights of DISTS
        "torchvision>=0.21",
    ],
    entry_points={"console_scripts": ["deblurkit = deblurkit.cli:main"]},
    extras_require={
        # Its build wants torch there first, and --no-build-isolation; on Python 3.13 it fails: docs/install.md.
        "basicsr": ["basicsr>=1.4.2; python_version < '3.13'"],
        "heic": ["pillow-heif>=0.22"],
        "onnx": ["onnxruntime>=1.20", "onnxscript>=0.5"],  # the second for exports alone
        "openvino": ["openvino>=2025.0"],
        "raw": ["rawpy>=0.24"],
        "spandrel": ["spandrel>=0.4"],
        "dev": [
            "hypothesis>=6.100",
            "jsonschema>=4.20",
            "mypy>=1.11",
            "onnxruntime>=1.20",
            "onnxscript>=0.5",
            "openvino>=2025.0",
            "pexpect>=4.9",
            "pillow-heif>=0.22",
            "playwright>=1.50",
            "pre-commit>=3.5",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "rawpy>=0.24",
            "ruff>=0.9",
            "spandrel>=0.4",
        ],
    },
)
