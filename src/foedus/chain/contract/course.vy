# pragma version 0.4.3
# pragma evm-version paris
"""
@title Course: the state of runs, and how a step opens and closes and a round ends
@notice What members may call is in `Foedus.vy`; here is what follows from it.
"""


import attendance
import decisions
import projects

uses: attendance
uses: projects


event RoundOpened:
    run: indexed(uint256)
    round: uint256
    step: uint256
    base: String[64]
    deadline: uint256


event StepClosed:
    run: indexed(uint256)
    round: uint256
    step: uint256
    registrations: uint256
    declines: uint256


event Finalized:
    run: indexed(uint256)
    round: uint256
    outcome: uint256
    yes: uint256
    no: uint256
    abstain: uint256
    electorate: uint256
    version: uint256
    current: String[64]


event RewardPaid:
    run: indexed(uint256)
    round: uint256
    client: indexed(address)
    amount: uint256


event GateEased:
    run: indexed(uint256)
    beta_ppb: int256


event Alarm:
    run: indexed(uint256)
    rejections: uint256


event RunEnded:
    run: indexed(uint256)
    version: uint256
    current: String[64]
    reason: String[64]


struct Run:
    project: uint256
    is_ended: bool
    version: uint256  # accepted rounds so far
    current: String[64]  # manifest of that version
    candidate: String[64]  # proposed last: the base of a later step, or what the ballot is about
    round: uint256
    step: uint256
    phase: uint256
    deadline: uint256  # of the registrations while OPEN, of the ballot while VOTING
    closed_at: uint256
    registrations: uint256
    declines: uint256
    empty_in_row: uint256
    rejected_in_row: uint256


struct Ballot:
    sequence: uint256  # of the membership when the ballot opened
    electorate: uint256
    yes: uint256
    no: uint256
    abstain: uint256


struct Answer:
    place: uint256  # round * 2**64 + step
    is_registered: bool  # or declined
    reward: uint256


OPEN: constant(uint256) = 1
AGGREGATING: constant(uint256) = 2
VOTING: constant(uint256) = 3
ACCEPTED: constant(uint256) = 4
REJECTED: constant(uint256) = 5
EMPTY: constant(uint256) = 6

STALL: constant(uint256) = 3  # rounds without registration that ease the gate; rejections that raise the alarm
MAX_CLIENTS: constant(uint256) = 1024
CID_LENGTH: constant(uint256) = 59


run_count: public(uint256)
runs: HashMap[uint256, Run]
rules: HashMap[uint256, decisions.Rules]
ballots: HashMap[uint256, Ballot]
answers: HashMap[uint256, HashMap[address, Answer]]
registrants: HashMap[uint256, HashMap[uint256, address]]
seen: HashMap[uint256, HashMap[bytes32, bool]]  # per project: CIDs registered


@internal
@view
def _check_round(run: uint256, round: uint256):
    """
    @notice Refuse whatever is not about the present round of a run that goes on.
    """
    assert run > 0 and run <= self.run_count, "Foedus: no such run"
    assert not self.runs[run].is_ended, "Foedus: the run has ended"
    assert round == self.runs[run].round, "Foedus: this is not the present round"


@internal
@view
def _base(run: uint256) -> String[64]:
    """
    @notice What the present step starts from: the current version, or the step before.
    """
    if self.runs[run].step == 1:
        return self.runs[run].current
    return self.runs[run].candidate


@internal
@pure
def _check_cid(cid: String[64]):
    """
    @notice Refuse what cannot be a CID as Foedus writes them: CIDv1 in base32 over a SHA-256.
    """
    assert len(cid) == CID_LENGTH and slice(cid, 0, 3) == "baf", "Foedus: that is no CID"


@internal
def _use_cid(run: uint256, cid: String[64]):
    """
    @notice Refuse a CID the project has seen, and remember it.
    """
    self._check_cid(cid)
    project: uint256 = self.runs[run].project
    hashed: bytes32 = keccak256(cid)
    assert not self.seen[project][hashed], "Foedus: the project has seen this CID already"
    self.seen[project][hashed] = True


@internal
@view
def _turn(run: uint256) -> address:
    """
    @notice Whose turn it is to aggregate: clients in order of enrolment, another first in every round.
    """
    clients: uint256 = projects.projects[self.runs[run].project].clients
    assert clients > 0, "Foedus: the project has no clients"
    waited: uint256 = (block.timestamp - self.runs[run].closed_at) // self.rules[run].vote_s
    return projects._client_at(self.runs[run].project, (self.runs[run].round - 1 + waited) % clients)


@internal
def _open_step(run: uint256, round: uint256, step: uint256):
    """
    @notice Open a step for registrations; a new round moves the reward's window.
    """
    if step == 1:
        attendance._move_window(run, round)
    deadline: uint256 = block.timestamp + self.rules[run].deadline_s
    self.runs[run].round = round
    self.runs[run].step = step
    self.runs[run].phase = OPEN
    self.runs[run].deadline = deadline
    self.runs[run].registrations = 0
    self.runs[run].declines = 0
    log RoundOpened(run=run, round=round, step=step, base=self._base(run), deadline=deadline)


@internal
def _close_step(run: uint256):
    """
    @notice End the registrations: aggregation may begin, or the round is empty.
    """
    registrations: uint256 = self.runs[run].registrations
    log StepClosed(
        run=run,
        round=self.runs[run].round,
        step=self.runs[run].step,
        registrations=registrations,
        declines=self.runs[run].declines,
    )
    if registrations == 0:
        self._end_round(run, EMPTY)
        return
    self.runs[run].phase = AGGREGATING
    self.runs[run].closed_at = block.timestamp


@internal
def _close_if_complete(run: uint256):
    """
    @notice Close the step when the threshold is reached or every client has answered.
    """
    registrations: uint256 = self.runs[run].registrations
    answers: uint256 = registrations + self.runs[run].declines
    if (
        registrations == self.rules[run].threshold
        or answers >= projects.projects[self.runs[run].project].clients
    ):
        self._close_step(run)


@internal
def _pay(run: uint256):
    """
    @notice Announce the rewards of an accepted round.
    """
    for i: uint256 in range(self.runs[run].registrations, bound=MAX_CLIENTS):
        client: address = self.registrants[run][i]
        log RewardPaid(
            run=run, round=self.runs[run].round, client=client, amount=self.answers[run][client].reward
        )


@internal
def _note_empty(run: uint256):
    """
    @notice Ease a positive gate after three rounds without registration.
    """
    self.runs[run].empty_in_row += 1
    beta: int256 = self.rules[run].beta_ppb
    if self.runs[run].empty_in_row >= STALL and beta > 0:
        self.runs[run].empty_in_row = 0
        self.rules[run].beta_ppb = beta // 2
        log GateEased(run=run, beta_ppb=beta // 2)


@internal
def _note_rejected(run: uint256):
    """
    @notice Raise the alarm at the third rejection in a row and every further one.
    """
    self.runs[run].rejected_in_row += 1
    rejections: uint256 = self.runs[run].rejected_in_row
    if rejections >= STALL:
        log Alarm(run=run, rejections=rejections)


@internal
def _end_round(run: uint256, outcome: uint256):
    """
    @notice Record the outcome and open the next round, or end the run after the last.
    """
    ballot: Ballot = self.ballots[run] if outcome != EMPTY else empty(Ballot)
    round: uint256 = self.runs[run].round
    self.runs[run].phase = outcome
    if outcome == ACCEPTED:
        self.runs[run].version += 1
        self.runs[run].current = self.runs[run].candidate
    log Finalized(
        run=run,
        round=round,
        outcome=outcome,
        yes=ballot.yes,
        no=ballot.no,
        abstain=ballot.abstain,
        electorate=ballot.electorate,
        version=self.runs[run].version,
        current=self.runs[run].current,
    )
    if self.runs[run].registrations == 0:
        self._note_empty(run)
    else:
        self.runs[run].empty_in_row = 0
    if outcome == REJECTED:
        self._note_rejected(run)
    if outcome == ACCEPTED:
        self.runs[run].rejected_in_row = 0
        self._pay(run)
    if round == self.rules[run].rounds:
        self._end_run(run, "completed")
    else:
        self._open_step(run, round + 1, 1)


@internal
def _give_up(run: uint256):
    """
    @notice End a round as empty once every client has had its turn to aggregate and none proposed.
    """
    clients: uint256 = projects.projects[self.runs[run].project].clients
    turns: uint256 = clients * self.rules[run].vote_s
    assert block.timestamp >= self.runs[run].closed_at + turns, "Foedus: not every client has had its turn"
    self._end_round(run, EMPTY)


@internal
def _end_run(run: uint256, reason: String[64]):
    """
    @notice End the run; its last accepted version stays.
    """
    self.runs[run].is_ended = True
    log RunEnded(run=run, version=self.runs[run].version, current=self.runs[run].current, reason=reason)


@internal
def _count_votes(run: uint256):
    """
    @notice End the ballot and with it the round.
    """
    ballot: Ballot = self.ballots[run]
    if decisions._accepts(ballot.yes, ballot.no, ballot.abstain, ballot.electorate):
        self._end_round(run, ACCEPTED)
    else:
        self._end_round(run, REJECTED)
