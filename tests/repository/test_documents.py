"""The documents tell the truth: links lead somewhere, commands exist, keys and defaults are as said."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic import BaseModel

from foedus.client.cli import app
from foedus.client.compare import load_compare_spec, parse_compare_spec
from foedus.learn.algorithms import describe
from foedus.learn.models import model_names
from foedus.learn.partitions import partition_names
from foedus.rounds.spec import RunSpec, load_spec, parse_spec

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "changes").glob("*.md")]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks_of(text: str, *languages: str) -> list[str]:
    return [body for language, body in FENCE.findall(text) if language in languages]


# --- links ---


def anchors_of(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", path.read_text())):
        if link.startswith(("https://", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        if not file.exists() or (anchor and anchor not in anchors_of(file)):
            broken.append(link)
    assert not broken


def test_every_document_is_reachable_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in reached or path.suffix != ".md" or not path.is_file():
            continue
        reached.add(path)
        waiting += [
            (path.parent / link.partition("#")[0]).resolve() for link in LINK.findall(path.read_text())
        ]
    lost = {p for p in DOCUMENTS if p.is_relative_to(ROOT / "docs")} - reached
    assert not lost


def test_readme_names_the_two_commands() -> None:
    commands = "\n".join(blocks_of((ROOT / "README.md").read_text(), "sh")).splitlines()
    assert "make demo" in commands
    assert "make test" in commands


# --- commands ---


def command_lines(path: Path) -> list[str]:
    text = path.read_text()
    fenced = "\n".join(blocks_of(text, "sh", "console", "bash", "")).replace("\\\n", " ").splitlines()
    inline = re.findall(r"`(foedus [^`]+)`", FENCE.sub("", text))
    shown = [line.strip().removeprefix("$ ").removeprefix(".venv/bin/") for line in (*fenced, *inline)]
    return [line for line in shown if re.match(r"foedus [a-z-]", line)]


def fault_of(line: str, root: Any) -> str:  # noqa: ANN401 - Typer vendors or imports click, as it likes
    """Say what is wrong with a command line, or nothing."""
    command = root
    for word in shlex.split(line, comments=True)[1:]:
        if word in ("|", ">", "&&", ";", "…"):
            break
        if word.startswith("-"):
            options = {
                option
                for parameter in command.params
                for option in (*parameter.opts, *parameter.secondary_opts)
            }
            if word.partition("=")[0] not in {*options, "--help", "-h"}:
                return f"{line}: no option {word}"
        elif getattr(command, "commands", None) is not None:
            if word not in command.commands:
                return f"{line}: no command {word}"
            command = command.commands[word]
    return ""


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_commands_exist(path: Path) -> None:
    root = typer.main.get_command(app)
    faults = [fault for line in command_lines(path) if (fault := fault_of(line, root))]
    assert not faults


# --- keys ---


def keys_of(section: type[BaseModel], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, field in section.model_fields.items():
        if isinstance(field.default, BaseModel):
            found |= keys_of(type(field.default), f"{name}.")
        else:
            found[prefix + name] = field.default
    return found


def written(default: object) -> str:
    if default is None:
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"  # as TOML has it
    if isinstance(default, str):
        return f'`"{default}"`'
    return f"`{default}`"


def test_reference_lists_exactly_the_keys_of_a_spec_with_their_defaults() -> None:
    text = (ROOT / "docs" / "reference" / "spec.md").read_text()
    rows = re.findall(r"^\| `([a-z_.]+)` \| (.+?) \|", text, re.MULTILINE)
    assert dict(rows) == {key: written(default) for key, default in keys_of(RunSpec).items()}


def test_pages_of_algorithms_are_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "make_algorithm_pages.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_reference_lists_all_names() -> None:
    spec = (ROOT / "docs" / "reference" / "spec.md").read_text()
    how_to = (ROOT / "docs" / "how-to" / "write-a-spec.md").read_text()
    for info in describe():
        page = (ROOT / "docs" / "algorithms" / f"{info.name}.md").read_text()
        assert all(f"| `{parameter.name}` |" in page for parameter in info.parameters)
    assert all(f"`{name}`" in spec for name in model_names())
    assert all(f"| `{name}` |" in how_to for name in partition_names())


def test_specs_in_documents_and_examples_are_specs() -> None:
    for path in (ROOT / "docs").rglob("*.md"):
        for block in blocks_of(path.read_text(), "toml"):
            values = tomllib.loads(block)
            if {"command", "launcher"} & set(values):  # an application, or settings; tests of these read them
                continue
            (parse_compare_spec if "compare" in values else parse_spec)(values)
    for path in (ROOT / "examples").glob("*.toml"):
        (load_compare_spec if path.stem.startswith("compare") else load_spec)(path)
