"""What an application is: a program under a name, with parameters, resources and results."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from foedus.apps.parameters import Parameter, Value, check_parameters
from foedus.core.records import Resources

NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{0,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Result:
    """One thing that an application gives: a file of its output, or a value of its result."""

    name: str
    help: str


@dataclass(frozen=True, slots=True)
class Application:
    """A program that runs as a batch job under a registered name.

    Either `entry`, "package.module:function" of ours, called with the job folder, or `command`, the argument
    list of a program; neither: rounds submit it. `check` names a function of ours that is called with the
    checked parameters before anything is submitted, for what concerns several of them; `check_at` one that is
    called with the home folder, too, for what concerns what is there.
    """

    name: str
    title: str
    description: str
    resources: Resources = field(default_factory=Resources)
    parameters: tuple[Parameter, ...] = ()
    results: tuple[Result, ...] = ()
    entry: str = ""
    check: str = ""
    check_at: str = ""
    command: tuple[str, ...] = ()
    own_resources: tuple[str, ...] = ()  # of `resources`, those that its file names
    keeps_checkpoints: bool = False  # a command that saves and ends with code 75 when it gets SIGUSR1
    dataset_kind: str = ""  # of the private dataset that its output is, if it is one
    origin: str = "built in"
    fault: str = ""  # why it cannot be used

    @property
    def is_submitted_by_rounds(self) -> bool:
        """Whether it is a task of a run and not for people to submit."""
        return not (self.entry or self.command or self.fault)

    def checked(self, given: Mapping[str, object]) -> dict[str, Value]:
        """Return all parameters, checked and with defaults filled in. Raises `InvalidSpec`."""
        values = check_parameters(self.name, self.parameters, given)
        if self.check:
            from foedus.launch._code import load

            load(self.check)(values)
        return values
