#!/usr/bin/env bash
# Ten minutes on one GPU, and everything that was found in one folder. What is measured: benchmarks/README.md.
#   benchmarks/gpu.sh --out DIR                           on a machine with torch for CUDA and the project installed
#   benchmarks/gpu.sh --out DIR --device cpu --tiny       the same without a GPU, in seconds
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root/benchmarks:$root${PYTHONPATH:+:$PYTHONPATH}"
# Each part is forked from a process that has imported torch. Asked through the driver, torch finds the GPU there without
# starting CUDA, which no fork survives.
export PYTORCH_NVML_BASED_CUDA_CHECK=1
exec "${PYTHON:-python}" -m gpu "$@"
