"""What a spec may choose from: models and algorithms with their parameters, known without PyTorch.

They are kept in `choices.json`, which `python -m foedus.learn.choices` writes anew; a test compares the two.
Who adds a model or an algorithm runs that command.
"""

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from foedus.learn.arguments import Parameter
from foedus.learn.score_words import UNKNOWN, ScoreWords

FILE: Final = Path(__file__).with_name("choices.json")


@dataclass(frozen=True, slots=True)
class Choice:
    """A model or an algorithm as a form offers it.

    `task` is what a model learns, `words` what its figures are called; empty and None for algorithms.
    """

    name: str
    title: str
    about: str  # one sentence: what it does, or what it accepts
    task: str
    words: ScoreWords | None
    is_linear: bool
    parameters: tuple[Parameter, ...]


def model_choices() -> Mapping[str, Choice]:
    """Return all models by name."""
    return _read()["models"]


def algorithm_choices() -> Mapping[str, Choice]:
    """Return all algorithms by name."""
    return _read()["algorithms"]


def score_words(model: object) -> ScoreWords:
    """Return what the figures of a model are called, by its name; vague words for one that is not known."""
    choice = model_choices().get(model) if isinstance(model, str) else None
    return (choice and choice.words) or UNKNOWN


@functools.cache
def _read() -> Mapping[str, Mapping[str, Choice]]:
    found = json.loads(FILE.read_text("utf-8"))
    return {kind: {one["name"]: _choice(one) for one in listed} for kind, listed in found.items()}


def _choice(values: Mapping[str, Any]) -> Choice:
    words = ScoreWords(**values["words"]) if values["words"] else None
    parameters = tuple(_parameter(one) for one in values["parameters"])
    return Choice(**{**values, "words": words, "parameters": parameters})


def _parameter(values: Mapping[str, Any]) -> Parameter:
    low, high = values["low"], values["high"]
    return Parameter(
        values["name"],
        values["default"],
        values["meaning"],
        -math.inf if low is None else low,
        math.inf if high is None else high,
        tuple(values["choices"]),
    )


def described() -> str:
    """Return the text of `choices.json` as the registries have it now; loads PyTorch."""
    from foedus.learn.algorithms import describe  # noqa: PLC0415 - the rest of this module does without it
    from foedus.learn.models import model_info, model_names  # noqa: PLC0415 - likewise

    models = [model_info(name) for name in model_names()]
    found = {
        "models": [
            {
                **_plain(one.name, one.title, "", one.parameters),
                "task": one.objective.name,
                "words": asdict(one.objective.words),
                "is_linear": one.is_linear,
            }
            for one in models
        ],
        "algorithms": [
            _plain(one.name, one.title, f"{one.summary} Accepts {one.accepts}.", one.parameters)
            for one in describe()
        ],
    }
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(name: str, title: str, about: str, parameters: tuple[Parameter, ...]) -> dict[str, Any]:
    return {
        "name": name,
        "title": title,
        "about": about,
        "task": "",
        "words": None,
        "is_linear": False,
        "parameters": [
            {
                "name": one.name,
                "default": one.default,
                "meaning": one.meaning,
                "low": None if math.isinf(one.low) else one.low,
                "high": None if math.isinf(one.high) else one.high,
                "choices": list(one.choices),
            }
            for one in parameters
        ],
    }


if __name__ == "__main__":
    FILE.write_text(described(), "utf-8")
