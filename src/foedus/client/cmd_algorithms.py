"""The command that lists the federated algorithms."""

from typing import TYPE_CHECKING, Annotated

import typer

from foedus.client.output import Format, print_json, print_pairs, print_table, say
from foedus.client.shell import FormatOption

if TYPE_CHECKING:
    from foedus.learn.algorithms import StrategyInfo


def algorithms(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Name of an algorithm; all without it.", show_default=False),
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """List the federated algorithms: what they need, their parameters, ranges and defaults.

    \b
    Examples:
      foedus algorithms
      foedus algorithms fedadam
      foedus algorithms --format json
    """
    from dataclasses import asdict

    from foedus.learn.algorithms import describe, get_strategy

    listed = describe()
    if name is not None:
        get_strategy(name)  # an unknown name is told with the nearest valid one
        listed = [info for info in listed if info.name == name]
    if output is Format.JSON:
        found = [_plain(asdict(info)) for info in listed]
        print_json(found if name is None else found[0])
    elif name is None:
        _print_all(listed)
    else:
        _print_one(listed[0])


def _plain(values: dict[str, object]) -> dict[str, object]:
    """Make open ends of ranges JSON: null instead of infinity."""
    parameters = values["parameters"]
    assert isinstance(parameters, tuple)
    limits = [{k: None if abs(p[k]) == float("inf") else p[k] for k in ("low", "high")} for p in parameters]
    return {**values, "parameters": [{**p, **limit} for p, limit in zip(parameters, limits, strict=True)]}


def _print_all(listed: "list[StrategyInfo]") -> None:
    rows = [
        (info.name, info.summary, ", ".join(p.name for p in info.parameters) or "-", info.accepts)
        for info in listed
    ]
    print_table(("name", "what it does", "parameters", "accepts"), rows)
    say("")
    say("all about one: foedus algorithms NAME", "dim")


def _print_one(info: "StrategyInfo") -> None:
    say(f"{info.title}: {info.summary}", "bold")
    print_pairs([("source", info.source), ("accepts", info.accepts)])
    if info.parameters:
        say("")
        rows = [(p.name, p.default, p.range_text, p.meaning) for p in info.parameters]
        print_table(("parameter", "default", "range", "meaning"), rows)
    say("")
    for line in info.notes.splitlines():
        say(line)
