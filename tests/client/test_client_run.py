"""A real tiny run through the command line: from the spec to a verified model in a file."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from client_tools import TINY, call, clean_environment, start, write_spec

from foedus.client.status import process_at_work
from foedus.rounds.home import Home
from foedus.store import DirectoryStore, cid_of

pytestmark = pytest.mark.slow


def answer(*args: str | Path, home: Path) -> Any:  # noqa: ANN401 - JSON
    result = call(*args, "--format", "json", "--home", home)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the home folder of a finished run `tiny-1`."""
    folder = tmp_path_factory.mktemp("finished")
    result = call("run", write_spec(folder), "--home", folder / "home")
    assert result.exit_code == 0, result.output
    assert "run tiny-1 in" in result.stdout
    assert "round 2/2" in result.stdout
    assert "tiny-1: completed after 2 rounds" in result.stdout
    assert f"foedus verify tiny-1 --home {folder / 'home'}" in result.stdout
    assert "\x1b" not in result.output
    return folder / "home"


def test_status_tells_all_about_the_run(finished: Path) -> None:
    status = answer("status", "tiny-1", home=finished)

    assert (status["state"], status["rounds"], status["version"]) == ("completed", 2, 2)
    assert status["clients"] == ["client-1", "client-2"]
    assert [one["outcome"] for one in status["history"]] == ["accepted", "accepted"]
    assert status["history"][-1]["candidate"] == status["model"]
    assert status["history"][-1]["votes"] == {"yes": 2, "no": 0, "abstain": 0}
    assert 0 < status["accuracy"] <= 1
    assert status["under_way"] is None
    assert answer("status", home=finished) == [status]

    assert "completed" in call("status", "--home", finished).stdout
    assert "2 yes" in call("status", "tiny-1", "--home", finished).stdout


def test_only_its_user_can_read_what_a_run_writes(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o755)  # as its user has made it
    command = [
        sys.executable,
        "-m",
        "foedus.client.cli",
        "run",
        str(write_spec(tmp_path)),
        "--home",
        str(home),
    ]
    subprocess.run(command, env=clean_environment(), umask=0o022, check=True, stdout=subprocess.DEVNULL)
    seen = [path for path in home.rglob("*") if path.stat().st_mode & 0o077]
    assert {path.name for path in seen} <= {"report.html", "curves.png"}  # which lie in a closed folder
    assert len(list((home / "runs/tiny-1/data").iterdir())) == 2


def test_verify_and_report(finished: Path) -> None:
    found = answer("verify", "tiny-1", home=finished)
    report = call("report", "tiny-1", "--home", finished)

    assert (found["verified"], found["rounds"], found["version"], found["votes"]) == (True, 2, 2, 4)
    assert "run tiny-1 is verified" in call("verify", "tiny-1", "--home", finished).stdout
    assert Path(report.stdout.strip()).read_text().startswith("<!")


def test_model_is_pulled_with_its_lineage(finished: Path, tmp_path: Path) -> None:
    cid = answer("status", "tiny-1", home=finished)["model"]
    shown = answer("model", "show", cid, home=finished)
    out = tmp_path / "model.safetensors"

    pulled = call("model", "pull", cid, "-o", out, "--home", finished)

    assert cid_of([out.read_bytes()]) == shown["weights"]
    assert [one["version"] for one in shown["lineage"]] == [1, 0]
    assert "weights of version 2" in pulled.stdout
    assert "2 versions back to version 0" in pulled.stdout
    assert "client-1" in call("model", "show", cid, "--home", finished).stdout


def test_chain_is_shown_in_words_and_as_json(finished: Path) -> None:
    blocks = answer("chain", "blocks", "--last", "3", home=finished)
    votes = answer("chain", "events", "--name", "Voted", "--run", "tiny-1", "--last", "100", home=finished)
    tx = answer("chain", "tx", votes[0]["tx"], home=finished)

    assert [block["number"] for block in blocks] == sorted(block["number"] for block in blocks)
    assert len(blocks) == 3
    assert len(votes) == 4
    assert (tx["function"], tx["receipt"]["error"]) == ("vote", None)
    assert "choice yes" in call("chain", "events", "--home", finished).stdout
    assert "client-1 (0x" in call("chain", "tx", votes[0]["tx"], "--home", finished).stdout
    assert call("chain", "tx", "0x" + "0" * 64, "--home", finished).exit_code == 1


def test_store_commands(finished: Path, tmp_path: Path) -> None:
    listed = answer("store", "ls", home=finished)
    file = tmp_path / "file"
    file.write_bytes(b"some bytes")

    added = call("store", "add", file, "--home", tmp_path / "home").stdout.split()[0]

    assert all(one["pinned"] for one in listed)
    assert answer("store", "verify", home=finished) == []
    assert call("store", "get", added, "-o", tmp_path / "again", "--home", tmp_path / "home").exit_code == 0
    assert (tmp_path / "again").read_bytes() == b"some bytes"
    DirectoryStore(tmp_path / "home" / "store").unpin(added)
    assert added in call("store", "gc", "--dry-run", "--home", tmp_path / "home").stdout
    assert answer("store", "ls", home=tmp_path / "home")[0]["cid"] == added
    assert added in call("store", "gc", "--home", tmp_path / "home").stdout
    assert answer("store", "ls", home=tmp_path / "home") == []


def test_config_and_data_show_what_a_run_would_use(tmp_path: Path) -> None:
    spec = write_spec(tmp_path)
    checked = answer("config", "check", spec, home=tmp_path / "home")
    shown = answer("data", "show", spec, home=tmp_path / "home")

    assert checked["settings"]["home"] == {"value": str(tmp_path / "home"), "from": "command line"}
    assert checked["spec"]["model"]["name"] == "2nn"
    assert sum(map(sum, shown["clients"].values())) == 300 - 60 - 60
    assert "199,210 numbers" in call("config", "check", spec, "--home", tmp_path / "home").stdout
    assert "client-2" in call("data", "show", spec, "--home", tmp_path / "home").stdout
    assert not (tmp_path / "home").exists()


def test_demo_ends_with_the_figures_and_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foedus.site.specs.DEMO", write_spec(tmp_path))
    monkeypatch.setenv("FOEDUS_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(tmp_path)

    result = call("demo", "--rounds", "1")

    assert result.exit_code == 0, result.output
    for part in (
        "round 1/1",
        "test accuracy",
        "test F1",
        "report.html",
        "foedus verify tiny-1 --home foedus-demo",
    ):
        assert part in result.stdout
    assert (tmp_path / "foedus-demo" / "runs" / "tiny-1" / "report.html").is_file()
    assert not (tmp_path / "elsewhere").exists()


def test_resume_of_a_finished_run_says_how_it_ended(finished: Path) -> None:
    before = answer("status", "tiny-1", home=finished)

    assert answer("resume", "tiny-1", home=finished) == before


NOTHING_PASSES = TINY.replace("beta = -0.5", "beta = 1.0")


def test_run_in_which_nothing_is_accepted_says_so_and_exits_with_1(tmp_path: Path) -> None:
    home = tmp_path / "my home"

    result = call("run", write_spec(tmp_path, NOTHING_PASSES), "--rounds", "1", "--home", home)
    again = call("resume", "tiny-1", "--home", home, "--format", "json")

    assert result.exit_code == again.exit_code == 1, result.output
    for part in (
        "No round was accepted",
        "declined in round 1: gate",
        f"foedus report tiny-1 --home '{home}'",
        "learning_rate",
    ):
        assert part in result.stdout
        assert part in again.stderr
    assert json.loads(again.stdout)["version"] == 0


def test_demo_without_a_model_offers_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foedus.site.specs.DEMO", write_spec(tmp_path, NOTHING_PASSES))

    result = call("demo", "--rounds", "1", "--home", tmp_path / "home")

    assert result.exit_code == 1
    assert "No round was accepted" in result.stdout
    assert "model pull" not in result.stdout


def test_interrupted_run_is_watched_refused_to_others_and_resumed(tmp_path: Path) -> None:
    spec, home = write_spec(tmp_path, TINY.replace("rounds = 2", "rounds = 6")), tmp_path / "home"
    process = start("run", spec, "--home", home)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    next(line for line in lines if line.startswith("round 1/6"))

    status = answer("status", "tiny-1", home=home)  # while the other process works
    refused = call("resume", "tiny-1", "--home", home)
    children = _descendants(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)

    assert status["state"] == "running"
    assert len(status["history"]) >= 1
    assert refused.exit_code == 1
    assert f"process {process.pid} is working" in refused.stderr
    assert process.returncode == 130, errors
    assert errors == f"interrupted; go on with: foedus resume tiny-1 --home {home}\n"
    assert children
    assert not [child for child in children if _is_alive(child)]
    assert process_at_work(Home(home)) is None
    assert answer("status", "tiny-1", home=home)["state"] == "interrupted"

    resumed = answer("resume", "tiny-1", home=home)
    assert (resumed["state"], len(resumed["history"])) == ("completed", 6)
    assert answer("verify", "tiny-1", home=home)["verified"]


def test_terminated_run_ends_in_order_too(tmp_path: Path) -> None:
    process = start(
        "run", write_spec(tmp_path, TINY.replace("= 2\n", "= 50\n", 1)), "--home", tmp_path / "home"
    )
    assert process.stdout is not None
    next(line for line in iter(process.stdout.readline, "") if line.startswith("round"))

    process.terminate()
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "foedus resume tiny-1" in errors


def test_json_has_standard_output_to_itself(tmp_path: Path) -> None:
    process = start(
        "run", write_spec(tmp_path), "--rounds", "1", "--home", tmp_path / "home", "--format", "json"
    )
    output, errors = process.communicate(timeout=120)

    assert json.loads(output)["state"] == "completed"
    assert "round 1/1" in errors


def test_example_of_the_sdk_runs() -> None:
    path = Path(__file__).parents[2] / "examples" / "python_api.py"
    command = [sys.executable, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=clean_environment())

    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout
    assert "verified: " in done.stdout


def _descendants(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [found for child in children for found in [int(child), *_descendants(int(child))]]


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
