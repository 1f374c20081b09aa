"""Models, data, local training and the algorithms: tensors in, tensors out. No store, no chain, no clock.

Import from its modules. Nothing is loaded here, so that what needs no PyTorch (partitions, datasets, metrics,
aggregation, updates) does not wait for it.
"""

__all__ = [
    "aggregation",
    "algorithms",
    "arguments",
    "datasets",
    "evaluation",
    "examples",
    "explain",
    "metrics",
    "models",
    "partitions",
    "process",
    "state",
    "strategy",
    "training",
    "updates",
    "weights",
]
