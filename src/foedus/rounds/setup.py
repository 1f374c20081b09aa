"""From a spec to a run on the chain. Each step looks first for what an earlier, interrupted attempt did."""

from collections.abc import Callable, Sequence
from pathlib import Path

from foedus.core.errors import (
    FoedusError,
    InvalidData,
    Reverted,
    TaskFailed,
    UnsupportedModel,
    UpdateRefused,
)
from foedus.core.ids import Cid, ClientId
from foedus.core.protocols import Launcher, Ledger, ModelStore
from foedus.core.records import SCORE_SCALE, Call, Event, GateMode, JobSpec, Receipt, Role
from foedus.launch import JobFolder
from foedus.rounds.documents import (
    Document,
    Hosting,
    ModelSpec,
    PrepareOrder,
    PrepareResult,
    Terms,
    fetch,
    publish,
)
from foedus.rounds.effects import Member
from foedus.rounds.hosting import client_names, hosted
from foedus.rounds.jobs import ResourcesOf
from foedus.rounds.narrate import state_progress
from foedus.rounds.progress import Observer, ignore
from foedus.rounds.spec import RunSpec
from foedus.store import (
    AlgorithmRef,
    ModelManifest,
    Schema,
    TensorFile,
    TensorSpec,
    cid_of,
    get_manifest,
    put_manifest,
)

_WAIT_S = 1.0


def members_of(spec: RunSpec, folder: Path) -> list[Member]:
    """Return the clients of a run on this machine, with their datasets below the run's folder."""
    return [Member(name, name, folder / "data" / f"{name}.safetensors") for name in groups_of(spec)]


def groups_of(spec: RunSpec) -> dict[ClientId, list[ClientId]]:
    """Return the members of a run on this machine, each with the clients whose examples it holds."""
    clients = spec.partition.clients
    if spec.is_batched:
        return {host: list(block) for host, block in hosted(clients, spec.jobs.hosts).items()}
    return {name: [name] for name in client_names(clients)}


def prepare(
    spec: RunSpec,
    folder: Path,
    launcher: Launcher,
    resources: ResourcesOf,
    data_cache: Path,
    observer: Observer = ignore,
) -> PrepareResult:
    """Have a worker load and deal out the data and make the initial model. Raises `TaskFailed`."""
    order = PrepareOrder(
        spec=spec.model_dump(mode="json"),
        members={str(name): [str(c) for c in clients] for name, clients in groups_of(spec).items()},
        data_cache=str(data_cache),
        data_folder=str(folder / "data"),
    )
    return carry_out(order, folder, launcher, resources, observer)


def carry_out(
    order: Document, folder: Path, launcher: Launcher, resources: ResourcesOf, observer: Observer = ignore
) -> PrepareResult:
    """Have the run's prepare task done, whatever kind of order it is given. Raises `TaskFailed`."""
    job = JobFolder(folder / "jobs" / "prepare")
    job.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    job.write_spec(order.to_json())
    asked = JobSpec("FL_PREPARE", str(job.path), resources("FL_PREPARE"), "client-1")
    native_id = launcher.submit(asked, f"{folder.name}/prepare")
    while not (status := launcher.states([native_id], _WAIT_S)[native_id]).state.is_final:
        observer(state_progress(0, None, "prepare", status.state, status.cause))
    result = job.read_result()
    if result is None:
        failure = job.read_failure()
        hint = "Nothing is lost: mend the cause and resume the run."
        raise TaskFailed(failure.message if failure else status.cause, failure.hint if failure else hint)
    return PrepareResult.from_json(result, "the result of the prepare task")


def publish_project(
    store: ModelStore, spec: RunSpec, prepared: PrepareResult, folder: Path
) -> tuple[Cid, Cid]:
    """Put sets, model spec, terms and version 0 into the store. Returns the CIDs of the last two.

    Raises `UnsupportedModel` when the run cannot start from the version that the spec names, and
    `ObjectMissing` when the store does not have it.
    """
    job = folder / "jobs" / "prepare"
    files = {name: Cid(cid) for name, cid in prepared.files.items()}
    initial = files["initial"]
    if spec.model.start is not None:
        initial = weights_to_start_from(store, spec.model.start, prepared.model)
        del files["initial"]  # nobody needs what the prepare task drew
    for name, cid in files.items():
        _require(_put_file(store, job / f"{name}.safetensors") == cid, job / f"{name}.safetensors", job)
    for name, dataset in prepared.datasets.items():
        path = folder / "data" / f"{name}.safetensors"
        _require(_cid_of_file(path) == dataset, path, job)
    model = publish(store, prepared.model)
    terms = Terms(
        name=spec.name,
        model=model,
        shared=files["shared"],
        test=files["test"],
        labels=prepared.labels,
        data=prepared.data,
        algorithm=spec.algorithm,
        training=spec.training,
        robust=spec.robust,
        buffers=spec.policy.buffers,
        kappa=spec.policy.kappa,
        cap_ratio=spec.policy.cap_ratio,
        floor_ratio=spec.policy.floor_ratio,
        fraction=spec.policy.fraction,
        hosting=Hosting(clients=spec.partition.clients, hosts=spec.jobs.hosts, batch=spec.jobs.batch)
        if spec.is_batched
        else None,
        seed=spec.seed,
        mixed=prepared.mixed,
    )
    algorithm = AlgorithmRef(spec.algorithm.name, spec.algorithm.params)
    version0 = ModelManifest(0, model, initial, None, algorithm)
    return publish(store, terms), put_manifest(store, version0)


def weights_to_start_from(store: ModelStore, start: Cid, model: ModelSpec) -> Cid:
    """Return the weights of the version to start from. Raises `UnsupportedModel` when they do not fit."""
    version = get_manifest(store, start)
    known = fetch(store, version.model, ModelSpec)
    hint = "Start from a version of the same model with the same arguments."
    if known.name != model.name:
        raise UnsupportedModel(f"model.start is a version of {known.name!r}, not of {model.name!r}", hint)
    schema = Schema({name: TensorSpec(one.dtype, tuple(one.shape)) for name, one in model.tensors.items()})
    try:
        with store.open(version.weights) as file:
            TensorFile(file, schema)
    except UpdateRefused as error:
        raise UnsupportedModel(f"model.start does not fit {model.name!r}: {error.message}", hint) from error
    return version.weights


def _require(is_intact: bool, path: Path, job: Path) -> None:
    if not is_intact:
        raise InvalidData(
            f"{path} is not what the prepare task wrote", f"Remove {job} and resume: it is then done again."
        )


def _cid_of_file(path: Path) -> Cid | None:
    try:
        with path.open("rb") as file:
            return cid_of(iter(lambda: file.read(1 << 20), b""))
    except OSError:
        return None


def _put_file(store: ModelStore, path: Path) -> Cid:
    with path.open("rb") as file:
        return store.put(iter(lambda: file.read(1 << 20), b""))


def start_on_chain(
    ledger: Ledger,
    name: str,
    spec: RunSpec,
    members: Sequence[Member],
    terms: Cid,
    version0: Cid,
    exchanges: int = 1,
) -> tuple[int, int]:
    """Create the project, enrol the members and start the run. Returns (project, run). Raises `Reverted`.

    `exchanges` is how many there are in a round: more than one for algorithms that merge layer by layer.
    """
    lead = members[0].account
    events = list(ledger.events())
    created = _find(events, "ProjectCreated", lambda event: event.args["name"] == name)
    if created is None:
        created = _event(_send(ledger, [Call(lead, "create_project", (name, terms))])[0], "ProjectCreated")
    project = int(created.args["project"])
    _enrol(ledger, events, project, members)
    started = _find(events, "RunStarted", lambda event: event.args["project"] == project)
    if started is not None:
        return project, int(started.args["run"])
    return project, start_run(ledger, lead, project, spec, terms, version0, exchanges)


def start_run(
    ledger: Ledger, lead: str, project: int, spec: RunSpec, terms: Cid, version0: Cid, exchanges: int = 1
) -> int:
    """Start a run of a project whose clients are enrolled; return its number. Raises `Reverted`."""
    call = Call(lead, "start_run", (project, terms, version0, *_numbers(spec, exchanges)))
    return int(_event(_send(ledger, [call])[0], "RunStarted").args["run"])


def _enrol(ledger: Ledger, events: Sequence[Event], project: int, members: Sequence[Member]) -> None:
    """Enrol who is not enrolled yet, in one block and in client order, which decides whose turn it is."""
    enrolled = {
        str(event.args["name"])
        for event in events
        if event.name == "MemberSet" and event.args["project"] == project
    }
    calls = [
        Call(
            members[0].account,
            "set_member",
            (
                project,
                ledger.address_of(member.account),
                member.client,
                int(Role.LEAD if member is members[0] else Role.MEMBER),
            ),
        )
        for member in members
        if member.client not in enrolled
    ]
    if calls:
        _send(ledger, calls)


def _numbers(spec: RunSpec, exchanges: int) -> tuple[int, ...]:
    policy = spec.policy
    gate = GateMode.MARGIN if policy.gate == "margin" else GateMode.RATIO
    return (
        spec.rounds,
        exchanges,
        spec.threshold,
        policy.deadline_s,
        policy.vote_s,
        int(gate),
        round(policy.beta * SCORE_SCALE),
        round(policy.epsilon * SCORE_SCALE),
    )


def _send(ledger: Ledger, calls: Sequence[Call]) -> list[Receipt]:
    receipts = ledger.send(calls)
    for receipt, call in zip(receipts, calls, strict=True):
        if receipt.error is not None:
            raise Reverted(receipt.error, f"The transaction was {call.function}.")
    return receipts


def _find(events: Sequence[Event], name: str, matches: Callable[[Event], bool]) -> Event | None:
    return next((event for event in events if event.name == name and matches(event)), None)


def _event(receipt: Receipt, name: str) -> Event:
    found = _find(receipt.events, name, lambda event: True)
    if found is None:
        raise FoedusError(f"the contract gave no {name} event", "It is not the Foedus contract.")
    return found
