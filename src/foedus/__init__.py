"""Foedus: train one model together on the clusters you already have, without sharing data."""

__version__ = "0.1.0"
