"""Results of the algorithms on real and synthetic data: `python -m benchmarks.results NAME`."""
