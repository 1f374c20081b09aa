"""What an application's `spec.json` says: written by `foedus.apps.submit`, read inside the batch job."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from foedus.apps.parameters import Value
from foedus.core.canonical import Json
from foedus.core.errors import InvalidSpec
from foedus.core.records import Resources
from foedus.launch import JobFolder


@dataclass(frozen=True, slots=True)
class Order:
    """One submitted application.

    `home` is the folder in which names of datasets and models are looked up, so the paths of private data
    stand in no job folder.
    """

    application: str
    home: str
    parameters: Mapping[str, Value]
    resources: Resources = field(default_factory=Resources)
    command: tuple[str, ...] = ()
    keeps_checkpoints: bool = False
    datasets: tuple[str, ...] = ()  # parameters of a command that are names of datasets
    dataset_kind: str = ""  # what its output is to be registered as
    dataset: str = ""  # and under which name

    def to_json(self) -> dict[str, Json]:
        """Return `spec.json`."""
        values: dict[str, Json] = {
            "application": self.application,
            "home": self.home,
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
        try:
            resources = Resources(**spec.pop("resources"))
            lists: dict[str, Any] = {
                name: tuple(map(str, spec.pop(name, ()))) for name in ("command", "datasets")
            }
            return cls(**spec, **lists, resources=resources)
        except (TypeError, KeyError) as error:
            raise InvalidSpec(f"{folder.path} holds no application's order: {error}") from error
