"""The command line as a whole, and the names of the SDK."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer
from client_tools import call, clean_environment

import foedus
from foedus.client.cli import app
from foedus.rounds.home import Home
from foedus.rounds.spec import load_spec
from foedus.site.specs import rehearse

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "eth", "numpy", "matplotlib", "pydantic")


def all_commands() -> list[str]:
    """Return the words of every command."""
    groups: list[tuple[str, typer.Typer]] = [("", app)]
    groups += [(str(g.name), g.typer_instance) for g in app.registered_groups if g.typer_instance]
    return [
        f"{prefix} {command.name or getattr(command.callback, '__name__', '')}".strip()
        for prefix, group in groups
        for command in group.registered_commands
    ]


def test_every_promised_command_is_there() -> None:
    promised = ["algorithms", "demo", "run", "resume", "compare", "status", "verify", "report"]
    promised += [f"app {verb}" for verb in ("list", "show", "submit", "resume")]
    promised += [f"dataset {verb}" for verb in ("register", "list", "show", "remove")]
    promised += [f"job {verb}" for verb in ("list", "show", "log", "cancel")]
    promised += [f"model {verb}" for verb in ("pull", "show", "predict")]
    promised += [f"experiment {verb}" for verb in ("list", "run", "report")]
    promised += ["config check", "data fetch", "data show", "site check"]
    promised += [f"store {verb}" for verb in ("add", "get", "ls", "verify", "gc")]
    promised += [f"chain {verb}" for verb in ("blocks", "tx", "events")]
    promised += [f"index {verb}" for verb in ("rebuild", "status")]
    promised += [f"admin {verb}" for verb in ("migrate", "backup", "restore", "users")]
    promised += ["serve", "worker", "up", "login", "logout", "whoami"]
    lists = ("projects", "members", "datasets", "runs", "models", "rewards", "ballots", "apps", "jobs")
    promised += [f"remote {what}" for what in (*lists, "transactions")]
    changes = (
        "create-project",
        "invite",
        "register",
        "contribute",
        "run",
        "cancel",
        "vote",
        "submit",
        "cancel-job",
    )
    promised += [f"remote {verb}" for verb in (*changes, "search", "watch", "show", "export", "pull", "log")]
    things = ("project", "data", "dataset", "model", "round", "app", "job", "block", "tx")
    promised += [f"remote {what}" for what in (*things, "blocks", "job-file")]
    promised += [f"remote {verb}" for verb in ("decide", "role", "withdraw", "use")]

    assert sorted(all_commands()) == sorted(promised)


@pytest.mark.parametrize("command", all_commands())
def test_every_command_explains_itself_with_examples(command: str) -> None:
    result = call(*command.split(), "--help")

    assert result.exit_code == 0
    assert "Examples:" in result.output
    assert f"foedus {command}" in result.output


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    heavy = HEAVY[:-1] if "run" in arguments else HEAVY  # Typer reads a command's options by Pydantic
    program = (
        "import sys; from foedus.client.cli import app; app(sys.argv[1:], standalone_mode=False);"
        f"heavy = [name for name in {heavy!r} if name in sys.modules]; sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, env=clean_environment()
    )
    assert done.returncode == 0, done.stderr


def test_version() -> None:
    assert call("--version").output == f"foedus {foedus.__version__}\n"


def test_reference_page_is_up_to_date() -> None:
    page = _load(ROOT / "docs" / "make_cli_reference.py")

    assert page.TARGET.read_text(encoding="utf-8") == page.reference(), (
        "run python docs/make_cli_reference.py"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["skewed_labels.toml"])
def test_example_specs_are_fine(name: str, tmp_path: Path) -> None:
    spec = load_spec(ROOT / "examples" / name)

    assert len(rehearse(spec, Home(tmp_path)).histograms) == spec.partition.clients


def test_all_names_of_the_sdk_can_be_had() -> None:
    assert foedus.__all__ == sorted(foedus.__all__)
    assert dir(foedus) == foedus.__all__
    for name in foedus.__all__:
        value = getattr(foedus, name)
        assert name in ("__version__", "Observer") or value.__doc__, f"{name} has no docstring"


def test_a_name_that_is_not_in_the_sdk_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = foedus.nothing  # type: ignore[attr-defined]


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
