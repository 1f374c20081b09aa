"""Models by name. A new file in this folder with one `@register_model(...)` function is all it takes."""

from foedus.learn.models.registry import (
    ModelInfo,
    build_model,
    initial_weights,
    model_info,
    model_names,
    register_model,
)

__all__ = [
    "ModelInfo",
    "build_model",
    "initial_weights",
    "model_info",
    "model_names",
    "register_model",
]
