"""Applications (programs that run as batch jobs under a registered name) and private datasets.

Import from its modules. Nothing is loaded here: registry and submitting do without PyTorch and matplotlib.
"""
