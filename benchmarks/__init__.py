"""Measures Foedus against its targets: `python -m benchmarks --help`. docs/performance.md says what and why."""
