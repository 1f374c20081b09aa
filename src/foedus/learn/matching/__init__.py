"""Matched averaging: which unit of one network is the same as which unit of another (FedMA).

Import from its modules: `bbp` matches rows of numbers, `trace` looks at a model, `layers` moves its tensors,
`resize` gives it other widths. Nothing is loaded here.
"""

__all__ = ["bbp", "chain", "exact", "layers", "local", "merge", "record", "resize", "trace"]
