"""Algorithm 3: the contract against the Python reference bit for bit, laws, and the published optimum."""

import math
import random
from dataclasses import replace
from decimal import Decimal, localcontext

import pytest
from chain_tools import BASE, CLIENTS, PASS, RULES, At, Chain, chain_cases, cid
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foedus.chain import RewardBook, optimal_rate, reward, reward_wad, wrong_rewards
from foedus.chain.reward import exp_neg_wad
from foedus.core.ids import TxHash
from foedus.core.records import WAD, Call, Choice, Event, Value

COUNTS = st.tuples(
    st.integers(0, 10),
    st.integers(0, 10_240),
    st.integers(0, 1024),
    st.one_of(st.integers(0, 500), st.integers(0, 2**40)),
    st.integers(0, 2**40),
    st.integers(0, 10_000),
    st.one_of(st.integers(0, 3_000), st.integers(0, 3_600_000_000)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(counts=COUNTS)
def test_contract_equals_reference_bit_for_bit(shared_chain: Chain, counts: tuple[int, ...]) -> None:
    assert shared_chain.view("reward_of", *counts) == reward_wad(*counts)


@pytest.mark.parametrize("x", [0, 1, 10**9, WAD // 3, 693147180559945309, WAD, 7 * WAD, 41 * WAD, 42 * WAD])
def test_exponential_is_exact_to_its_last_digit(x: int) -> None:
    """Against Python's decimals at 60 digits."""
    with localcontext(prec=60):
        exact = int((-Decimal(x) / WAD).exp() * WAD)
    assert abs(exp_neg_wad(x) - exact) <= 1
    assert exp_neg_wad(x) <= WAD


def random_tuples(count: int) -> list[tuple[int, ...]]:
    rng = random.Random(3)
    tuples = []
    for _ in range(count):
        active = rng.randint(1, 300)
        own = rng.randint(1, 10)
        total = own + rng.randint(0, 10 * active)
        blocks = rng.choice([rng.randint(0, 50), rng.randint(0, 10**6)])
        seconds = rng.choice([0, rng.randint(0, 100), rng.randint(0, 10**7)])
        tuples.append((own, total, active, blocks, seconds, rng.randint(1, 50), rng.randint(0, 2 * 10**8)))
    return tuples


@pytest.mark.slow
def test_laws_hold_on_twenty_thousand_tuples() -> None:
    for own, total, active, blocks, seconds, validators, delay in random_tuples(20_000):
        r = reward_wad(own, total, active, blocks, seconds, validators, delay)
        assert 0 <= r < WAD
        assert r <= reward_wad(own + 1, total + 1, active, blocks, seconds, validators, delay)
        assert r >= reward_wad(own, total + 1, active, blocks, seconds, validators, delay)
        assert r >= reward_wad(own, total, active, blocks, seconds, validators + 1, delay)
        assert r >= reward_wad(own, total, active, blocks, seconds, validators, delay + 1000)
        if validators == 1:
            assert r <= reward_wad(own, total, active, blocks + 1, seconds, validators, delay)


def test_integers_follow_the_formula() -> None:
    for own, total, active, blocks, seconds, validators, delay in random_tuples(300):
        if blocks == 0 or seconds == 0:
            continue
        alpha = 1e6 / min(max(delay, 1_000), 100_000_000)
        formula = reward(own, total, active, seconds, blocks / seconds, validators, alpha)
        exact = reward_wad(own, total, active, blocks, seconds, validators, delay) / WAD
        assert exact == pytest.approx(formula, rel=1e-9, abs=2e-18)


@pytest.mark.parametrize("counts", [(0, 9, 3, 9, 9, 1, 0), (1, 0, 1, 9, 9, 1, 0), (1, 1, 1, 0, 9, 1, 0)])
def test_nothing_registered_or_no_time_passed_earns_nothing(counts: tuple[int, ...]) -> None:
    assert reward_wad(*counts) == 0


def test_floats_refuse_to_pay_for_nothing() -> None:
    assert reward(0, 5, 2, 10, 0.1, 3, 1.0) == 0.0
    assert reward(1, 0, 2, 10, 0.1, 3, 1.0) == 0.0
    assert reward(1, 5, 2, -1, 0.1, 3, 1.0) == 0.0
    assert reward(1, 5, 2, 10, 0.1, 3, 0.0) == 0.0


def test_published_optimum_of_the_block_rate() -> None:
    """The published numbers imply S = 0.4, i.e. f = 2/3: for example m = 2, N = 1, T = 3."""
    case = chain_cases()["reward_lambda_optimum"]
    dt, k, n, alpha = (case["inputs"][key] for key in ("dt", "K", "n", "alpha"))
    star = optimal_rate(dt, n, alpha, k)
    assert star == pytest.approx(case["expected"]["lambda_star"], abs=case["tol"])

    def at_rate(rate: float) -> float:
        return reward(2, 3, 1, dt, rate, n, alpha, k)

    assert at_rate(star) == pytest.approx(case["expected"]["r_at_star"], abs=case["tol"])
    for factor, name in [(0.9, "below"), (1.1, "above")]:
        assert at_rate(factor * star) < at_rate(star)
        assert at_rate(factor * star) == pytest.approx(case["expected"][name], rel=3e-3)


def event(name: str, block: int = 5, **args: Value) -> Event:
    return Event(name, args, block, 1000 + block, TxHash("0x"), 0)


def test_a_book_finds_wrong_amounts() -> None:
    started = event("RunStarted", run=1, project=1, steps=1)
    first = event("Registered", 5, run=1, round=1, step=1, client="a", reward=0)
    between = [event("Declined", block, run=1) for block in range(6, 15) for _ in range(2)]
    second = event("Registered", 15, run=1, round=2, step=1, client="a", reward=7)
    paid = event("RewardPaid", 16, run=1, round=2, client="a", amount=8)
    stray = event("RewardPaid", 16, run=1, round=2, client="b", amount=9)
    right = reward_wad(2, 2, 1, 10, 10, 1, 0)
    assert right == pytest.approx(0.5 * (1 - math.exp(-1)) * WAD)
    assert wrong_rewards([started, first, *between, second, paid, stray]) == [
        (second, right),
        (paid, right),
        (stray, 0),
    ]


def test_a_book_ignores_steps_before_the_last() -> None:
    book = RewardBook()
    assert book.observe(event("RunStarted", run=1, project=1, steps=2)) is None
    assert book.observe(event("Registered", run=1, round=1, step=1, client="a", reward=0)) == 0
    assert book.observe(event("StepClosed", run=1)) is None


def test_a_book_ages_by_blocks_of_the_run() -> None:
    """Blocks 5 and 9 hold events of the run; what lies between is about other things."""
    book = RewardBook()
    for run in (1, 2):
        book.observe(event("RunStarted", run=run, project=1, steps=1))
    book.observe(event("Registered", 5, run=1, round=1, step=1, client="a", reward=0))
    for block in (6, 7, 8):
        book.observe(event("Declined", block, run=2))
        book.observe(event("MemberSet", block, project=1))
    due = book.observe(event("Registered", 9, run=1, round=2, step=1, client="a", reward=0))
    assert due == reward_wad(2, 2, 1, 1, 4, 1, 0)


ROUNDS = st.lists(st.permutations(CLIENTS), min_size=1, max_size=3)


def calls_of(run: int, rounds: list[list[str]]) -> list[Call]:
    """All calls of a run in which two clients register in each round and every candidate is accepted."""
    calls, base = [], cid("version-0")
    for number, order in enumerate(rounds, 1):
        place = (run, number, 1)
        for client in order[:2]:
            update = cid(f"update-{run}-{number}-{client}")
            calls.append(Call(client, "register", (*place, base, update, 10, PASS, BASE, "")))
        base = cid(f"candidate-{run}-{number}")
        calls.append(Call(CLIENTS[(number - 1) % 3], "propose", (*place, base)))
        calls += [Call(client, "vote", (run, number, Choice.YES, PASS, BASE)) for client in order]
    return calls


def rewards_of_run(chain: Chain, blocks: list[tuple[int, list[Call]]]) -> list[Value]:
    """Play the blocks at their times; return what run 1 paid, having checked all rewards of the chain."""
    for _ in range(2):
        chain.start(replace(RULES, rounds=9, threshold=2, deadline_s=10**6, vote_s=10**6))
    chain.do("site", "set_validators", 3)
    start = chain.clock.now
    for time, calls in blocks:
        chain.clock.now = start + time
        assert [receipt.error for receipt in chain.ledger.send(calls)] == [None] * len(calls)
    events = list(chain.ledger.events())
    assert wrong_rewards(events) == []
    return [e.args["reward"] for e in events if e.name == "Registered" and e.args["run"] == 1]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=ROUNDS, other=ROUNDS, rng=st.randoms(use_true_random=False))
def test_rewards_of_interleaved_runs_do_not_depend_on_each_other(
    at: At, one: list[list[str]], other: list[list[str]], rng: random.Random
) -> None:
    queues = [calls_of(1, one), calls_of(2, other)]
    blocks: list[tuple[int, list[Call]]] = []
    time = 0
    while any(queues):
        queue = rng.choice([queue for queue in queues if queue])
        if not blocks or rng.random() < 0.6:
            time += rng.choice([0, 1, 7])
            blocks.append((time, []))
        blocks[-1][1].append(queue.pop(0))
    alone = [(at_, [call for call in calls if call.args[0] == 1]) for at_, calls in blocks]
    together = rewards_of_run(at("founded"), blocks)
    assert together == rewards_of_run(at("founded"), [(at_, calls) for at_, calls in alone if calls])
