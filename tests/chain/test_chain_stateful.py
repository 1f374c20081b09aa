"""The contract against a small model of it, under arbitrary sequences of calls."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from chain_tools import BASE, CLIENTS, PASS, RULES, Chain, cid, copy_of
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from foedus.chain import KeyRing, wrong_rewards
from foedus.core.records import Choice, Phase, Value

PEOPLE = (*CLIENTS, "stranger")
WHO = st.sampled_from(PEOPLE)


class RoundMachine(RuleBasedStateMachine):
    """Two steps per round, threshold 2 of 3; the model says what must be accepted and where it leads."""

    def __init__(self, template: Path, keys: KeyRing) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.chain = Chain(copy_of(template, self.folder), keys)
        self.chain.start(replace(RULES, rounds=100, steps=2, threshold=2))
        self.round, self.version, self.serial = 1, 0, 0
        self.base = self.current = cid("version-0")
        self.open_step(1)

    def open_step(self, step: int) -> None:
        self.step, self.phase = step, Phase.OPEN
        self.registered: list[str] = []
        self.declined: set[str] = set()
        self.votes: dict[str, Choice] = {}
        self.deadline = int(self.chain.clock.now) + RULES.deadline_s

    def end_round(self, is_accepted: bool) -> None:
        if is_accepted:
            self.version, self.current = self.version + 1, self.candidate
        self.round, self.base = self.round + 1, self.current
        self.open_step(1)

    def close_step(self) -> None:
        if self.registered:
            self.phase = Phase.AGGREGATING
            self.closed_at = int(self.chain.clock.now)
        else:
            self.end_round(is_accepted=False)

    def close_if_complete(self) -> None:
        if len(self.registered) == 2 or len(self.registered) + len(self.declined) == 3:
            self.close_step()

    def send(self, should_pass: bool, who: str, *call: Value) -> bool:
        receipt = self.chain.try_(who, *call)
        assert (receipt.error is None) == should_pass, (call, receipt.error)
        return should_pass

    def fresh_cid(self) -> str:
        self.serial += 1
        return cid(f"cid-{self.serial}")

    def is_open(self) -> bool:
        return self.phase == Phase.OPEN and int(self.chain.clock.now) <= self.deadline

    @rule(who=WHO, is_stale=st.booleans(), score=st.sampled_from([PASS, BASE]))
    def register(self, who: str, is_stale: bool, score: int) -> None:
        base = "stale" if is_stale else self.base
        passes = score == PASS or self.step == 1
        fits = self.is_open() and who in CLIENTS and not is_stale and passes
        call = ("register", 1, self.round, self.step, base, self.fresh_cid(), 5, score, BASE, "")
        if self.send(fits, who, *call) and who not in self.registered:
            self.declined.discard(who)
            self.registered.append(who)
            self.close_if_complete()

    @rule(who=WHO)
    def decline(self, who: str) -> None:
        fits = self.is_open() and who in CLIENTS and who not in self.registered and who not in self.declined
        if self.send(fits, who, "decline", 1, self.round, self.step, ""):
            self.declined.add(who)
            self.close_if_complete()

    @rule(who=WHO)
    def propose(self, who: str) -> None:
        fits = False
        if self.phase == Phase.AGGREGATING:
            waited = (int(self.chain.clock.now) - self.closed_at) // RULES.vote_s
            fits = who == CLIENTS[(self.round - 1 + waited) % 3]
        cid = self.fresh_cid()
        if self.send(fits, who, "propose", 1, self.round, self.step, cid):
            if self.step == 1:
                self.base = cid
                self.open_step(2)
            else:
                self.candidate, self.phase = cid, Phase.VOTING
                self.deadline = int(self.chain.clock.now) + RULES.vote_s

    @rule(who=WHO, choice=st.sampled_from(Choice))
    def vote(self, who: str, choice: Choice) -> None:
        in_time = self.phase == Phase.VOTING and int(self.chain.clock.now) <= self.deadline
        fits = in_time and who in CLIENTS and who not in self.votes
        if self.send(fits, who, "vote", 1, self.round, choice, PASS, BASE):
            self.votes[who] = choice
            if len(self.votes) == 3:
                self.count()

    def count(self) -> None:
        yes, no = (sum(c == k for c in self.votes.values()) for k in (Choice.YES, Choice.NO))
        is_quorum = 3 * len(self.votes) >= 2 * 3
        self.end_round(yes + no > 0 and is_quorum and 3 * yes > 2 * (yes + no))

    @rule(seconds=st.sampled_from([1, 50, 101]))
    def wait(self, seconds: int) -> None:
        self.chain.clock.now += seconds

    @rule()
    def close(self) -> None:
        now = int(self.chain.clock.now)
        is_late = self.phase == Phase.OPEN and now > self.deadline
        had_turns = self.phase == Phase.AGGREGATING and now >= self.closed_at + 3 * RULES.vote_s
        if self.send(is_late or had_turns, "stranger", "close", 1, self.round, self.step):
            self.close_step() if is_late else self.end_round(is_accepted=False)

    @rule()
    def finalize(self) -> None:
        fits = self.phase == Phase.VOTING and int(self.chain.clock.now) > self.deadline
        if self.send(fits, "stranger", "finalize", 1, self.round):
            self.count()

    @invariant()
    def contract_equals_model(self) -> None:
        round_, step, phase, _, registrations, declines = self.chain.view("round_of", 1)
        assert (round_, step, phase) == (self.round, self.step, self.phase)
        assert (registrations, declines) == (len(self.registered), len(self.declined))
        assert self.chain.view("version_of", 1) == (self.version, self.current, False)

    def teardown(self) -> None:
        assert wrong_rewards(self.chain.ledger.events()) == []
        self.chain.close()
        shutil.rmtree(self.folder)


@pytest.mark.slow
def test_contract_follows_its_model(situations: dict[str, Path], all_keys: KeyRing) -> None:
    run_state_machine_as_test(
        lambda: RoundMachine(situations["founded"], all_keys),
        settings=settings(
            max_examples=10, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
