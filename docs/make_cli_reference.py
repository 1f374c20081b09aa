"""Write docs/reference/cli.md from the code of the command line: `python docs/make_cli_reference.py`.

With `--check` it writes nothing and fails when the file is not what the code says.
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from enum import EnumType
from pathlib import Path
from typing import Any, TypeAlias, get_type_hints

import typer
from typer.models import ArgumentInfo, OptionInfo

from foedus.client.cli import EXIT_CODES, app

Info: TypeAlias = ArgumentInfo | OptionInfo

TARGET = Path(__file__).parent / "reference" / "cli.md"
HEAD = f"""# Command line

This page is made from the code by `python docs/make_cli_reference.py`; `foedus COMMAND --help` says the same.

{EXIT_CODES}

Results go to standard output, errors to standard error. With `--format json`, standard output is one JSON
value and nothing else.
"""
FOOT = """
## Settings

Read once, later ones win: `config.toml` in the home folder, then the environment, then the command line.
`foedus config check` shows them and where each comes from.

| key | variable | meaning |
| --- | --- | --- |
| | `FOEDUS_HOME` | home folder; `~/.foedus` without it |
| `data` | `FOEDUS_DATA` | folder with the four MNIST idx files; replaces the data that a spec names |
| `workers` | `FOEDUS_WORKERS` | warm worker processes; one per client without it |
| `threads` | `FOEDUS_THREADS` | threads of each worker; other than 1 changes the last digits of results |
| | `FOEDUS_DEVICE` | `cpu` or `cuda`: where tasks train and score; without it a GPU if one is usable |
| `log_level` | `FOEDUS_LOG_LEVEL` | of `foedus.log`: `debug`, `info`, `warning` (default) or `error` |
| `launcher` | `FOEDUS_LAUNCHER` | what runs batch jobs: `local` (default), `slurm` or `kubernetes` |
| `allocation` | `FOEDUS_ALLOCATION` | batch jobs of a run: `per-task` (default), or `held` |

Sections stand in the file only. `[resources]` and `[resources.NAME]` say what batch jobs ask for, those of
all applications and of one; `[slurm]`, `[kubernetes]` and `[held]` describe the cluster. See
[Slurm](../how-to/slurm.md) and [Kubernetes](../how-to/kubernetes.md). `[server]` and `[oidc]` are those of
the platform.
"""


def reference() -> str:
    """Return the whole page."""
    return HEAD + "".join(_commands(app, "foedus")) + FOOT


def _commands(group: typer.Typer, name: str) -> Iterator[str]:
    for command in group.registered_commands:
        assert command.callback is not None, "every command is a function"
        yield _section(command.callback, f"{name} {command.name or command.callback.__name__}")
    for inner in group.registered_groups:
        assert inner.typer_instance is not None, "every group is an app"
        yield from _commands(inner.typer_instance, f"{name} {inner.name}")


def _section(function: Callable[..., Any], name: str) -> str:
    text, _, examples = inspect.cleandoc(function.__doc__ or "").partition("\b\nExamples:\n")
    parameters = list(_parameters(function))
    arguments = [label for label, info, _ in parameters if isinstance(info, ArgumentInfo)]
    lines = ["", f"## {name}", "", text.strip(), "", f"    {' '.join([name, *arguments, '[OPTIONS]'])}", ""]
    lines += ["| argument or option | meaning |", "| --- | --- |"]
    lines += [f"| `{label}` | {info.help}{default} |" for label, info, default in parameters]
    lines += ["", "```", *(line.strip() for line in examples.strip().splitlines()), "```", ""]
    return "\n".join(lines)


def _parameters(function: Callable[..., Any]) -> Iterator[tuple[str, Info, str]]:
    """Yield spelling, description and the sentence about the default of every argument and option."""
    kinds = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        info = next(extra for extra in kinds[name].__metadata__ if isinstance(extra, Info))
        has_default = parameter.default not in (inspect.Parameter.empty, None, False)
        default = f" Default: `{parameter.default}`." if has_default else ""
        yield _label(name, info, kinds[name].__origin__), info, default


def _label(name: str, info: Info, kind: type) -> str:
    if isinstance(info, ArgumentInfo):
        return info.metavar or name.upper()
    spellings = (info.default, *(info.param_decls or ()))  # inside Annotated, the first lands in `default`
    names = ", ".join(text for text in spellings if isinstance(text, str)) or f"--{name}"
    if kind is bool:
        return names
    value = "|".join(kind) if isinstance(kind, EnumType) else info.metavar
    return f"{names} {value}".replace("|", "\\|")


if __name__ == "__main__":
    if "--check" not in sys.argv:
        TARGET.write_text(reference(), encoding="utf-8")
    elif TARGET.read_text(encoding="utf-8") != reference():
        sys.exit(f"{TARGET} is not up to date: run python docs/make_cli_reference.py")
