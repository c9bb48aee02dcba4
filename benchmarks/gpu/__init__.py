"""The parts of ``benchmarks/gpu.sh``: each is a module, run as a process of its own."""
