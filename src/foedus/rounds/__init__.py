"""Runs: the round machine, what carries its actions out, and verification."""
