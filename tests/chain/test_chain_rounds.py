"""Stories of rounds on the contract, with every number checked by hand."""

from dataclasses import replace

import pytest
from chain_tools import BASE, CLIENTS, PASS, RULES, At, chain_cases, cid, names

from foedus.chain import wrong_rewards
from foedus.core.records import SCORE_SCALE, WAD, Call, Choice, GateMode, Phase, Role


def test_a_round_is_registered_aggregated_and_accepted(at: At) -> None:
    chain = at("founded")
    start = chain.start()
    assert names(start) == ["RunStarted", "RoundOpened"]
    opened = start.events[1].args
    assert dict(opened) == {
        "run": 1,
        "round": 1,
        "step": 1,
        "base": cid("version-0"),
        "deadline": start.block_time + 100,
    }
    assert names(chain.register("alice")) == ["Registered"]
    assert names(chain.register("bob")) == ["Registered"]
    third = chain.register("carol")
    assert names(third) == ["Registered", "StepClosed"]
    assert third.events[1].args["registrations"] == 3
    proposal = chain.propose("alice").events[0].args
    assert proposal["electorate"] == 3
    assert proposal["deadline"] == start.block_time + 50
    assert names(chain.vote("carol")) == ["Voted"]
    chain.vote("bob")
    last = chain.vote("alice")
    assert names(last) == ["Voted", "Finalized", "RewardPaid", "RewardPaid", "RewardPaid", "RoundOpened"]
    assert dict(last.events[1].args) == {
        "run": 1,
        "round": 1,
        "outcome": Phase.ACCEPTED,
        "yes": 3,
        "no": 0,
        "abstain": 0,
        "electorate": 3,
        "version": 1,
        "current": cid("candidate-1-1"),
    }
    assert last.events[-1].args["base"] == cid("candidate-1-1")
    assert chain.view("version_of", 1) == (1, cid("candidate-1-1"), False)


def test_a_run_ends_after_its_last_round(at: At) -> None:
    chain = at("second")
    chain.accept_round()
    end = chain.accept_round()
    assert end.events[-1].name == "RunEnded"
    assert end.events[-1].args["version"] == 3
    assert end.events[-1].args["reason"] == "completed"
    assert chain.view("version_of", 1) == (3, cid("candidate-3-1"), True)


def test_rewards_of_the_second_round_by_hand(at: At) -> None:
    """Alice: m=2, T=3, N=2 (alice and carol so far), 7 blocks after her first registration."""
    chain = at("second")
    first = next(e for e in chain.ledger.events() if e.name == "Registered" and e.args["round"] == 1)
    receipt = chain.register("alice")
    assert chain.view("window_of", 1) == (3, 2)
    blocks = receipt.block - first.block
    assert blocks == 7
    share = 2 * 2 * WAD // (3 + 2 * 2)
    age = WAD - 496585303791409514  # exp(-0.7)
    assert receipt.events[0].args["reward"] == share * age // WAD
    assert receipt.events[0].args["reward"] == pytest.approx(4 / 7 * 0.5034146962 * WAD, rel=1e-9)
    bob = chain.register("bob").events[0].args  # his first registration: no time has passed
    assert bob["reward"] == 0


def test_a_threshold_closes_a_step_before_everybody_answered(at: At) -> None:
    chain = at("founded")
    chain.start(replace(RULES, threshold=2))
    chain.register("alice")
    assert names(chain.register("bob")) == ["Registered", "StepClosed"]
    assert chain.view("round_of", 1)[2] == Phase.AGGREGATING


def test_a_later_registration_supersedes_and_counts_once(at: At) -> None:
    chain = at("started")
    chain.register("alice")
    chain.register("alice", name="better")
    assert chain.view("round_of", 1)[4:] == (1, 0)
    assert chain.view("window_of", 1) == (1, 1)
    chain.register("bob")
    closing = chain.register("carol")
    assert closing.events[1].args["registrations"] == 3


def test_a_registration_after_a_decline_takes_its_place(at: At) -> None:
    chain = at("registered")
    assert chain.view("round_of", 1)[4:] == (1, 1)
    assert names(chain.register("bob")) == ["Registered"]
    assert chain.view("round_of", 1)[4:] == (2, 0)
    assert names(chain.decline("carol")) == ["Declined", "StepClosed"]


def test_a_round_nobody_registers_in_is_empty_and_keeps_the_version(at: At) -> None:
    chain = at("started")
    chain.decline("alice")
    chain.decline("bob")
    last = chain.decline("carol")
    assert names(last) == ["Declined", "StepClosed", "Finalized", "RoundOpened"]
    assert last.events[2].args["outcome"] == Phase.EMPTY
    assert last.events[3].args["base"] == cid("version-0")
    assert chain.view("round_of", 1)[:3] == (2, 1, Phase.OPEN)


def test_three_empty_rounds_halve_a_positive_gate(at: At) -> None:
    chain = at("founded")
    chain.start(replace(RULES, rounds=10, beta_ppb=3))
    betas = []
    for _ in range(9):
        chain.clock.now += 101
        receipt = chain.do("mallory", "close", 1, *chain.place())
        betas += [event.args["beta_ppb"] for event in receipt.events if event.name == "GateEased"]
    assert betas == [1, 0]  # 3 -> 1 -> 0, and zero stays
    assert chain.view("beta_of", 1) == 0


def test_a_registration_starts_the_count_of_empty_rounds_anew(at: At) -> None:
    chain = at("founded")
    chain.start(replace(RULES, rounds=10))
    for _ in range(2):
        chain.clock.now += 101
        chain.do("alice", "close", 1, *chain.place())
    chain.accept_round()
    chain.clock.now += 101
    assert names(chain.do("alice", "close", 1, *chain.place())) == ["StepClosed", "Finalized", "RoundOpened"]


def test_three_rejections_raise_the_alarm_and_keep_the_version(at: At) -> None:
    chain = at("founded")
    chain.start(replace(RULES, rounds=4))
    alarms = []
    for _ in range(4):
        for client in CLIENTS:
            chain.register(client)
        chain.propose(chain.turn())
        receipts = [chain.vote(client, Choice.NO) for client in CLIENTS]
        assert receipts[-1].events[1].args["outcome"] == Phase.REJECTED
        alarms += [e.args["rejections"] for e in receipts[-1].events if e.name == "Alarm"]
        assert "RewardPaid" not in names(receipts[-1])
    assert alarms == [3, 4]
    assert chain.view("version_of", 1) == (0, cid("version-0"), True)


def test_deadlines_close_steps_and_ballots(at: At) -> None:
    chain = at("started")
    chain.register("bob")
    chain.clock.now += 100
    assert chain.try_("carol", "close", 1, 1, 1).error == "Foedus: the deadline has not passed"
    chain.clock.now += 1
    assert names(chain.do("carol", "close", 1, 1, 1)) == ["StepClosed"]
    chain.propose("alice")
    chain.vote("alice")
    chain.vote("bob")
    chain.clock.now += 51
    final = chain.do("carol", "finalize", 1, 1).events[0].args
    assert (final["outcome"], final["yes"], final["electorate"]) == (Phase.ACCEPTED, 2, 3)


def test_a_round_that_no_client_could_aggregate_is_given_up(at: At) -> None:
    chain = at("aggregating")
    chain.clock.now += 3 * 50 - 1
    assert chain.try_("alice", "close", 1, 1, 1).error == "Foedus: not every client has had its turn"
    chain.clock.now += 1
    given_up = chain.do("mallory", "close", 1, 1, 1)
    assert names(given_up) == ["Finalized", "RoundOpened"]
    assert given_up.events[0].args["outcome"] == Phase.EMPTY
    assert given_up.events[1].args["base"] == cid("version-0")


def test_turns_go_round_by_enrolment_and_pass_on_in_time(at: At) -> None:
    chain = at("aggregating")
    turns = []
    for _ in range(4):
        turns.append(chain.turn())
        chain.clock.now += 50
    assert turns == ["alice", "bob", "carol", "alice"]
    chain.enrol("bob", Role.NONE)
    assert chain.turn() == "alice"  # of alice and carol, four turns on
    chain.clock.now += 50
    assert chain.turn() == "carol"


def test_the_second_round_starts_with_the_second_client(at: At) -> None:
    chain = at("second")
    for client in CLIENTS:
        chain.register(client)
    assert chain.turn() == "bob"


def test_steps_before_the_last_need_no_gate_and_no_ballot(at: At) -> None:
    chain = at("founded")
    chain.start(replace(RULES, steps=3))
    for step in (1, 2):
        for client in CLIENTS:
            receipt = chain.register(client, score=0, base_score=0)
        assert receipt.events[0].args["reward"] == 0
        moved = chain.propose("alice")
        assert names(moved) == ["Proposed", "RoundOpened"]
        assert (moved.events[0].args["electorate"], moved.events[0].args["deadline"]) == (0, 0)
        assert moved.events[1].args["step"] == step + 1
        assert moved.events[1].args["base"] == cid(f"candidate-1-{step}")
    assert chain.view("window_of", 1) == (0, 0)
    failed = chain.try_("alice", "register", 1, 1, 3, cid("candidate-1-2"), cid("u"), 10, 0, 0, "")
    assert failed.error == "Foedus: the update did not pass the gate"
    last = chain.accept_round()
    assert last.events[1].args["current"] == cid("candidate-1-3")
    assert last.events[-1].args == {
        "run": 1,
        "round": 2,
        "step": 1,
        "base": cid("candidate-1-3"),
        "deadline": last.block_time + 100,
    }


def test_an_empty_later_step_ends_the_round_at_the_old_version(at: At) -> None:
    chain = at("founded")
    chain.start(replace(RULES, steps=2))
    for client in CLIENTS:
        chain.register(client)
    chain.propose("alice")
    for client in CLIENTS:
        receipt = chain.decline(client)
    assert receipt.events[2].args["outcome"] == Phase.EMPTY
    assert receipt.events[-1].args["base"] == cid("version-0")


def test_only_the_last_round_of_ten_counts_in_the_window(at: At) -> None:
    """Bob attends round 1 only; alice rounds 1 to 11: in round 11 bob has left the window."""
    chain = at("founded")
    chain.start(replace(RULES, rounds=12, threshold=2))
    chain.register("bob")
    for _ in range(11):
        chain.register("alice")
        if chain.view("round_of", 1)[2] == Phase.OPEN:
            chain.clock.now += 101
            chain.do("alice", "close", 1, *chain.place())
        chain.propose(chain.turn())
        for client in CLIENTS:
            chain.vote(client)
        seen = chain.view("window_of", 1)
    assert seen == (9, 1)  # round 12 is open: rounds 3 to 12, alice in nine of them
    assert wrong_rewards(chain.ledger.events()) == []


def test_cancelling_ends_a_run(at: At) -> None:
    chain = at("voting")
    receipt = chain.do("lead", "cancel_run", 1, "wrong data")
    assert receipt.events[0].args["reason"] == "wrong data"
    assert chain.view("version_of", 1)[2] is True


def test_runs_of_a_project_are_counted_apart(at: At) -> None:
    chain = at("registered")
    chain.start()
    chain.do("alice", "register", 2, 1, 1, cid("version-0"), cid("other"), 10, PASS, BASE, "")
    assert chain.view("window_of", 1) == (1, 1)
    assert chain.view("window_of", 2) == (1, 1)
    assert chain.view("is_seen", 1, cid("other")) is True
    assert chain.view("is_seen", 1, cid("another")) is False


# --- members ---


def test_roles_change_and_the_lead_passes_on_in_two_steps(at: At) -> None:
    chain = at("founded")
    assert chain.view("clients_of", 1) == 3
    assert names(chain.enrol("lead", Role.LEAD)) == ["MemberSet"]
    assert chain.view("clients_of", 1) == 4
    chain.do("lead", "propose_lead", 1, chain.address("bob"))
    assert chain.view("lead_of", 1) == chain.address("lead")
    changed = chain.do("bob", "accept_lead", 1).events[0]
    assert changed.name == "LeadChanged"
    assert changed.args["previous"] == chain.address("lead")
    assert chain.view("role_of", 1, chain.address("lead")) == Role.MEMBER
    assert chain.view("role_of", 1, chain.address("bob")) == Role.LEAD
    assert chain.view("clients_of", 1) == 4
    chain.do("bob", "set_member", 1, chain.address("alice"), "alice", Role.AUDITOR)
    assert chain.view("clients_of", 1) == 3
    assert chain.view("client_at", 1, 0) == chain.address("bob")
    assert chain.view("client_at", 1, 3) == "0x" + "0" * 40


def test_a_lead_that_does_not_train_passes_on_without_a_role(at: At) -> None:
    chain = at("founded")
    chain.do("lead", "propose_lead", 1, chain.address("eve"))
    chain.do("eve", "accept_lead", 1)
    assert chain.view("role_of", 1, chain.address("lead")) == Role.NONE
    assert chain.view("role_of", 1, chain.address("eve")) == Role.NONE


def test_the_electorate_is_that_of_the_moment_the_ballot_opened(at: At) -> None:
    chain = at("voting")
    chain.enrol("dave")
    late = chain.try_("dave", "vote", 1, 1, Choice.NO, 0, 0)
    assert late.error == "Foedus: the client joined after the ballot opened"
    chain.enrol("bob", Role.NONE)
    gone = chain.try_("bob", "vote", 1, 1, Choice.NO, 0, 0)
    assert gone.error == "Foedus: only clients of this project may do this"
    chain.vote("alice")
    chain.vote("carol")
    chain.clock.now += 51
    final = chain.do("alice", "finalize", 1, 1).events[0].args
    assert (final["yes"], final["electorate"], final["outcome"]) == (2, 3, Phase.ACCEPTED)


def test_validators_and_propagation_enter_the_reward(at: At) -> None:
    chain = at("second")
    assert chain.view("owner") == chain.address("site")
    assert chain.do("site", "set_validators", 4).events[0].args == {"validators": 4}
    medians = []
    for client, microseconds in [("alice", 900), ("bob", 300_000), ("carol", 500_000), ("alice", 400_000)]:
        receipt = chain.do(client, "report_propagation", 1, microseconds)
        medians.append(receipt.events[0].args["median"])
    assert medians == [900, 150_450, 300_000, 400_000]
    assert chain.view("median_of", 1) == 400_000
    chain.clock.now += 9
    reward = chain.register("alice").events[0].args["reward"]
    assert 0 < reward < WAD // 3
    assert wrong_rewards(chain.ledger.events()) == []


# --- tables ---


def test_gate_table_of_the_published_cases(at: At) -> None:
    chain = at("blank")
    for row in chain_cases()["gate_table"]["inputs"]:
        if row["f1_local"] == "nan":
            continue  # `to_ppb` refuses it: such a score never reaches the chain
        mode = GateMode.MARGIN if row["mode"] == "margin" else GateMode.RATIO
        numbers = [round(row[key] * SCORE_SCALE) for key in ("f1_local", "f1_global", "beta")]
        assert chain.view("passes_gate", mode, *numbers) is row["expected"], row


def test_vote_table_of_the_published_cases(at: At) -> None:
    chain = at("blank")
    for row in chain_cases()["vote_table"]["inputs"]:
        votes = (row["yes"], row["no"], row["abstain"], row["enrolled"])
        assert chain.view("is_accepted", *votes) is row["expected"], row


def test_block_filtering_of_the_published_cases(at: At) -> None:
    """G7 is the base; b has a stale base, c copies a's CID, d fails the gate, a supersedes its own."""
    case = chain_cases()["block_filtering"]
    chain = at("founded")
    chain.enrol("dave")
    chain.start(replace(RULES, threshold=4))
    people = {"a": "alice", "b": "bob", "c": "carol", "d": "dave"}
    standing = {}
    for tx in case["inputs"]["txs"]:
        base = cid("version-0") if tx["base"] == case["inputs"]["current_base"] else tx["base"]
        score = PASS if tx["ok"] else BASE
        args = (1, 1, 1, base, cid(tx["cid"]), 10, score, BASE, "")
        if chain.try_(people[tx["client"]], "register", *args).error is None:
            standing[tx["client"]] = tx["cid"]
    assert list(standing.values()) == case["expected"]["aggregated"]


def test_a_thousand_clients_cost_one_of_them_no_more_gas(at: At) -> None:
    """The gas of a registration does not grow with the members (few stand for many here)."""
    chain = at("blank")
    few = [f"c{i}" for i in range(12)]
    chain.found(few)
    chain.start(replace(RULES, threshold=12))
    calls = [Call(c, "register", (1, 1, 1, cid("version-0"), cid(f"u-{c}"), 9, PASS, BASE, "")) for c in few]
    gas = [receipt.gas_used for receipt in chain.ledger.send(calls)]
    assert max(gas[1:-1]) - min(gas[1:-1]) < 100  # the first fills empty slots, the last closes the step
