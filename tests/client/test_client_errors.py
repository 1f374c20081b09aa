"""Every bad input gives one clear message, an exit code other than 0, and loses nothing."""

import gzip
import json
import os
import struct
from pathlib import Path

import pytest
from client_tools import TINY, call, write_spec
from typer.testing import Result

from foedus.client import status
from foedus.client.status import RoundStatus, RunStatus, process_at_work
from foedus.core.errors import VerificationFailed
from foedus.rounds.home import Home
from foedus.rounds.runs import create_run
from foedus.rounds.spec import load_spec
from foedus.store import DirectoryStore

CID = "bafkrei" + "a" * 51 + "e"


def assert_refused(code: int, *parts: str, args: tuple[str | Path, ...], home: Path) -> None:
    result = call(*args, "--home", home)
    assert result.exit_code == code, result.output
    assert result.stderr.count("error:") == 1, result.stderr
    for part in parts:
        assert part in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("roundz = 3", ("unknown key 'roundz'", "did you mean 'rounds'?")),
        ("[training]\nlearning_rat = 1", ("training.learning_rat", "did you mean 'learning_rate'?")),
        ("[partition]\nclients = 'three'", ("partition.clients", "(got 'three')")),
        ("rounds = 0", ("rounds", "(got 0)")),
        ("[policy]\nthreshold = 9", ("policy.threshold 9 exceeds the 3 clients",)),
        ("rounds = ", ("is not TOML",)),
        ("name = '../x'", ("name",)),
    ],
)
def test_spec_with_a_fault_creates_no_run(tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    spec = write_spec(tmp_path, text)

    for command in (("run", spec), ("config", "check", spec), ("data", "show", spec)):
        assert_refused(2, *parts, args=command, home=tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_spec_that_is_missing_or_a_folder(tmp_path: Path) -> None:
    assert_refused(2, "there is no file", args=("run", tmp_path / "no.toml"), home=tmp_path / "home")
    assert_refused(2, "cannot read", args=("run", tmp_path), home=tmp_path / "home")


def test_rounds_of_the_command_line_are_checked_as_those_of_a_spec(tmp_path: Path) -> None:
    args = ("run", write_spec(tmp_path), "--rounds", "1000000")

    assert_refused(2, "rounds", "(got 1000000)", args=args, home=tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_why_a_run_was_cancelled_stands_beside_its_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    name = create_run(home, load_spec(write_spec(tmp_path)))
    cancelled = RunStatus(name, "cancelled", 4, reason="review")
    monkeypatch.setattr(status, "_status", lambda *values: cancelled)

    [listed] = json.loads(call("status", "--format", "json", "--home", home.root).stdout)

    assert (listed["state"], listed["reason"]) == ("cancelled", "review")
    assert "cancelled (review)" in call("status", "--home", home.root).stdout
    assert "cancelled (review)" in call("status", name, "--home", home.root).stdout


@pytest.mark.parametrize("content", ["", "[]", '{"rounds":0}', "[" * 100_000], ids=str.__len__)
def test_a_damaged_run_hides_no_other(tmp_path: Path, content: str) -> None:
    home = Home(tmp_path / "home")
    damaged, good = (create_run(home, load_spec(write_spec(tmp_path))) for _ in range(2))
    (home.runs / damaged / "spec.json").write_text(content)

    listed = json.loads(call("status", "--format", "json", "--home", home.root).stdout)
    table = call("status", "--home", home.root)

    assert {one["name"]: one["state"] for one in listed} == {damaged: "damaged", good: "new"}
    assert table.exit_code == 0
    assert f"foedus status {damaged} --home" in table.stdout
    assert call("status", damaged, "--home", home.root).stderr.startswith("error:")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ('name = "2nn"', 'name = "cn"', ("there is no model 'cn'", "Did you mean 'cnn'?")),
        ('name = "2nn"', 'name = "2nn"\nargs = {size = 3}', ("model '2nn' has no argument 'size'",)),
        ('name = "2nn"', 'name = "2nn"\ninit = "zeros"', ("cannot start from zeros",)),
        ('"iid"', '"idd"', ("there is no partition 'idd'", "Did you mean 'iid'?")),
        ('"iid"', '"noniid-2"', ("is for 3 clients, not 2",)),
        ('"iid"', '"dirichlet"\nargs = {alpha = -1}', ("alpha must lie between",)),
        ("[policy]", "[algorithm]\nname = 'fedavgg'\n[policy]", ("no algorithm 'fedavgg'", "'fedavg'")),
        ("[policy]", "[algorithm]\nparams = {nu = 1}\n[policy]", ("has no argument 'nu'", "'mu'")),
        ("images = 300", "images = 9000", ("cannot take 9000 of 5000 images",)),
        ("images = 300", "images = 150", ("leave too few to train on",)),
    ],
)
def test_names_arguments_and_sizes_are_checked_as_the_run_would(
    tmp_path: Path, old: str, new: str, parts: tuple[str, ...]
) -> None:
    spec = write_spec(tmp_path, TINY.replace(old, new))

    assert_refused(2, *parts, args=("config", "check", spec), home=tmp_path / "home")


@pytest.mark.slow
def test_run_with_unusable_input_is_not_kept(tmp_path: Path) -> None:
    spec, home = write_spec(tmp_path, TINY.replace('"2nn"', '"3nn"')), tmp_path / "home"

    assert_refused(2, "there is no model '3nn'", "Did you mean", args=("run", spec), home=home)
    assert call("status", "--home", home).output.startswith("no runs in")


def _idx(axes: tuple[int, ...], data: bytes) -> bytes:
    return struct.pack(f">4B{len(axes)}I", 0, 0, 8, len(axes), *axes) + data


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        ("missing", ("lacks t10k-labels-idx1-ubyte", "data fetch mnist")),
        ("truncated", ("t10k-labels-idx1-ubyte is truncated",)),
        ("gzip", ("damaged or truncated",)),
        ("header", ("is no idx file",)),
    ],
)
def test_damaged_data_files_are_named(tmp_path: Path, damage: str, parts: tuple[str, ...]) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for kind in ("train", "t10k"):
        (folder / f"{kind}-images-idx3-ubyte").write_bytes(_idx((40, 28, 28), bytes(40 * 784)))
        (folder / f"{kind}-labels-idx1-ubyte").write_bytes(_idx((40,), bytes(range(10)) * 4))
    last = folder / "t10k-labels-idx1-ubyte"
    content = last.read_bytes()
    last.unlink()
    if damage == "truncated":
        last.write_bytes(content[:-1])
    elif damage == "gzip":
        last.with_name(f"{last.name}.gz").write_bytes(gzip.compress(content)[:-10])
    elif damage == "header":
        last.write_bytes(b"text" + content)
    spec = write_spec(tmp_path)

    assert_refused(2, *parts, args=("data", "show", spec, "--data", folder), home=tmp_path / "home")


@pytest.mark.parametrize("command", ["status", "resume", "verify", "report"])
@pytest.mark.parametrize("name", ["mnist-1", "../../etc", "a\x1b[2Jb"])
def test_unknown_run_is_named_with_those_there_are(tmp_path: Path, command: str, name: str) -> None:
    known = create_run(Home(tmp_path / "home"), load_spec(write_spec(tmp_path)))

    assert_refused(2, "there is no run", f"Runs here: {known}.", args=(command, name), home=tmp_path / "home")


@pytest.mark.parametrize("cid", ["x", "Qm" + "a" * 44, CID.upper(), "../../etc/passwd", "bafkrei" + "b" * 52])
def test_bad_cid_is_refused(tmp_path: Path, cid: str) -> None:
    DirectoryStore(tmp_path / "home" / "store")
    out = tmp_path / "out"

    for command in (
        ("model", "pull", cid, "-o", out),
        ("model", "show", cid),
        ("store", "get", cid, "-o", out),
    ):
        result = call(*command, "--home", tmp_path / "home")
        assert result.exit_code == 1
        assert "error:" in result.stderr
    assert not out.exists()


def test_object_that_is_missing_damaged_or_no_model(tmp_path: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    store = DirectoryStore(home / "store")
    cid = store.put(b"no model" * 1000)
    absent = DirectoryStore(tmp_path / "other").put(b"something else")

    assert_refused(1, "does not hold", args=("model", "pull", absent, "-o", out), home=home)
    assert_refused(1, "is not the manifest of a model", args=("model", "show", cid), home=home)
    assert call("model", "pull", cid, "-o", out, "--home", home).exit_code == 0
    assert out.read_bytes() == b"no model" * 1000

    out.unlink()
    path = next((home / "store" / "objects").rglob("*.car"))
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert_refused(1, cid, args=("model", "pull", cid, "-o", out), home=home)
    assert_refused(3, "objects/", args=("store", "verify"), home=home)
    assert not out.exists()


def test_existing_output_file_stays(tmp_path: Path) -> None:
    cid = DirectoryStore(tmp_path / "home" / "store").put(b"new")
    out = tmp_path / "out"
    out.write_bytes(b"mine")

    for command in ("model", "store"):
        verb = "pull" if command == "model" else "get"
        args = (command, verb, cid, "-o", out)
        assert_refused(1, "exists already", "--force", args=args, home=tmp_path / "home")
        assert out.read_bytes() == b"mine"
    assert call("model", "pull", cid, "-o", out, "--force", "--home", tmp_path / "home").exit_code == 0
    assert out.read_bytes() == b"new"


def test_damaged_config_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("workers = {")

    assert_refused(2, "config.toml is not TOML", args=("status",), home=tmp_path)
    assert_refused(2, "config.toml is not TOML", args=("config", "check"), home=tmp_path)


@pytest.mark.parametrize("place", ["/proc/foedus-test", "file/below"])
def test_home_that_cannot_be_written_to(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    home = tmp_path / place

    assert_refused(1, "cannot use", args=("run", write_spec(tmp_path)), home=home)
    assert_refused(1, "cannot use", args=("store", "add", write_spec(tmp_path)), home=home)
    assert call("status", "--home", home).exit_code == 0  # looking is harmless: there is nothing


def test_who_works_in_a_home_is_told_by_the_lock_and_not_by_the_number(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert process_at_work(home) is None
    with home.locked():
        assert process_at_work(home) == os.getpid()
        for text, number in (("", 0), ("no number", 0), ("4194305", 4194305)):  # beyond the largest pid
            (home.root / "lock").write_text(text)
            assert process_at_work(home) == number
    (home.root / "lock").write_text(str(os.getpid()))
    assert process_at_work(home) is None


def test_home_in_use_is_said_with_the_process(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with home.locked():
        assert_refused(1, "is working in", "--home", args=("run", write_spec(tmp_path)), home=home.root)
    assert home.run_names() == []


def test_nothing_there_yet_is_said_kindly(tmp_path: Path) -> None:
    home = tmp_path / "none"

    assert_refused(1, "there is no chain", args=("chain", "blocks"), home=home)
    assert_refused(1, "there is no store", args=("store", "ls"), home=home)
    assert "start one: foedus demo" in call("status", "--home", home).output
    assert call("status", "--format", "json", "--home", home).output == "[]\n"
    assert not home.exists()


def test_file_that_is_no_chain(tmp_path: Path) -> None:
    (tmp_path / "chain.sqlite").write_text("hello, I am not a database at all")

    assert_refused(1, "database", args=("chain", "events"), home=tmp_path)


@pytest.mark.parametrize("tx", ["0x12", "zz" * 32])
def test_bad_transaction_hash(tmp_path: Path, tx: str) -> None:
    assert_refused(2, "is not a transaction hash", args=("chain", "tx", tx), home=tmp_path)


def test_unknown_dataset(tmp_path: Path) -> None:
    assert_refused(2, "no dataset 'imagenet'", args=("data", "fetch", "imagenet"), home=tmp_path)


@pytest.mark.parametrize(
    "args", [("stat",), ("run",), ("status", "--formt", "json"), ("run", "x", "--rounds", "0")]
)
def test_wrong_usage_is_2(args: tuple[str, ...]) -> None:
    assert call(*args).exit_code == 2


def test_last_round_that_was_not_accepted_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def round_status(number: int, outcome: str) -> RoundStatus:
        votes = {"yes": 1, "no": 2, "abstain": 0}
        return RoundStatus(number, outcome, 1, 3, {}, {"c\n": "x\ny"}, votes, {}, None, None, None)

    def ended(*outcomes: str) -> Result:
        history = [round_status(number, outcome) for number, outcome in enumerate(outcomes, 1)]
        found = RunStatus("tiny-1", "completed", 2, version=1, model=CID, history=history)
        monkeypatch.setattr("foedus.client.status.run_status", lambda *_: found)
        return call("resume", "tiny-1", "--home", tmp_path)

    told, silent = ended("accepted", "rejected"), ended("rejected", "accepted")

    assert told.exit_code == silent.exit_code == 0
    for line in (
        "The last round was not accepted but rejected: the model is version 1.",
        "c  declined in round 2: x y",
        "round 2 was rejected, 1 yes and 2 no",
    ):
        assert line in told.stdout
    assert "accepted" not in silent.stdout


# --- how errors become messages and exit codes ---


def test_failed_verification_is_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise VerificationFailed("round 2, merge", "gives another CID")

    run = create_run(Home(tmp_path / "home"), load_spec(write_spec(tmp_path)))
    monkeypatch.setattr("foedus.rounds.verify.verify_run", fail)

    assert_refused(3, "round 2, merge: gives another CID", args=("verify", run), home=tmp_path / "home")


def test_a_defect_is_told_in_a_line_and_kept_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("foedus.client.status.all_statuses", fail)

    result = call("status", "--home", tmp_path)
    assert result.exit_code == 1
    assert "unexpected error: ZeroDivisionError: a bug" in result.stderr
    assert "Traceback" not in result.output
    assert str(tmp_path / "foedus.log") in result.stderr
    assert "Traceback" in (tmp_path / "foedus.log").read_text()

    assert "Traceback" in call("--debug", "status", "--home", tmp_path).stderr


def test_a_defect_without_a_home_is_kept_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr("foedus.client.status.all_statuses", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    assert "unexpected error: KeyError" in call("status", "--home", tmp_path / "none").stderr
    assert len(list(tmp_path.glob("foedus-*.log"))) == 1
    assert not (tmp_path / "none").exists()
