"""What an application's `spec.json` says: written by `foedus.apps.submit`, read inside the batch job."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError

from foedus.apps.parameters import Value
from foedus.core.canonical import Json, canonical_json
from foedus.core.errors import InvalidSpec
from foedus.core.records import Resources
from foedus.launch import JobFolder
from foedus.rounds.home import Home


@dataclass(frozen=True, slots=True)
class Order:
    """One submitted application. Paths of private data stand in no job folder, only their names."""

    application: str
    parameters: Mapping[str, Value]
    resources: Resources = field(default_factory=Resources)
    command: tuple[str, ...] = ()
    keeps_checkpoints: bool = False
    datasets: tuple[str, ...] = ()  # parameters of a command that are names of datasets
    dataset_kind: str = ""  # what its output is to be registered as
    dataset: str = ""  # and under which name

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    def to_json(self) -> dict[str, Json]:
        """Return `spec.json`."""
        values: dict[str, Json] = {
            "application": self.application,
            "parameters": dict(self.parameters),
            "resources": {name: getattr(self.resources, name) for name in Resources.__slots__},
            "dataset_kind": self.dataset_kind,
            "dataset": self.dataset,
        }
        if self.command:
            values |= {
                "command": list(self.command),
                "keeps_checkpoints": self.keeps_checkpoints,
                "datasets": list(self.datasets),
            }
        return values

    @classmethod
    def read(cls, folder: JobFolder) -> "Order":
        """Read a job folder's `spec.json`. Raises `InvalidSpec` when it is none of an application."""
        spec: dict[str, Any] = dict(folder.read_spec())
        spec.pop("home", None)  # written by earlier versions
        try:
            return _ORDER.validate_json(canonical_json(spec))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InvalidSpec(
                f"{folder.path} holds no application's order: {where}: {first['msg']}"
            ) from error


_ORDER: Final = TypeAdapter(Order)


def home_of(folder: JobFolder) -> Home:
    """Return the home folder that a job folder lies in: names of datasets and models are looked up there.

    By its place, and not by what was once written down: a home folder may be moved, and has another path in
    containers.
    """
    return Home(folder.path.parent.parent)
