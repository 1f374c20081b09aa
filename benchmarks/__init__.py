"""Measures Foedus against its targets; see docs/performance.md and `python -m benchmarks --help`."""
