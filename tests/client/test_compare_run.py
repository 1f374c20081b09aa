"""Real small comparisons: equal terms, nothing done twice, failures that stop no other run."""

import json
import os
import signal
import tomllib
from pathlib import Path

import pytest
from client_tools import call, start
from compare_tools import COMPARE, write_compare

import foedus
from foedus.client.compare import parse_compare_spec
from foedus.client.compare import running as running_module
from foedus.client.compare.plan import PLAN, Plan, folder_of, open_plan, written_plan
from foedus.client.compare.running import BEGINS, ENDED, run_all
from foedus.client.compare.spec import CompareSpec, load_compare_spec
from foedus.client.compare.traffic import Traffic
from foedus.client.status import chain_events
from foedus.core.errors import FoedusError, HomeInUse, InvalidSpec, TaskFailed
from foedus.rounds.documents import PrepareResult
from foedus.rounds.home import Home, write_json
from foedus.rounds.progress import Progress, ignore
from foedus.rounds.runs import create_run
from foedus.rounds.summary import summarise_run
from foedus.store import DirectoryStore

pytestmark = pytest.mark.slow

ONE_SEED = COMPARE.replace("seeds = [1, 2]", "seeds = [1]")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a spec and the home folder of its finished comparison."""
    folder = tmp_path_factory.mktemp("finished")
    result = call("compare", write_compare(folder), "--home", folder / "home")
    assert result.exit_code == 0, result.output
    assert "2 entries, each with 2 seeds and 2 rounds" in result.stdout
    assert "run 4/4  FedProx µ=0.1, seed 2  completed" in result.stdout
    assert "\x1b" not in result.output
    return folder


@pytest.fixture
def home(finished: Path) -> Home:
    return Home(finished / "home")


def result_of_prepare(home: Home, name: str) -> PrepareResult:
    path = home.runs / name / "jobs" / "prepare" / "result.json"
    return PrepareResult.from_json(json.loads(path.read_text()), "the result")


def test_equal_seeds_meet_the_same_data_and_weights(home: Home) -> None:
    fedavg_1, fedprox_1, fedavg_2, _ = (result_of_prepare(home, f"tiny-{n}") for n in (1, 2, 3, 4))

    assert fedavg_1.datasets == fedprox_1.datasets
    assert fedavg_1.files == fedprox_1.files
    assert set(fedavg_1.datasets.values()).isdisjoint(fedavg_2.datasets.values()), "another seed, other data"
    assert fedavg_1.files["initial"] != fedavg_2.files["initial"]
    version0 = [summarise_run(home, f"tiny-{n}").lineage[-1] for n in (1, 2)]
    assert [one.version for one in version0] == [0, 0]
    assert version0[0].weights == version0[1].weights == fedavg_1.files["initial"]


def test_results_are_written(home: Home) -> None:
    folder = folder_of(home, "tiny")
    names = ["comparison.csv", "comparison.html", "comparison.json", "comparison.png", "lock", "summary.csv"]

    assert sorted(path.name for path in folder.iterdir()) == names
    assert len((folder / "comparison.csv").read_text().splitlines()) == 1 + 4 * 2
    assert "their CIDs are equal" in (folder / "comparison.html").read_text()
    assert json.loads((folder / PLAN).read_text())["names"] == [f"tiny-{n}" for n in (1, 2, 3, 4)]


def test_the_same_command_again_does_nothing_twice(finished: Path, home: Home) -> None:
    events, csv = chain_events(home), (folder_of(home, "tiny") / "comparison.csv").read_text()
    out = finished / "elsewhere"
    result = call("compare", finished / "compare.toml", "--home", home.root, "-o", out, "--format", "json")
    told = json.loads(result.stdout)

    assert result.exit_code == 0
    assert result.stderr.count("was done") == 4
    assert chain_events(home) == events
    assert home.run_names() == [f"tiny-{n}" for n in (1, 2, 3, 4)]
    assert (out / "comparison.csv").read_text() == csv
    assert [entry["label"] for entry in told["entries"]] == ["FedAvg", "FedProx µ=0.1"]
    assert told["differences"] == []


def test_sdk_returns_the_figures_and_tells_of_every_run(finished: Path, home: Home) -> None:
    told: list[Progress] = []
    comparison = foedus.compare(finished / "compare.toml", home, told.append)

    assert [one.what for one in told] == [BEGINS, ENDED] * 4
    assert comparison.unfinished == ()
    assert [run.run for run in comparison.runs] == [f"tiny-{n}" for n in (1, 2, 3, 4)]
    first = foedus.status("tiny-1", home)
    last = comparison.runs[0].last
    assert last is not None
    assert (last.accuracy, last.f1) == (first.accuracy, first.f1)
    assert last.training_seconds > 0
    assert comparison.entries[0].accuracy is not None
    assert comparison.entries[0].accuracy.count == 2
    assert comparison.own["training.epochs"] == ("1", "2")
    assert comparison.common["training.batch_size"] == "16"


def test_bytes_are_those_of_updates_and_models_in_the_store(home: Home) -> None:
    store, run = DirectoryStore(home.store), summarise_run(home, "tiny-1")
    assert run.run is not None
    found = Traffic.of(home).by_round(chain_events(home), run.run)

    for one in run.rounds:
        updates = sum(store.size(entry.cid) for entry in one.clients if entry.cid)  # type: ignore[arg-type]
        version = next(v for v in run.lineage if v.cid == one.candidate)
        assert found[one.number] == updates + 2 * store.size(version.weights)  # type: ignore[arg-type]
    unknown = Traffic(None).by_round(chain_events(home), run.run)
    assert unknown == {1: None, 2: None}


def test_entries_that_have_begun_with_another_spec_are_refused(
    finished: Path, home: Home, tmp_path: Path
) -> None:
    events = chain_events(home)
    more = call("compare", finished / "compare.toml", "--rounds", "3", "--home", home.root)
    other = write_compare(tmp_path, COMPARE.replace("mu = 0.1", "mu = 0.2"))
    params = call("compare", other, "--home", home.root)

    assert more.exit_code == params.exit_code == 2
    assert "'FedAvg' has begun with another rounds" in more.stderr
    assert "'FedProx µ=0.1' has begun with another algorithm.params" in params.stderr
    assert all("--fresh" in one.stderr for one in (more, params))
    assert chain_events(home) == events


def test_target_and_workers_make_no_other_comparison(home: Home) -> None:
    text = COMPARE.replace("target = 0.4", "target = 0.3") + "\n"
    spec = parse_compare_spec(values_of(text))
    with open_plan(home, spec) as plan:
        assert plan.names == [f"tiny-{n}" for n in (1, 2, 3, 4)]
    workers = parse_compare_spec({**values_of(text), "jobs": {"workers": 1}})
    with open_plan(home, workers) as plan:
        assert all(plan.names)


def test_fresh_forgets_the_runs_but_keeps_them(home: Home) -> None:
    spec = parse_compare_spec(values_of(COMPARE.replace("rounds = 2", "rounds = 5")))
    with open_plan(home, spec, fresh=True) as plan:
        assert plan.names == [None] * 4
    assert home.run_names() == [f"tiny-{n}" for n in (1, 2, 3, 4)]


def test_entries_that_were_changed_or_added_are_run_and_the_others_kept(home: Home) -> None:
    changed = COMPARE.replace("mu = 0.1", "mu = 0.2") + '\n[[compare]]\nlabel = "more"\n'
    spec = parse_compare_spec(values_of(changed))
    with pytest.raises(InvalidSpec, match=r"another algorithm\.params"), open_plan(home, spec):
        pass
    with open_plan(home, spec, only=["FedProx µ=0.1"], fresh=True) as plan:
        assert [run.label for run in plan.spec.runs] == [*["FedAvg", "FedProx µ=0.1", "more"] * 2]
        assert plan.names == ["tiny-1", None, None, "tiny-3", None, None]
    with open_plan(home, spec, only=["more"]) as plan:  # what is not chosen stays as it is
        assert plan.names == ["tiny-1", "tiny-2", None, "tiny-3", "tiny-4", None]
        assert plan.spec.runs[1].spec.algorithm.params == {"mu": 0.1}


def test_entries_that_were_removed_are_there_again_when_they_come_back(tmp_path: Path) -> None:
    home, spec = Home(tmp_path), parse_compare_spec(values_of(COMPARE))
    with open_plan(home, spec) as plan:
        plan.names[:] = ["tiny-1", "tiny-2", "tiny-3", None]
        plan.write()
    fewer = parse_compare_spec(values_of(ONE_SEED.replace("FedProx µ=0.1", "another label")))
    with open_plan(home, fewer) as plan:
        assert plan.names == ["tiny-1", None]
        plan.write()
    found = written_plan(home, spec)
    assert found is not None
    assert found.names == ["tiny-1", "tiny-2", "tiny-3", None]


def test_a_run_that_never_began_is_made_anew_with_what_was_mended(tmp_path: Path) -> None:
    home, spec = Home(tmp_path), parse_compare_spec(values_of(COMPARE))
    with open_plan(home, spec) as plan:
        assert [plan.run_name(index) for index in range(2)] == ["tiny-1", "tiny-2"]
    mended = parse_compare_spec(values_of(COMPARE.replace("mu = 0.1", "mu = 0.2")))
    with open_plan(home, mended) as plan:
        assert plan.names == ["tiny-1", None, None, None]
        assert plan.run_name(1) == "tiny-3"


def test_a_home_folder_may_move_with_data_that_lie_in_it(tmp_path: Path) -> None:
    def spec_in(home: Home) -> CompareSpec:
        data = {**values_of(COMPARE)["data"], "folder": str(home.root / "simulations"), "source": "folder"}
        return parse_compare_spec({**values_of(COMPARE), "data": data})

    before, after = Home(tmp_path / "before"), Home(tmp_path / "after")
    with open_plan(before, spec_in(before)) as plan:
        plan.names[0] = "tiny-1"
        plan.write()
    before.root.rename(after.root)
    with open_plan(after, spec_in(after)) as plan:
        assert plan.names == ["tiny-1", None, None, None]


def test_one_process_at_a_time_works_on_a_comparison(tmp_path: Path) -> None:
    home, spec = Home(tmp_path), parse_compare_spec(values_of(COMPARE))
    with open_plan(home, spec), pytest.raises(HomeInUse), open_plan(home, spec):
        pass


def test_a_run_that_was_created_but_not_written_down_is_taken_up(tmp_path: Path) -> None:
    home, spec = Home(tmp_path), parse_compare_spec(values_of(COMPARE))
    left = create_run(home, spec.runs[1].spec)
    with open_plan(home, spec) as plan:
        assert plan.run_name(0) == "tiny-2"
        assert plan.run_name(1) == left == "tiny-1"
        assert json.loads((plan.folder / PLAN).read_text())["names"] == ["tiny-2", "tiny-1", None, None]
    assert home.run_names() == ["tiny-1", "tiny-2"]


def test_a_damaged_plan_is_told(tmp_path: Path) -> None:
    home, spec = Home(tmp_path), parse_compare_spec(values_of(COMPARE))
    folder_of(home, "tiny").mkdir(parents=True)
    run = {"label": "FedAvg", "seed": 1, "spec": {}}
    for damaged in (
        [],
        {"runs": [{**run, "seed": 1e400}], "names": [None]},
        {"runs": [run], "names": "x"},
        {"runs": [run], "names": []},
        {"runs": [run, run], "names": ["tiny-1", "tiny-2"]},
    ):
        (folder_of(home, "tiny") / PLAN).write_text(json.dumps(damaged))
        with pytest.raises(FoedusError, match="damaged"), open_plan(home, spec):
            pass
    with open_plan(home, spec, fresh=True) as plan:
        assert plan.names == [None] * 4


def test_a_plan_of_another_version_is_told(tmp_path: Path) -> None:
    home, spec = Home(tmp_path), parse_compare_spec(values_of(COMPARE))
    run = {"label": "FedAvg", "seed": 1, "spec": {"data": {"gone": 1}}}
    write_json(folder_of(home, "tiny") / PLAN, {"runs": [run], "names": ["tiny-1"]})
    with pytest.raises(InvalidSpec, match=r"comparison\.json: .*'FedAvg'.*gone"):
        written_plan(home, spec)


def test_interrupted_comparison_goes_on_and_repeats_nothing(tmp_path: Path) -> None:
    spec, home = write_compare(tmp_path, ONE_SEED.replace("rounds = 2", "rounds = 4")), tmp_path / "home"
    process = start("compare", spec, "--home", home)
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    next(line for line in lines if line.startswith("run 2/2"))
    next(line for line in lines if line.startswith("  round 1/4"))
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    before = summarise_run(Home(home), "tiny-1")
    resumed = call("compare", spec, "--home", home)

    assert process.returncode == 130, errors
    assert errors == f"interrupted; go on with: foedus compare {spec} --home {home}\n"
    assert resumed.exit_code == 0, resumed.output
    assert "run 1/2  FedAvg, seed 1  completed: test accuracy" in resumed.stdout
    assert "was done" in resumed.stdout
    assert "goes on after round" in resumed.stdout
    assert Home(home).run_names() == ["tiny-1", "tiny-2"]
    assert summarise_run(Home(home), "tiny-1") == before
    assert len(summarise_run(Home(home), "tiny-2").rounds) == 4


def test_a_run_without_an_accepted_round_fails_and_stops_no_other(tmp_path: Path) -> None:
    text = ONE_SEED.replace('label = "FedAvg"', 'label = "strict"\npolicy = { beta = 1.0 }')
    result = call("compare", write_compare(tmp_path, text), "--home", tmp_path / "home", "--rounds", "1")

    assert result.exit_code == 1, result.output
    assert "run 1/2  strict, seed 1  failed: no round was accepted" in result.stdout
    assert "run 2/2  FedProx µ=0.1, seed 1  completed" in result.stdout
    reason = "no round was accepted; round 1 was empty, the last to decline said: gate"
    assert f"failed: strict, seed 1 (tiny-1): {reason}" in result.stderr
    assert "strict" in (tmp_path / "home" / "comparisons" / "tiny" / "comparison.html").read_text()


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        ('{ name = "fedprox", params = { mu = 0.1 } }', '{ name = "fedpox" }', "no algorithm 'fedpox'"),
        ("training = { epochs = 2 }", 'model = { name = "nothing" }', "nothing"),
        ("training = { epochs = 2 }", 'partition = { kind = "noniid-2" }', "3 clients"),
    ],
)
def test_unusable_last_entry_is_found_before_anything_starts(
    tmp_path: Path, before: str, after: str, fault: str
) -> None:
    spec = write_compare(tmp_path, COMPARE.replace(before, after))
    result = call("compare", spec, "--home", tmp_path / "home")

    assert result.exit_code == 2
    assert "'FedProx µ=0.1': " in result.stderr
    assert fault in result.stderr
    assert not (tmp_path / "home" / "runs").exists()
    mended = load_compare_spec(write_compare(tmp_path))
    with open_plan(Home(tmp_path / "home"), mended) as plan:
        assert plan.names == [None] * 4, "what was refused left no plan behind"


def test_a_run_that_cannot_go_on_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, told = plan_in(tmp_path), list[Progress]()

    def broken(home: Home, name: str, observer: object) -> None:
        raise TaskFailed(f"{name} broke")

    monkeypatch.setattr(running_module, "drive_new", broken)

    assert run_all(plan, told.append) == {index: f"tiny-{index + 1} broke" for index in range(4)}
    assert [one.values["reason"] for one in told if one.what == ENDED] == [
        f"tiny-{n} broke" for n in (1, 2, 3, 4)
    ]


def test_what_would_stop_every_run_stops_the_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_in(tmp_path)

    def taken(home: Home, name: str, observer: object) -> None:
        raise HomeInUse("somebody is working there")

    monkeypatch.setattr(running_module, "drive_new", taken)
    with pytest.raises(HomeInUse):
        run_all(plan, ignore)
    assert plan.names == ["tiny-1", None, None, None]


def test_a_name_cannot_leave_the_home_folder() -> None:
    with pytest.raises(InvalidSpec):
        parse_compare_spec({**values_of(COMPARE), "name": "../../x"})


def plan_in(folder: Path) -> Plan:
    home, spec = Home(folder), parse_compare_spec(values_of(COMPARE))
    return Plan(home, folder_of(home, spec.name), spec, [None] * len(spec.runs))


def values_of(text: str) -> dict[str, object]:
    return tomllib.loads(text)
