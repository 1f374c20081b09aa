"""The round machine, driven through hundreds of rounds with lost, late, doubled and rejected updates."""

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rounds.simulation import RULES, SimulatedChain

from foedus.core.ids import Cid, ClientId
from foedus.core.records import JobState, Phase, TaskKind
from foedus.rounds import machine
from foedus.rounds.machine import LocalFacts, Merged, TaskFact, Trained, advance, whose_turn

CLIENTS = (ClientId("ann"), ClientId("bob"), ClientId("cem"))
GOOD = Trained(100, 800_000_000, 700_000_000, True, True)


def done(trained: Trained) -> TaskFact:
    return TaskFact(JobState.COMPLETED, trained=trained)


def merged(candidate: str, score: int = 800_000_000, base: int = 700_000_000) -> TaskFact:
    return TaskFact(JobState.COMPLETED, merged=Merged(Cid(candidate), False, score, base))


def due(chain: SimulatedChain, client: ClientId, facts: LocalFacts) -> list[machine.Action]:
    return advance(chain.view, chain.rules, chain.rules.beta_ppb, client, facts, chain.now)


class World:
    """Three clients around a simulated chain; `luck` decides what goes wrong."""

    def __init__(self, seed: int, chain: SimulatedChain) -> None:
        self.chain = chain
        self.luck = random.Random(seed)
        self.tasks: dict[tuple[int, int, ClientId, TaskKind], TaskFact] = {}
        self.busy: set[tuple[int, int, ClientId, TaskKind]] = set()
        self.launched: Counter[tuple[int, int, ClientId, TaskKind]] = Counter()
        self.refused: Counter[str] = Counter()

    def facts(self, client: ClientId) -> LocalFacts:
        here = (self.chain.view.number, self.chain.view.step, client)
        return LocalFacts({kind: self.tasks[*here, kind] for kind in TaskKind if (*here, kind) in self.tasks})

    def finish_tasks(self) -> None:
        for key in [key for key in self.busy if self.luck.random() < 0.6]:
            self.busy.discard(key)
            if not self.tasks[key].state.is_final:
                self.tasks[key] = self.outcome(*key)

    def outcome(self, number: int, step: int, client: ClientId, kind: TaskKind) -> TaskFact:
        roll = self.luck.random()
        if roll < 0.1:
            return TaskFact(JobState.FAILED, cause="killed by signal 9")
        if kind is TaskKind.TRAIN:
            return done(replace(GOOD, score_ppb=0) if roll < 0.2 else GOOD)
        lie = "x" if roll < 0.15 else ""
        return merged(f"candidate-{number}.{step}{lie}", 100_000_000 if roll > 0.95 else 800_000_000)

    def sweep(self) -> None:
        self.chain.now += self.luck.choice([0, 1, 5, 30])
        self.finish_tasks()
        for client in self.luck.sample(CLIENTS, 3):
            for action in due(self.chain, client, self.facts(client)):
                if self.luck.random() < 0.2:
                    continue  # killed before doing it
                self.act(client, action)
                if self.luck.random() < 0.2:
                    self.act(client, action)  # the answer was lost, so it is done again

    def act(self, client: ClientId, action: machine.Action) -> None:
        view = self.chain.view
        if isinstance(action, machine.Launch | machine.Cancel):
            key = (view.number, view.step, client, action.kind)
            if isinstance(action, machine.Cancel):
                self.tasks[key] = TaskFact(JobState.CANCELLED, cause="late")
            elif key not in self.tasks:
                self.launched[key] += 1
                self.tasks[key] = TaskFact(JobState.RUNNING)
                self.busy.add(key)
            return
        refusal = self.chain.send(client, action, Cid(f"update-{client}-{view.number}-{view.step}"))
        if refusal is not None:
            self.refused[refusal] += 1


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_rounds_end_whatever_gets_lost(seed: int, steps: int) -> None:
    world = World(seed, SimulatedChain(CLIENTS, replace(RULES, steps=steps)))
    for _ in range(60_000):
        if world.chain.has_ended:
            break
        world.sweep()
    assert world.chain.has_ended
    assert set(world.chain.outcomes) >= {Phase.ACCEPTED, Phase.REJECTED}
    effects = Counter(entry for entry in world.chain.log if entry[3] in {"Register", "Vote", "Propose"})
    assert max(effects.values()) == 1
    assert max(world.launched.values()) == 1
    assert world.refused["gate"] == 0


def test_an_undisturbed_round_is_accepted() -> None:
    chain = SimulatedChain(CLIENTS)
    assert due(chain, CLIENTS[0], LocalFacts()) == [machine.Launch(TaskKind.TRAIN)]
    trained = LocalFacts({TaskKind.TRAIN: done(GOOD)})
    for client in CLIENTS:
        (action,) = due(chain, client, trained)
        assert chain.send(client, action, Cid(client)) is None
    assert chain.view.phase is Phase.AGGREGATING
    assert due(chain, CLIENTS[0], LocalFacts()) == [machine.Launch(TaskKind.AGGREGATE)]
    assert due(chain, CLIENTS[1], LocalFacts()) == [machine.Launch(TaskKind.VERIFY)]
    facts = LocalFacts({TaskKind.AGGREGATE: merged("new")})
    (propose,) = due(chain, CLIENTS[0], facts)
    assert propose == machine.Propose(Cid("new"))
    assert chain.send(CLIENTS[0], propose) is None
    for client in CLIENTS:
        kind = TaskKind.AGGREGATE if client == CLIENTS[0] else TaskKind.VERIFY
        (vote,) = due(chain, client, LocalFacts({kind: merged("new")}))
        assert chain.send(client, vote) is None
    assert chain.outcomes == [Phase.ACCEPTED]
    assert chain.view.number == 2
    assert chain.view.base == "new"


def one(chain: SimulatedChain, trained: Trained) -> machine.Action:
    (action,) = due(chain, CLIENTS[0], LocalFacts({TaskKind.TRAIN: done(trained)}))
    return action


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"num_examples": 0}, "samples"),
        ({"has_moved": False}, "equals its base"),
        ({"is_above_floor": False}, "floor"),
        ({"score_ppb": 709_999_999}, "0.7100 against 0.7000"),
    ],
)
def test_the_gate_says_why_it_refuses(change: dict[str, int], word: str) -> None:
    action = one(SimulatedChain(CLIENTS), replace(GOOD, **change))  # type: ignore[arg-type]  # test values
    assert isinstance(action, machine.Decline)
    assert word in action.reason


def test_a_score_on_the_gate_passes() -> None:
    assert isinstance(one(SimulatedChain(CLIENTS), replace(GOOD, score_ppb=710_000_000)), machine.Register)


def test_before_the_last_step_there_is_no_gate() -> None:
    chain = SimulatedChain(CLIENTS, replace(RULES, steps=2))
    assert isinstance(one(chain, replace(GOOD, score_ppb=0)), machine.Register)


def test_a_failed_task_is_declined_with_its_cause() -> None:
    facts = LocalFacts({TaskKind.TRAIN: TaskFact(JobState.FAILED, cause="loss is NaN")})
    assert due(SimulatedChain(CLIENTS), CLIENTS[0], facts) == [machine.Decline("task failed: loss is NaN")]


def test_a_late_task_is_cancelled_and_the_step_closed() -> None:
    chain = SimulatedChain(CLIENTS)
    chain.now += RULES.deadline_s + 1
    facts = LocalFacts({TaskKind.TRAIN: TaskFact(JobState.RUNNING)})
    assert due(chain, CLIENTS[0], facts) == [machine.Cancel(TaskKind.TRAIN), machine.Close()]


def test_a_round_without_updates_is_empty() -> None:
    chain = SimulatedChain(CLIENTS)
    for client in CLIENTS:
        assert chain.send(client, machine.Decline("gate")) is None
    assert chain.outcomes == [Phase.EMPTY]
    assert chain.version == 0


def test_a_step_that_nobody_can_merge_ends_after_everybodys_turn() -> None:
    chain = in_aggregation()
    chain.now += 3 * RULES.vote_s
    (close,) = due(chain, CLIENTS[2], LocalFacts())
    assert chain.send(CLIENTS[2], close) is None
    assert chain.outcomes == [Phase.EMPTY]


def test_the_turn_moves_to_the_next_in_line() -> None:
    chain = in_aggregation()
    assert [whose_turn(chain.view, 20, chain.now + late) for late in (0, 19, 20, 40, 60)] == [
        *("ann", "ann", "bob", "cem", "ann")
    ]
    chain.now += 20
    assert due(chain, CLIENTS[1], LocalFacts({TaskKind.VERIFY: merged("new")})) == [
        machine.Launch(TaskKind.AGGREGATE)
    ]


def in_aggregation() -> SimulatedChain:
    chain = SimulatedChain(CLIENTS)
    for client in CLIENTS:
        chain.send(client, machine.Register(GOOD), Cid(client))
    return chain


def in_ballot() -> SimulatedChain:
    chain = in_aggregation()
    chain.send(CLIENTS[0], machine.Propose(Cid("new")))
    return chain


@pytest.mark.parametrize(
    ("fact", "choice"),
    [
        (merged("new"), "YES"),
        (merged("new", 680_000_000), "YES"),  # exactly epsilon worse
        (merged("new", 679_999_999), "NO"),
        (merged("other"), "NO"),  # not what we computed
        (TaskFact(JobState.COMPLETED, merged=Merged(Cid("new"), True, 9, 9)), "NO"),  # nothing usable in it
        (TaskFact(JobState.FAILED, cause="out of memory"), "ABSTAIN"),
    ],
)
def test_votes(fact: TaskFact, choice: str) -> None:
    (vote,) = due(in_ballot(), CLIENTS[1], LocalFacts({TaskKind.VERIFY: fact}))
    assert isinstance(vote, machine.Vote)
    assert vote.choice.name == choice


def test_a_ballot_is_counted_after_its_deadline() -> None:
    chain = in_ballot()
    chain.now += RULES.vote_s + 1
    assert due(chain, CLIENTS[2], LocalFacts()) == [machine.Finalize()]


def test_transactions_wait_for_peers_until_shortly_before_the_deadline() -> None:
    chain = SimulatedChain(CLIENTS)
    facts = LocalFacts({TaskKind.TRAIN: done(GOOD)}, peers_busy=True)
    assert due(chain, CLIENTS[0], facts) == []
    chain.now += RULES.deadline_s - 10
    assert due(chain, CLIENTS[0], facts) == [machine.Register(GOOD)]
    ballot = in_ballot()
    waiting = LocalFacts({TaskKind.VERIFY: merged("new")}, peers_busy=True)
    assert due(ballot, CLIENTS[1], waiting) == []


def test_who_was_not_drawn_does_not_train_but_votes() -> None:
    chain = SimulatedChain(CLIENTS, RULES)
    assert due(chain, CLIENTS[0], LocalFacts(is_drawn=False)) == []
    assert due(chain, CLIENTS[0], LocalFacts(is_drawn=True)) == [machine.Launch(TaskKind.TRAIN)]
    chain.now = chain.view.deadline + 1
    assert due(chain, CLIENTS[0], LocalFacts(is_drawn=False)) == [machine.Close()]


def test_strangers_do_nothing() -> None:
    stranger = ClientId("eve")
    for chain in (SimulatedChain(CLIENTS), in_aggregation(), in_ballot()):
        assert due(chain, stranger, LocalFacts()) == []


@given(st.integers(0, 200), st.sampled_from([SimulatedChain(CLIENTS), in_aggregation(), in_ballot()]))
def test_asking_twice_gives_the_same_answer(late: int, chain: SimulatedChain) -> None:
    now = 1000 + late
    answers = [advance(chain.view, RULES, 0, CLIENTS[0], LocalFacts(), now) for _ in range(2)]
    assert answers[0] == answers[1]
