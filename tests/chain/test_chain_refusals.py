"""What the contract refuses. Every `assert` in its sources has a row here that fails without it."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from chain_tools import BASE, CLIENTS, PASS, RULES, At, Chain, cid, start_args

import foedus.chain.contract
from foedus.core.records import Call, Choice, GateMode, Role, Value

ZERO = "0x" + "0" * 40
TOO_MUCH = 10**9 + 1


def registration(**changes: Value) -> tuple[Value, ...]:
    fields = {
        "run": 1,
        "round": 1,
        "step": 1,
        "base": cid("version-0"),
        "cid": cid("new"),
        "num_examples": 10,
        "score": PASS,
        "base_score": BASE,
        "job": "",
    } | changes
    return ("register", *fields.values())


def start(**changes: Value) -> tuple[Value, ...]:
    return start_args(replace(RULES, **changes))


# situation, sender, call (`@name` stands for an address), the reason without "Foedus: "
REFUSED = [
    # projects and members
    ("blank", "lead", ("create_project", "", "t"), "a project needs a name"),
    ("founded", "alice", ("set_member", 1, "@dave", "dave", 2), "only the lead of this project may do this"),
    ("blank", "lead", ("set_member", 1, "@dave", "dave", 2), "only the lead of this project may do this"),
    ("founded", "lead", ("set_member", 1, ZERO, "dave", 2), "this is not an account"),
    ("founded", "lead", ("set_member", 1, "@lead", "l", 2), "the lead is enrolled as LEAD or not at all"),
    ("founded", "lead", ("set_member", 1, "@dave", "d", 3), "the role must be NONE, AUDITOR or MEMBER"),
    ("founded", "lead", ("set_member", 1, "@dave", "d", 9), "the role must be NONE, AUDITOR or MEMBER"),
    ("founded", "lead", ("set_member", 1, "@bob", "rob", 1), "a member keeps its name"),
    ("founded", "lead", ("set_member", 1, "@dave", "", 2), "a member needs a name"),
    ("founded", "lead", ("set_member", 1, "@dave", "bob", 2), "another member has this name"),
    ("founded", "lead", ("set_member", 1, "@bob", "bob", 2), "the member has this role already"),
    ("founded", "alice", ("propose_lead", 1, "@alice"), "only the lead of this project may do this"),
    ("founded", "alice", ("accept_lead", 1), "the lead was not offered to this account"),
    # the network
    ("founded", "lead", ("set_validators", 4), "only the owner of the contract may do this"),
    ("founded", "site", ("set_validators", 0), "the number of validators must be 1 to 10000"),
    ("founded", "site", ("set_validators", 10_001), "the number of validators must be 1 to 10000"),
    ("founded", "lead", ("report_propagation", 1, 5), "only clients of this project may do this"),
    ("founded", "bob", ("report_propagation", 1, 0), "the time must be 1 us to 1 h"),
    ("founded", "bob", ("report_propagation", 1, 3_600_000_001), "the time must be 1 us to 1 h"),
    # starting a run
    ("founded", "alice", start(), "only the lead of this project may do this"),
    ("founded", "lead", ("start_run", 1, "t", cid("v"), 1, 1, 1, 1, 1, 0, 0, 0), "that is no CID"),
    ("founded", "lead", ("start_run", 1, cid("t"), "", 1, 1, 1, 1, 1, 0, 0, 0), "that is no CID"),
    ("founded", "lead", start(rounds=0), "a run needs at least one round"),
    ("founded", "lead", start(steps=0), "a round needs at least one step"),
    ("founded", "lead", start(threshold=0), "the threshold must be at least 1"),
    ("founded", "lead", start(threshold=4), "the threshold exceeds the clients"),
    ("founded", "lead", start(deadline_s=0), "deadline_s must be 1 to 1e9"),
    ("founded", "lead", start(vote_s=0), "vote_s must be 1 to 1e9"),
    (
        "founded",
        "lead",
        ("start_run", 1, cid("t"), cid("v"), 1, 1, 1, 1, 1, 2, 0, 0),
        "the gate must be a margin or a ratio",
    ),
    ("founded", "lead", start(beta_ppb=-TOO_MUCH), "beta is too small"),
    ("founded", "lead", start(beta_ppb=-1, gate_mode=GateMode.RATIO), "beta is too small"),
    ("founded", "lead", start(beta_ppb=2 * TOO_MUCH), "beta is too large"),
    ("founded", "lead", start(epsilon_ppb=TOO_MUCH), "epsilon is above 1"),
    # registering
    ("founded", "alice", registration(), "no such run"),
    ("started", "alice", registration(run=0, round=0), "no such run"),
    ("second", "alice", registration(), "this is not the present round"),
    ("started", "alice", registration(step=2), "this is not the present step"),
    ("aggregating", "bob", registration(), "the step is closed"),
    ("late", "alice", registration(), "the deadline has passed"),
    ("started", "lead", registration(), "only clients of this project may do this"),
    ("started", "alice", registration(base="version-1"), "the update was trained from another base"),
    ("started", "alice", registration(num_examples=0), "num_examples must be 1 to 2**48"),
    ("started", "alice", registration(num_examples=2**48 + 1), "num_examples must be 1 to 2**48"),
    ("started", "alice", registration(score=TOO_MUCH), "a score is above 1"),
    ("started", "alice", registration(cid=""), "that is no CID"),
    ("started", "alice", registration(cid="ba"), "that is no CID"),
    ("started", "alice", registration(cid=cid("new")[:-1]), "that is no CID"),
    ("started", "alice", registration(cid=cid("new") + "a"), "that is no CID"),
    ("started", "alice", registration(cid=cid("new").replace("baf", "bag")), "that is no CID"),
    ("registered", "bob", registration(cid=cid("update-1-1-alice")), "the project has seen this CID already"),
    ("started", "alice", registration(score=BASE), "the update did not pass the gate"),
    # declining and closing
    ("started", "lead", ("decline", 1, 1, 1, ""), "only clients of this project may do this"),
    ("registered", "alice", ("decline", 1, 1, 1, ""), "the client has answered already"),
    ("registered", "bob", ("decline", 1, 1, 1, ""), "the client has answered already"),
    ("late", "alice", ("close", 1, 2, 1), "this is not the present round"),
    ("late", "alice", ("close", 1, 1, 2), "this is not the present step"),
    ("aggregating", "alice", ("close", 1, 1, 1), "not every client has had its turn"),
    ("voting", "alice", ("close", 1, 1, 1), "the step is closed"),
    ("started", "alice", ("close", 1, 1, 1), "the deadline has not passed"),
    # proposing
    ("aggregating", "alice", ("propose", 1, 2, 1, cid("c")), "this is not the present round"),
    ("aggregating", "alice", ("propose", 1, 1, 2, cid("c")), "this is not the present step"),
    ("registered", "alice", ("propose", 1, 1, 1, cid("c")), "nothing is to be aggregated now"),
    ("aggregating", "bob", ("propose", 1, 1, 1, cid("c")), "it is another client's turn"),
    ("aggregating", "lead", ("propose", 1, 1, 1, cid("c")), "it is another client's turn"),
    ("aggregating", "alice", ("propose", 1, 1, 1, ""), "that is no CID"),
    ("deserted", "alice", ("propose", 1, 1, 1, cid("c")), "the project has no clients"),
    # voting
    ("voting", "alice", ("vote", 1, 2, Choice.NO, 0, 0), "this is not the present round"),
    ("aggregating", "alice", ("vote", 1, 1, Choice.NO, 0, 0), "there is no ballot now"),
    ("late ballot", "alice", ("vote", 1, 1, Choice.NO, 0, 0), "the deadline has passed"),
    ("voting", "lead", ("vote", 1, 1, Choice.NO, 0, 0), "only clients of this project may do this"),
    ("newcomer", "dave", ("vote", 1, 1, Choice.NO, 0, 0), "the client joined after the ballot opened"),
    ("voted", "bob", ("vote", 1, 1, Choice.NO, 0, 0), "the client has voted already"),
    ("voting", "alice", ("vote", 1, 1, 0, 0, 0), "the choice must be yes, no or abstain"),
    ("voting", "alice", ("vote", 1, 1, 4, 0, 0), "the choice must be yes, no or abstain"),
    ("voting", "alice", ("vote", 1, 1, Choice.NO, 0, TOO_MUCH), "a score is above 1"),
    (
        "voting",
        "alice",
        ("vote", 1, 1, Choice.YES, 679_999_999, BASE),
        "a candidate that scores worse gets no yes",
    ),
    ("late ballot", "alice", ("finalize", 1, 2), "this is not the present round"),
    ("aggregating", "alice", ("finalize", 1, 1), "there is no ballot now"),
    ("voting", "alice", ("finalize", 1, 1), "the deadline has not passed"),
    # ending
    ("founded", "lead", ("cancel_run", 1, "r"), "no such run"),
    ("started", "lead", ("cancel_run", 0, "r"), "no such run"),
    ("started", "alice", ("cancel_run", 1, "r"), "only the lead of this project may do this"),
    ("cancelled", "lead", ("cancel_run", 1, "r"), "the run has ended"),
    ("cancelled", "alice", registration(), "the run has ended"),
    ("cancelled ballot", "alice", ("vote", 1, 1, Choice.NO, 0, 0), "the run has ended"),
]
ALSO_TESTED = {
    "the project has 1024 members already": "test_a_project_has_at_most_1024_members",
    "64 clients report already": "test_at_most_64_clients_report",
}
VARIATIONS = {
    "late": ("started", lambda chain: _wait(chain, 101)),
    "late ballot": ("voting", lambda chain: _wait(chain, 51)),
    "newcomer": ("voting", lambda chain: chain.enrol("dave")),
    "voted": ("voting", lambda chain: chain.vote("bob")),
    "cancelled": ("started", lambda chain: chain.do("lead", "cancel_run", 1, "")),
    "cancelled ballot": ("voting", lambda chain: chain.do("lead", "cancel_run", 1, "")),
    "deserted": ("aggregating", lambda chain: [chain.enrol(client, Role.NONE) for client in CLIENTS]),
}


def _wait(chain: Chain, seconds: int) -> None:
    chain.clock.now += seconds


@pytest.mark.parametrize(("situation", "sender", "call", "reason"), REFUSED)
def test_refused(at: At, situation: str, sender: str, call: tuple[Value, ...], reason: str) -> None:
    start_at, change = VARIATIONS.get(situation, (situation, lambda chain: None))
    chain = at(start_at)
    change(chain)
    args = [chain.address(a[1:]) if isinstance(a, str) and a.startswith("@") else a for a in call[1:]]
    receipt = chain.try_(sender, call[0], *args)
    assert receipt.error == f"Foedus: {reason}"
    assert receipt.events == ()


def test_every_reason_of_the_sources_is_tested() -> None:
    folder = Path(foedus.chain.contract.__file__).parent
    sources = "\n".join(path.read_text() for path in sorted(folder.glob("*.vy")))
    reasons = re.findall(r'"Foedus: ([^"]+)"', sources)
    assert len(reasons) == len(re.findall(r"^ +assert ", sources, flags=re.M))
    tested = Counter(row[3] for row in REFUSED) + Counter(list(ALSO_TESTED))
    assert Counter(reasons) - tested == Counter()
    assert set(tested) == set(reasons)


def test_a_yes_may_score_worse_by_epsilon(at: At) -> None:
    chain = at("voting")
    chain.do("alice", "vote", 1, 1, Choice.YES, BASE - RULES.epsilon_ppb, BASE)


@pytest.mark.slow
def test_a_project_has_at_most_1024_members(at: At) -> None:
    chain = at("founded")
    accounts = [f"0x{i + 1:040x}" for i in range(1022)]
    calls = [
        Call("lead", "set_member", (1, account, f"m{i}", Role.AUDITOR)) for i, account in enumerate(accounts)
    ]
    errors = [receipt.error for receipt in chain.ledger.send(calls)]
    assert errors == [None] * 1021 + ["Foedus: the project has 1024 members already"]


@pytest.mark.slow
def test_at_most_64_clients_report(at: At) -> None:
    chain = at("blank")
    many = [f"c{i:02}" for i in range(65)]
    chain.found(many)
    receipts = chain.ledger.send([Call(c, "report_propagation", (1, 100 - i)) for i, c in enumerate(many)])
    assert [receipt.error for receipt in receipts] == [None] * 64 + ["Foedus: 64 clients report already"]
    assert receipts[63].events[0].args["median"] == 68  # of 37 to 100
