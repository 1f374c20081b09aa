"""What the form for a new run asks: keys of a spec as fields with ranges and help; texts made values."""

import types
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from foedus.core.errors import InvalidSpec
from foedus.learn.arguments import Argument, Parameter, check_arguments, hint_for
from foedus.learn.choices import Choice, algorithm_choices, model_choices
from foedus.rounds.spec import RunSpec

ARGS: Final = "model.args."
PARAMS: Final = "algorithm.params."

_TEXTS: Final = {
    "model.name": "What is trained; its size stands beside the name.",
    "model.init": "Random weights, or zeros for models without a hidden layer.",
    "model.start": "CID of a version of this model that the run begins with; random weights when empty.",
    "algorithm.name": "How clients train and how their updates become one model.",
    "rounds": "How often clients train and their updates are merged.",
    "seed": "Decides initial weights and order of examples: the same seed gives the same model.",
    "training.epochs": "How often a client goes through its examples in a round.",
    "training.batch_size": "Examples of one step.",
    "training.learning_rate": "How far one step goes.",
    "training.momentum": "How much of the last step the next one keeps.",
    "training.weight_decay": "How much weights are drawn towards zero.",
    "policy.fraction": "Share of the clients that train in a round, drawn anew for each.",
    "policy.threshold": "So many updates close a round at once; those of all who train when empty.",
    "policy.deadline_s": "Seconds that a round waits for updates.",
    "policy.vote_s": "Seconds for a member's turn to merge, and for a ballot.",
    "policy.gate": "How a local model is compared with its base: by difference or by ratio.",
    "policy.buffers": "What becomes of the statistics of batch normalisation.",
    "policy.floor_ratio": "Share of the base's score that a local model must reach on the shared examples.",
    "policy.beta": "By how much a local model must beat its base; negative only for a margin.",
    "policy.kappa": "How much rewards weigh in the merge; 0 is by examples alone.",
    "robust.rule": "What takes the place of the weighted mean.",
    "jobs.workers": "Warm worker processes; one per client when empty.",
    "jobs.threads": "Threads of each worker.",
    "jobs.walltime_s": "Seconds after which a task is stopped.",
    "jobs.checkpoint_s": "Seconds between two points that a training task can go on from.",
}
_LABELS: Final = {
    "model.name": "Model",
    "model.init": "First weights",
    "model.start": "Start from",
    "algorithm.name": "Algorithm",
    "policy.fraction": "Share of the clients",
    "policy.threshold": "Quorum of updates",
    "policy.deadline_s": "Deadline in seconds",
    "policy.vote_s": "Time to vote in seconds",
    "policy.beta": "Least gain (beta)",
    "policy.floor_ratio": "Floor",
    "policy.epsilon": "Tolerance of voters (epsilon)",
    "policy.kappa": "Weight of rewards (kappa)",
    "policy.cap_ratio": "Cap",
    "robust.byzantine": "Hostile clients",
    "jobs.walltime_s": "Time of a task in seconds",
    "jobs.checkpoint_s": "Checkpoint in seconds",
}
_SECTIONS: Final = {
    "model": ("model.name", "model.init", "model.start"),
    "algorithm": ("algorithm.name",),
    "training": ("rounds", "training", "seed"),
    "who": ("policy.fraction", "policy.threshold"),
    "policy": (
        "policy.deadline_s",
        "policy.vote_s",
        "policy.gate",
        "policy.beta",
        "policy.floor_ratio",
        "policy.epsilon",
        "policy.kappa",
        "policy.cap_ratio",
        "policy.buffers",
    ),
    "robust": ("robust",),
    "where": ("jobs.workers", "jobs.threads", "jobs.walltime_s", "jobs.checkpoint_s"),
}


@dataclass(frozen=True, slots=True)
class FormField:
    """One key of a spec. `choices`: what may be chosen; empty: a text is typed."""

    key: str
    label: str
    help: str
    default: str
    choices: tuple[str, ...] = ()
    names: tuple[str, ...] = ()  # what people read for each choice


def sections(form: Mapping[str, str], task: str) -> dict[str, tuple[FormField, ...]]:
    """Return the fields of each section, with the parameters of the model and algorithm that `form` names."""
    found = {title: tuple(_fields(keys)) for title, keys in _SECTIONS.items()}
    models = {name: one for name, one in model_choices().items() if one.task == task}
    found["model"] = (
        _named("model.name", models, default_model(task)),
        *_parameters(ARGS, model_choices().get(form.get("model.name") or default_model(task))),
        *found["model"][1:],
    )
    algorithm = form.get("algorithm.name") or _default_of("algorithm.name")
    found["algorithm"] = (
        _named("algorithm.name", algorithm_choices(), _default_of("algorithm.name")),
        *_parameters(PARAMS, algorithm_choices().get(algorithm)),
    )
    return found


def default_model(task: str) -> str:
    """Return the model that a project of this task begins with."""
    usual = _default_of("model.name")
    if model_choices()[usual].task == task:
        return usual
    return next((name for name, one in model_choices().items() if one.task == task), usual)


def spec_of(form: Mapping[str, str], task: str) -> dict[str, Any]:
    """Return the sections of a spec that the texts of a form say; what is empty keeps its default.

    Parameters that the chosen model or algorithm does not have are those of another one: left out.
    """
    values: dict[str, Any] = {"model": {"name": default_model(task)}}
    for one in (one for fields in sections(form, task).values() for one in fields):
        section, _, name = one.key.rpartition(".")
        text = form.get(one.key, "").strip()
        if text and not one.key.startswith((ARGS, PARAMS)):
            (values.setdefault(section, {}) if section else values)[name] = text
    chosen = form.get("algorithm.name") or _default_of("algorithm.name")
    values["model"]["args"] = _arguments(ARGS, model_choices().get(values["model"]["name"]), form)
    values.setdefault("algorithm", {})["params"] = _arguments(PARAMS, algorithm_choices().get(chosen), form)
    return values


def form_of(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return a spec as the texts of the form."""
    form: dict[str, str] = {}
    for key, value in _flat(spec, ""):
        form[key] = (
            str(value).lower()
            if isinstance(value, bool)
            else ""
            if value is None
            else str(value).strip("[]")
            if isinstance(value, list)
            else str(value)
        )
    return form


def faults_of_choices(spec: RunSpec, task: str) -> dict[str, str]:
    """Say which names and parameters of a spec are unknown, out of range, or not for this task."""
    faults: dict[str, str] = {}
    chosen = (
        ("model.name", ARGS, model_choices(), spec.model.name, spec.model.args),
        ("algorithm.name", PARAMS, algorithm_choices(), spec.algorithm.name, spec.algorithm.params),
    )
    for key, prefix, known, name, given in chosen:
        if name not in known:
            faults[key] = f"there is no {key[:-5]} {name[:64]!r}. {hint_for(name, known)}"
            continue
        if known[name].task not in ("", task):
            faults[key] = f"{name} is for {known[name].task}; the project's models do {task}"
        faults |= _faults_of(prefix, name, known[name].parameters, given)
    model = model_choices().get(spec.model.name)
    if spec.model.init == "zeros" and model is not None and not model.is_linear:
        faults["model.init"] = f"{spec.model.name} has hidden layers, which learn nothing from zeros"
    try:
        spec.robust.as_rule().require(spec.updates_per_merge)
    except InvalidSpec as error:
        faults["robust.byzantine"] = f"{error.message}. {error.hint}"
    return faults


def all_arguments(model: str, args: Mapping[str, Argument]) -> dict[str, Argument]:
    """Return the arguments of a known model with its defaults."""
    return {one.name: args.get(one.name, one.default) for one in model_choices()[model].parameters}


def _faults_of(
    prefix: str, owner: str, parameters: tuple[Parameter, ...], given: Mapping[str, Argument]
) -> dict[str, str]:
    known, faults = {one.name: one for one in parameters}, {}
    for name, value in given.items():
        try:
            check_arguments(owner, [known[name]] if name in known else parameters, {name: value})
        except InvalidSpec as error:
            faults[f"{prefix}{name}"[:100]] = f"{error.message}. {error.hint}".removesuffix(" ")
    return faults


def _arguments(prefix: str, choice: Choice | None, form: Mapping[str, str]) -> dict[str, Argument]:
    """Return the arguments that differ from the defaults, so that equal specs are written equally."""
    found = {}
    for one in choice.parameters if choice else ():
        text = form.get(prefix + one.name, "").strip()
        value = _value(one, text)
        if text and value != one.default:
            found[one.name] = value
    return found


def _value(parameter: Parameter, text: str) -> Argument:
    """Return a value of the parameter's kind; the text itself, for the check to refuse, when it is none."""
    default = parameter.default
    if isinstance(default, bool):
        return {"true": True, "false": False}.get(text.lower(), text)
    with suppress(ValueError):
        if isinstance(default, list):
            return [int(part) for part in text.strip("[]").split(",")]
        if isinstance(default, int | float):
            return type(default)(text)
    return text


def _flat(values: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value


def _named(key: str, known: Mapping[str, Choice], default: str) -> FormField:
    names = tuple(f"{name}: {one.about or one.title}" for name, one in known.items())
    return FormField(key, _LABELS[key], _TEXTS[key], default, tuple(known), names)


def _parameters(prefix: str, choice: Choice | None) -> Iterator[FormField]:
    for one in choice.parameters if choice else ():
        choices = ("true", "false") if isinstance(one.default, bool) else one.choices
        about = one.meaning if choices or one.range_text == "-" else f"{one.meaning}; {one.range_text}"
        default = form_of({"value": one.default})["value"]
        yield FormField(prefix + one.name, one.name, f"{about}.", default, choices, choices)


def _fields(keys: tuple[str, ...]) -> Iterator[FormField]:
    for key in keys:
        info = _info(key)
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _fields(tuple(f"{key}.{name}" for name in info.annotation.model_fields))
            continue
        label = _LABELS.get(key) or key.rpartition(".")[2].replace("_", " ").capitalize()
        choices = _choices(info.annotation)
        text = (_TEXTS.get(key) or info.description or "").rstrip(".")
        text = text[:1].upper() + text[1:]
        about = f"{text}; {_range(info)}" if _range(info) and not choices else text
        yield FormField(key, label, f"{about}.", _default_of(key), choices, choices)


def _info(key: str) -> FieldInfo:
    section, _, name = key.rpartition(".")
    kind: Any = RunSpec.model_fields[section].annotation if section else RunSpec
    info: FieldInfo = kind.model_fields[name]
    return info


def _default_of(key: str) -> str:
    return form_of({"value": _info(key).default})["value"]


def _choices(annotation: Any) -> tuple[str, ...]:  # noqa: ANN401 - whatever a field may be
    if annotation is bool:
        return ("false", "true")
    return tuple(map(str, get_args(annotation))) if get_origin(annotation) is Literal else ()


def _range(info: FieldInfo) -> str:
    """Say what numbers are valid, in words."""
    rules = list(info.metadata)
    if get_origin(info.annotation) in (Union, types.UnionType):
        rules += [rule for one in get_args(info.annotation) for rule in getattr(one, "__metadata__", ())]
    words = []
    for rule in rules:
        match rule:
            case Ge(ge=low):
                words.append(f"at least {low:,}")
            case Gt(gt=low):
                words.append(f"more than {low:,}")
            case Le(le=high):
                words.append(f"at most {high:,}")
            case Lt(lt=high) if high != 2**63:  # which nobody types
                words.append(f"less than {high:,}")
            case _:
                pass
    return ", ".join(words)
