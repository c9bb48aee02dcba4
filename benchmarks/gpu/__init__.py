"""What ``benchmarks/gpu.sh`` runs: each part is a module, run as a process of its own."""
