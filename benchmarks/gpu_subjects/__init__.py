"""What benchmarks/gpu.py measures; each file is a subject."""
