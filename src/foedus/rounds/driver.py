"""Carries out what the round machine decides, for the clients of this process, until the run ends.

One sweep: read new events from the chain, ask `advance` for each client, do what it says, wait for a task
to end. Nothing is remembered between sweeps that a new process could not find again on the chain, in the
store or in the job folders; so the process may be killed at any point and `resume` goes on.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from foedus.core.errors import FoedusError, Reverted, TaskFailed
from foedus.core.ids import Cid, ClientId
from foedus.core.protocols import Launcher, Ledger, ModelStore
from foedus.core.records import Event, Phase, Receipt, RoundView, TaskKind
from foedus.rounds import machine
from foedus.rounds.documents import MergeResult, TrainResult
from foedus.rounds.effects import Effect, Member, effect_of, key_of, order_for
from foedus.rounds.ending import stop_if_nobody_can_go_on
from foedus.rounds.guide import UNGUIDED, Guide
from foedus.rounds.jobs import ResourcesOf, TaskBook
from foedus.rounds.machine import Action, LocalFacts, advance
from foedus.rounds.narrate import chain_progress, state_progress, task_progress
from foedus.rounds.outbox import Outbox
from foedus.rounds.outputs import store_output, store_state
from foedus.rounds.progress import Observer, Progress, ignore
from foedus.rounds.sampling import drawn
from foedus.rounds.spec import CHECKPOINT_S
from foedus.rounds.view import RunView
from foedus.store import put_json

_SWEEP_S = 0.25  # how often progress is shown and deadlines are looked at while tasks run
_REFUSALS = 3  # the same transaction refused so often will never pass
_TRAINING: tuple[TaskKind, ...] = (TaskKind.TRAIN,)
_MERGES: tuple[TaskKind, ...] = (TaskKind.AGGREGATE, TaskKind.VERIFY)


@dataclass(frozen=True, slots=True)
class World:
    """What a driver works with: the three backends, and where tasks in other processes find the store."""

    store: ModelStore
    store_root: Path
    ledger: Ledger
    launcher: Launcher


class Driver:
    """Drives one run for some of its clients (all of them on a laptop, one at a site).

    `view` knows which run and project it is about; it is brought up to date from the chain. `folder` is the
    run's.
    """

    def __init__(
        self,
        world: World,
        view: RunView,
        members: Sequence[Member],
        folder: Path,
        resources: ResourcesOf,
        observer: Observer = ignore,
        clock: Callable[[], float] = time.time,
        fraction: float = 1.0,
        checkpoint_s: float = CHECKPOINT_S,
        guide: Guide = UNGUIDED,
    ) -> None:
        self._world = world
        self._run = view
        self._members = sorted(members, key=lambda member: member.client)
        self._observer = observer
        self._clock = clock
        self._fraction = fraction
        self._checkpoint_s = checkpoint_s
        self._guide = guide
        self._outbox = Outbox(folder / "outbox.sqlite")
        self._tasks = TaskBook(folder / "jobs", world.launcher, resources)
        self._staged: dict[ClientId, Cid] = {}
        self._refusals: Counter[str] = Counter()
        self._muted: set[ClientId] = set()  # whose votes the contract refuses
        self._next_block = 0

    def drive(self) -> RunView:
        """Work until the run has ended; return its view. Raises `FoedusError` when it cannot go on."""
        try:
            self._read_chain(ignore)
            self._settle_outbox()
            while self._run.ended is None:
                self._sweep()
            return self._run
        finally:
            self._outbox.close()

    def _settle_outbox(self) -> None:
        """Find out from the chain what became of the effects that an earlier process planned."""
        pending = {effect.key for effect in self._outbox.pending()}
        events = self._world.ledger.events() if pending else ()
        found = pending & {key_of(event, self._run) for event in events}
        for key in pending:
            self._outbox.settle(key, "found" if key in found else "lost")

    def _sweep(self) -> None:
        self._guide.before_sweep(self._run)
        self._stage_updates()
        view = self._run.round
        assert view is not None
        stop_if_nobody_can_go_on(view, self._drawn(view), self._tasks, [m.client for m in self._members])
        effects = self._act()
        if effects:
            self._send(effects)
            self._read_chain(self._observer)
        elif self._tasks.running():
            self._watch_tasks()
        else:
            time.sleep(_SWEEP_S)  # members elsewhere are at work, or a deadline is near
            self._read_chain(self._observer)

    def _read_chain(self, observer: Observer) -> None:
        """Bring the view up to date, and turn to the step that is under way."""
        for event in self._world.ledger.events(self._next_block):
            self._run.apply(event)
            self._tell(event, observer)
            self._next_block = event.block + 1
        view = self._run.round
        if view is not None and self._tasks.enter(view.number, view.step):
            self._staged.clear()
            self._refusals.clear()
            self._muted.clear()

    def _tell(self, event: Event, observer: Observer) -> None:
        for progress in chain_progress(event, self._run):
            observer(progress)

    # --- deciding ---

    def _act(self) -> list[Effect]:
        """Ask what is due for each client, do what is local, return the transactions in client order."""
        effects: dict[str, Effect] = {}
        for member in self._members:
            for due in self._due(member):
                action = self._answered(member, due) if isinstance(due, machine.Vote) else due
                if action is None or self._do_locally(member, action):
                    continue
                job_key = self._tasks.key(member.client, TaskKind.TRAIN)
                effect = effect_of(self._run, member, action, self._staged, job_key)
                effects.setdefault(effect.key, effect)
        return list(effects.values())

    def _answered(self, member: Member, advice: machine.Vote) -> machine.Vote | None:
        """Return the vote that the member casts; None while it has not made up its mind, or is not heard."""
        if member.client in self._muted:
            return None
        assert self._run.round is not None
        return self._guide.vote(member.client, self._run.round, advice)

    def _due(self, member: Member) -> list[Action]:
        view, rules = self._run.round, self._run.rules
        assert view is not None
        assert rules is not None
        facts = LocalFacts(
            self._tasks.facts(member.client),
            self._are_peers_busy(view, member.client),
            member.client in self._drawn(view),
        )
        return advance(view, rules, self._run.beta_ppb, member.client, facts, int(self._clock()))

    def _drawn(self, view: RoundView) -> frozenset[ClientId]:
        """Return the clients that train in this round."""
        return drawn(view.electorate, self._run.terms, view.number, self._fraction, len(view.declined))

    def _are_peers_busy(self, view: RoundView, me: ClientId) -> bool:
        """Whether sending now would split into two blocks what can go into one (see `LocalFacts`)."""
        assert self._run.rules is not None
        is_open = view.phase is Phase.OPEN
        if is_open:
            kinds, answered = _TRAINING, {r.client for r in view.registrations} | set(view.declined)
        else:
            kinds, answered = _MERGES, {b.client for b in view.ballots}
        concerned = self._drawn(view) if is_open else view.electorate
        peers = [m.client for m in self._members if m.client in concerned]
        busy = [c for c in peers if c not in answered and not self._has_ended(c, kinds)]
        if is_open and len(peers) - len(busy) >= self._run.rules.threshold:
            return False  # enough for this round: stragglers are not waited for
        return any(client != me for client in busy)

    def _has_ended(self, client: ClientId, kinds: Sequence[TaskKind]) -> bool:
        facts = self._tasks.facts(client)
        known = [facts[kind] for kind in kinds if kind in facts]
        has_result = any(fact.trained or fact.merged for fact in known)
        return has_result or (bool(known) and all(fact.state.is_final for fact in known))

    # --- doing ---

    def _do_locally(self, member: Member, action: Action) -> bool:
        """Do what needs no transaction, or comes before one. Tells whether the action is done with that."""
        match action:
            case machine.Launch(kind):
                root, jobs = self._world.store_root, self._tasks.root
                order = order_for(kind, self._run, member, root, jobs, self._checkpoint_s)
                self._tasks.launch(member.client, kind, order)
                self._observer(Progress("task", self._number, member.client, {"kind": kind}))
                return True
            case machine.Cancel(kind):
                self._tasks.cancel(member.client, kind)
                return True
            case machine.Propose(candidate):
                self._put_candidate(member, candidate)
        return False

    @property
    def _number(self) -> int:
        return self._run.round.number if self._run.round else 0

    def _stage_updates(self) -> None:
        """Put finished updates into the store while other clients still train."""
        for member in self._members:
            client = member.client
            result = self._tasks.result(client, TaskKind.TRAIN)
            if client in self._staged or not isinstance(result, TrainResult):
                continue
            folder = self._tasks.folder(client, TaskKind.TRAIN)
            try:
                is_stored = store_output(self._world.store, folder, Cid(result.update))
            except TaskFailed:
                is_stored = False
            if is_stored:
                self._staged[client] = Cid(result.update)
            else:
                self._tasks.fail(client, TaskKind.TRAIN, "its update is not in the job folder any more")

    def _put_candidate(self, member: Member, candidate: Cid) -> None:
        """Store the merged weights and the manifest; they must have the CID that the task computed."""
        result = self._tasks.result(member.client, TaskKind.AGGREGATE)
        assert isinstance(result, MergeResult)
        folder = self._tasks.folder(member.client, TaskKind.AGGREGATE)
        has_weights = store_output(self._world.store, folder, Cid(str(result.manifest.get("weights"))))
        is_complete = has_weights and store_state(self._world.store, folder, result)
        if not is_complete or put_json(self._world.store, result.manifest) != candidate:
            raise FoedusError(
                f"the aggregate task of round {self._number} computed {candidate}, but left other files",
                "Its job folder was changed from outside. Remove the folder and resume the run.",
            )

    def _send(self, effects: Sequence[Effect]) -> None:
        self._outbox.plan(effect.key for effect in effects)
        receipts = self._world.ledger.send([effect.call for effect in effects])
        for effect, receipt in zip(effects, receipts, strict=True):
            self._settle(effect, receipt)

    def _settle(self, effect: Effect, receipt: Receipt) -> None:
        if receipt.error is None:
            self._outbox.settle(effect.key, "done", receipt.tx)
            return
        self._outbox.settle(effect.key, "refused", receipt.error)
        self._refusals[effect.key] += 1
        self._observer(Progress("refused", self._number, effect.client, {"reason": receipt.error}))
        if isinstance(effect.action, machine.Register):
            self._tasks.fail(effect.client, TaskKind.TRAIN, receipt.error)
        elif isinstance(effect.action, machine.Propose):
            self._tasks.fail(effect.client, TaskKind.AGGREGATE, receipt.error)  # the next in line may
        elif isinstance(effect.action, machine.Vote):
            self._muted.add(effect.client)  # no client any more, or too late: the others, or time, decide
        elif self._refusals[effect.key] >= _REFUSALS:
            raise Reverted(receipt.error, f"It was {effect.call.function} by {effect.client}.")

    def _watch_tasks(self) -> None:
        ended = self._tasks.poll(_SWEEP_S)
        for (client, kind), fact in self._tasks.changes():
            self._observer(state_progress(self._number, client, kind, fact.state, fact.cause))
        for client, kind in [*self._tasks.running(), *ended]:
            for values in self._tasks.new_events(client, kind):
                self._observer(Progress("step", self._number, client, {"kind": kind, **values}))
        for client, kind in ended:
            fact = self._tasks.facts(client)[kind]
            result = self._tasks.result(client, kind)
            self._observer(task_progress(self._number, client, kind, fact, result))
