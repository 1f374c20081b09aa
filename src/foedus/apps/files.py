"""Applications of third parties: one TOML file each in the home folder's `applications/`.

`command` is an argument list and never a shell's line. `{name}` in it stands for a parameter's value and
`{output}` for the folder that the program writes to; `{{name}}` is `{name}` itself.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from foedus.apps._patterns import APPLICATION_NAME, ARGUMENT, LINE, PARAMETER_NAME, PATTERNS, WORD
from foedus.apps.application import NAME as NAME_OF_APPLICATION
from foedus.apps.application import Application, Result
from foedus.apps.parameters import REQUIRED, Kind, Parameter
from foedus.core.errors import InvalidSpec
from foedus.core.faults import in_words
from foedus.core.records import Resources
from foedus.learn.arguments import hint_for
from foedus.rounds.spec import read_toml

OUTPUT: Final = "output"
"""The placeholder of the output folder; no parameter may have this name."""

_PLACE: Final = re.compile(r"\{(\{[a-zA-Z][a-zA-Z0-9_]*\})\}|\{([a-zA-Z][a-zA-Z0-9_]*)\}", re.ASCII)
_HINT: Final = "See docs/how-to/own-application.md for an example of such a file."
_Line = Annotated[str, Field(min_length=1, max_length=200, pattern=LINE)]
_Argument = Annotated[str, Field(max_length=4096, pattern=ARGUMENT)]
_Word = Annotated[str, Field(max_length=100, pattern=WORD)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ResourcesSection(_Section):
    """What a batch job of the application asks for unless told otherwise."""

    cpus: int = Field(1, ge=1, le=4096)
    memory_mb: int | None = Field(None, ge=1, le=1 << 30)
    gpus: int = Field(0, ge=0, le=1024)
    gpu_type: _Word = ""
    walltime_s: float = Field(86_400, gt=0, le=10_000_000)
    queue: _Word = ""
    account: _Word = ""
    qos: _Word = ""
    constraint: _Word = ""
    scratch_mb: int = Field(0, ge=0, le=1 << 30)


class ParameterSection(_Section):
    """One parameter; without a default it must be given."""

    name: str = Field(pattern=PARAMETER_NAME)
    kind: Kind
    help: _Line
    default: bool | int | float | str | None = None
    minimum: float | None = None
    maximum: float | None = None
    choices: list[_Line] = []
    unit: str = Field("", max_length=40)

    @model_validator(mode="after")
    def _is_sound(self) -> "ParameterSection":
        if self.name == OUTPUT:
            raise ValueError(f"{{{OUTPUT}}} stands for the output folder; choose another name")
        if (self.kind is Kind.CHOICE) != bool(self.choices):
            raise ValueError('choices belong to kind = "choice", and it needs them')
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(
                f"minimum {self.minimum:g} lies above maximum {self.maximum:g}: nothing is valid"
            )
        if self.default is not None:
            try:
                self.as_parameter().check(self.default)
            except InvalidSpec as error:
                raise ValueError(f"default: {error.message}") from error
        return self

    def as_parameter(self) -> Parameter:
        """Return the section as a record."""
        bounds = {
            name: value for name in ("minimum", "maximum") if (value := getattr(self, name)) is not None
        }
        default = REQUIRED if self.default is None else self.default
        choices = tuple(self.choices)
        return Parameter(self.name, self.kind, self.help, default, choices=choices, unit=self.unit, **bounds)


class ResultSection(_Section):
    """One thing that the application gives."""

    name: _Line
    help: _Line


class ApplicationFile(_Section):
    """The whole file."""

    name: str = Field(pattern=APPLICATION_NAME)
    title: _Line
    description: str = Field("", max_length=4000)
    command: list[_Argument] = Field(min_length=1, max_length=1000)
    checkpoints: bool = Field(False, description="it saves and ends with code 75 when it gets SIGUSR1")
    dataset: Literal["", "idx", "images", "arrays", "table", "frames"] = Field(
        "", description="kind of the private dataset that its output is"
    )
    resources: ResourcesSection = ResourcesSection()
    parameters: list[ParameterSection] = []
    results: list[ResultSection] = []

    @model_validator(mode="after")
    def _fits_together(self) -> "ApplicationFile":
        names = [parameter.name for parameter in self.parameters]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two parameters have the name {min(twice)!r}")
        for argument in self.command:
            filled(argument, dict.fromkeys([*names, OUTPUT], ""))
        return self


def read_application(path: Path) -> Application:
    """Read and check a file. Raises `InvalidSpec` naming it, each fault and the nearest valid name."""
    try:
        values = read_toml(path, _HINT)
    except FileNotFoundError as error:
        raise InvalidSpec(f"there is no file {path}", _HINT) from error
    try:
        found = ApplicationFile.model_validate(values)
    except ValidationError as error:
        faults = dict.fromkeys(f"{path.name}: {_described(dict(fault))}" for fault in error.errors())
        raise InvalidSpec("\n".join(faults), _HINT) from error
    return Application(
        name=found.name,
        title=found.title,
        description=found.description,
        resources=Resources(**found.resources.model_dump()),
        own_resources=tuple(sorted(found.resources.model_fields_set)),
        parameters=tuple(one.as_parameter() for one in found.parameters),
        results=tuple(Result(one.name, one.help) for one in found.results),
        command=tuple(found.command),
        keeps_checkpoints=found.checkpoints,
        dataset_kind=found.dataset,
        origin=str(path),
    )


def try_application(path: Path) -> Application:
    """Read a file; what is not usable becomes an application with a `fault`."""
    try:
        return read_application(path)
    except InvalidSpec as error:
        fault = error.message
    try:
        name = str(read_toml(path).get("name"))
    except (FileNotFoundError, InvalidSpec):
        name = ""
    return Application(
        name=name if NAME_OF_APPLICATION.fullmatch(name) else path.name,
        title=f"damaged: {fault.splitlines()[0]}",
        description=fault,
        origin=str(path),
        fault=fault,
    )


def filled(argument: str, texts: Mapping[str, str]) -> str:
    """Put texts into the places of one argument. Raises ValueError for a name that is not among them."""

    def put(match: re.Match[str]) -> str:
        if match[1]:
            return match[1]
        if match[2] not in texts:
            raise ValueError(f"command: {match[0]} is no parameter. {hint_for(match[2], texts)}")
        return texts[match[2]]

    return _PLACE.sub(put, argument)


def _described(fault: dict[str, Any]) -> str:
    parts = [str(part) for part in fault["loc"]]
    location = ".".join(parts)
    if fault["type"] == "extra_forbidden":
        return f"unknown key {location!r}. {hint_for(parts[-1], _keys_at(fault['loc'][:-1]))}"
    if "default" in parts[:-1]:  # Pydantic tells one fault for each type that it might have had
        location, words = ".".join(parts[:-1]), "must be a text, a number, true or false"
    else:
        words = in_words(fault, PATTERNS)
    if not location or fault["type"] == "missing":
        return f"{location} {words}".strip()
    return f"{location} {words} (got {repr(fault['input'])[:80]})"


def _keys_at(location: tuple[str | int, ...]) -> list[str]:
    section: type[BaseModel] = ApplicationFile
    for part in location:
        if isinstance(part, str):
            annotation = section.model_fields[part].annotation
            section = next(
                c
                for c in (annotation, *get_args(annotation))
                if isinstance(c, type) and issubclass(c, BaseModel)
            )
    return list(section.model_fields)
