"""The registry of applications: what `foedus app list` shows and `foedus app submit` runs.

The built-in ones are in `foedus.apps.builtin`; a home folder's own ones are TOML files (`foedus.apps.files`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from foedus.apps.parameters import Parameter, Value, check_parameters
from foedus.core.errors import InvalidSpec
from foedus.core.records import Resources
from foedus.learn.arguments import hint_for

if TYPE_CHECKING:
    from foedus.rounds.home import Home

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
    checked parameters before anything is submitted, for what concerns several of them.
    """

    name: str
    title: str
    description: str
    resources: Resources = field(default_factory=Resources)
    parameters: tuple[Parameter, ...] = ()
    results: tuple[Result, ...] = ()
    entry: str = ""
    check: str = ""
    command: tuple[str, ...] = ()
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


def applications(home: "Home") -> dict[str, Application]:
    """Return all applications by name: the built-in ones, then those of the home folder.

    One of the home folder's that is not usable is among them, with its `fault`; under its file's name where
    its own cannot be had.
    """
    from foedus.apps.builtin import BUILT_IN

    found = {one.name: one for one in BUILT_IN}
    folder = home.root / "applications"
    if folder.is_dir():
        from foedus.apps.files import try_application

        for path in sorted(folder.glob("*.toml")):
            one = try_application(path)
            if one.name not in found:
                found[one.name] = one
                continue
            other = found[one.name]
            fault = f"{path}: there is an application {one.name} already ({other.origin})"
            # of two files of one name neither is taken; a built-in application cannot be replaced
            name = path.name if other in BUILT_IN else one.name
            found[name] = replace(one, name=name, title=f"damaged: {fault}", fault=fault)
    return found


def find_application(home: "Home", name: str) -> Application:
    """Look an application up. Raises `InvalidSpec` naming the nearest valid name, or what is wrong with it.

    A faulty file in the home folder is no hindrance to other applications.
    """
    from foedus.apps.builtin import BUILT_IN

    for one in BUILT_IN:
        if one.name == name:
            return one
    known = applications(home)
    if name not in known:
        faults = [one.fault for one in known.values() if one.fault]  # perhaps it is one of these
        raise InvalidSpec(
            "\n".join([f"there is no application {name[:60]!r}", *faults]), hint_for(name, known)
        )
    if known[name].fault:
        raise InvalidSpec(known[name].fault, "docs/how-to/own-application.md has an example of such a file.")
    return known[name]
