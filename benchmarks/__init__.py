"""Measured comparisons, each one command; `python -m benchmarks` runs them all. What they found is kept in results/."""
