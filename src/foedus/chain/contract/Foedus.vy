# pragma version 0.4.3
# pragma evm-version paris
"""
@title Foedus: runs of federated training, their rounds, registrations and ballots
@notice A run goes through rounds, a round through steps. A step is OPEN for registrations, then AGGREGATING until the
        member whose turn it is proposes a candidate; in the last step VOTING follows, and the round ends ACCEPTED or
        REJECTED. A step nobody registered in ends its round EMPTY. Scores are in parts per billion, rewards in 1e-18.
        Steps close and ballots end by themselves; `close` and `finalize` exist for deadlines.
"""


import network
import projects
import rewards

initializes: projects
initializes: network[projects := projects]
exports: (
    projects.create_project,
    projects.set_member,
    projects.propose_lead,
    projects.accept_lead,
    projects.project_count,
    projects.lead_of,
    projects.role_of,
    projects.clients_of,
    projects.client_at,
    network.set_validators,
    network.report_propagation,
    network.validators,
    network.owner,
    network.median_of,
    rewards.reward_of,
)


event RunStarted:
    run: indexed(uint256)
    project: indexed(uint256)
    terms: String[64]
    version0: String[64]
    rounds: uint256
    steps: uint256
    threshold: uint256
    deadline_s: uint256
    vote_s: uint256
    gate_mode: uint256
    beta_ppb: int256
    epsilon_ppb: uint256


event RoundOpened:
    run: indexed(uint256)
    round: uint256
    step: uint256
    base: String[64]
    deadline: uint256


event Registered:
    run: indexed(uint256)
    round: uint256
    step: uint256
    client: indexed(address)
    cid: String[64]
    num_examples: uint256
    score_ppb: uint256
    base_score_ppb: uint256
    reward: uint256
    job: String[64]


event Declined:
    run: indexed(uint256)
    round: uint256
    step: uint256
    client: indexed(address)
    reason: String[64]


event StepClosed:
    run: indexed(uint256)
    round: uint256
    step: uint256
    registrations: uint256
    declines: uint256


event Proposed:
    run: indexed(uint256)
    round: uint256
    step: uint256
    proposer: indexed(address)
    cid: String[64]
    electorate: uint256
    deadline: uint256


event Voted:
    run: indexed(uint256)
    round: uint256
    voter: indexed(address)
    choice: uint256
    score_ppb: uint256
    base_score_ppb: uint256


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


struct Rules:
    rounds: uint256
    steps: uint256
    threshold: uint256
    deadline_s: uint256
    vote_s: uint256
    gate_mode: uint256
    beta_ppb: int256  # falls when nobody passes the gate
    epsilon_ppb: uint256


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


struct Attendance:
    rounds: uint256  # last round registered in * 2**10 + one bit per round of the window that ends there
    stamps: uint256[10]  # block * 2**64 + time of the first registration of a round, at round % 10


OPEN: constant(uint256) = 1
AGGREGATING: constant(uint256) = 2
VOTING: constant(uint256) = 3
ACCEPTED: constant(uint256) = 4
REJECTED: constant(uint256) = 5
EMPTY: constant(uint256) = 6
YES: constant(uint256) = 1
NO: constant(uint256) = 2
ABSTAIN: constant(uint256) = 3
MARGIN: constant(uint256) = 0
RATIO: constant(uint256) = 1

SCORE: constant(uint256) = 10**9
WINDOW: constant(uint256) = 10  # rounds that the reward looks back on, the present one included
STALL: constant(uint256) = 3  # rounds without registration that ease the gate; rejections that raise the alarm
MAX_CLIENTS: constant(uint256) = 1024
MAX_COUNT: constant(uint256) = 2**32  # of rounds and steps
MAX_SECONDS: constant(uint256) = 10**9
MAX_EXAMPLES: constant(uint256) = 2**48
HALF: constant(uint256) = 2**128
LOW64: constant(uint256) = 2**64 - 1


run_count: public(uint256)
runs: HashMap[uint256, Run]
rules: HashMap[uint256, Rules]
ballots: HashMap[uint256, Ballot]
answers: HashMap[uint256, HashMap[address, Answer]]
registrants: HashMap[uint256, HashMap[uint256, address]]
voted: HashMap[uint256, HashMap[address, uint256]]  # round of the last vote
seen: HashMap[uint256, HashMap[bytes32, bool]]  # per project: CIDs registered or proposed
window: HashMap[uint256, uint256]  # per run: registrations * 2**128 + clients with one, in the window
tallies: HashMap[uint256, HashMap[uint256, uint256]]  # per round: the same, each client at its last round only
attendance: HashMap[uint256, HashMap[address, Attendance]]


@deploy
def __init__():
    """
    @notice The account that deploys the contract owns the number of validators, nothing else.
    """
    network.__init__()


# --- what a round decides by -----------------------------------------------------------------------------------------


@internal
@pure
def _passes(gate_mode: uint256, score: uint256, base_score: uint256, beta_ppb: int256) -> bool:
    """
    @notice Algorithm 2: whether the local model is enough better than its base.
    """
    local: int256 = convert(score, int256)
    base: int256 = convert(base_score, int256)
    if gate_mode == MARGIN:
        return local - base >= beta_ppb
    if base == 0:
        return local > 0
    return local * convert(SCORE, int256) >= beta_ppb * base


@internal
@pure
def _accepts(yes: uint256, no: uint256, abstain: uint256, electorate: uint256) -> bool:
    """
    @notice Algorithm 5: two thirds of the electorate answered, and more than two thirds of the opinions say yes.
    """
    return yes + no > 0 and 3 * (yes + no + abstain) >= 2 * electorate and 3 * yes > 2 * (yes + no)


@internal
@pure
def _check_scores(score_ppb: uint256, base_score_ppb: uint256):
    """
    @notice Refuse scores above one.
    """
    assert score_ppb <= SCORE and base_score_ppb <= SCORE, "Foedus: a score is above 1"


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
def _check_answer(run: uint256, round: uint256, step: uint256):
    """
    @notice Refuse a registration or decline that comes at the wrong place, too late or from a stranger.
    """
    self._check_round(run, round)
    assert step == self.runs[run].step, "Foedus: this is not the present step"
    assert self.runs[run].phase == OPEN, "Foedus: the step is closed"
    assert block.timestamp <= self.runs[run].deadline, "Foedus: the deadline has passed"
    assert projects._is_client(
        self.runs[run].project, msg.sender
    ), "Foedus: only clients of this project may do this"


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
def _use_cid(run: uint256, cid: String[64]):
    """
    @notice Refuse a CID the project has seen, and remember it.
    """
    assert len(cid) > 0, "Foedus: the CID is missing"
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


# --- rewards ---------------------------------------------------------------------------------------------------------


@internal
def _attend(run: uint256, round: uint256) -> uint256:
    """
    @notice Count the sender's registration in this round, once, and return its mask over the window.
    @dev Bit i of the mask stands for round - i. No loop over clients: hundreds register.
    """
    packed: uint256 = self.attendance[run][msg.sender].rounds
    last: uint256 = packed >> WINDOW
    mask: uint256 = packed & (2**WINDOW - 1)
    if last == round:
        return mask
    is_active: bool = last != 0 and round - last < WINDOW
    mask = ((mask << (round - last)) & (2**WINDOW - 1)) | 1 if is_active else 1
    self.attendance[run][msg.sender].rounds = (round << WINDOW) | mask
    self.attendance[run][msg.sender].stamps[round % WINDOW] = (block.number << 64) | block.timestamp
    self.tallies[run][round] += HALF + 1
    if is_active:
        self.tallies[run][last] -= 1
        self.window[run] += HALF
    else:
        self.window[run] += HALF + 1
    return mask


@internal
def _earn(run: uint256, round: uint256) -> uint256:
    """
    @notice Count the registration and return its reward (Algorithm 3).
    """
    mask: uint256 = self._attend(run, round)
    own: uint256 = 0
    oldest: uint256 = 0
    for i: uint256 in range(WINDOW):
        if (mask >> i) & 1 == 1:
            own += 1
            oldest = i
    stamp: uint256 = self.attendance[run][msg.sender].stamps[(round - oldest) % WINDOW]
    return rewards._reward(
        own,
        self.window[run] // HALF,
        self.window[run] % HALF,
        block.number - (stamp >> 64),
        block.timestamp - (stamp & LOW64),
        network.validators,
        network.medians[self.runs[run].project],
    )


# --- the course of a run ---------------------------------------------------------------------------------------------


@internal
def _open_step(run: uint256, round: uint256, step: uint256):
    """
    @notice Open a step for registrations; a new round moves the reward's window.
    """
    if step == 1 and round > WINDOW:
        self.window[run] -= self.tallies[run][round - WINDOW]
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
    if outcome == EMPTY:
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
    if self._accepts(ballot.yes, ballot.no, ballot.abstain, ballot.electorate):
        self._end_round(run, ACCEPTED)
    else:
        self._end_round(run, REJECTED)


@internal
@view
def _check_rules(project: uint256, rules: Rules):
    """
    @notice Refuse rules under which a run could not go on.
    """
    assert rules.rounds > 0 and rules.rounds <= MAX_COUNT, "Foedus: a run needs at least one round"
    assert rules.steps > 0 and rules.steps <= MAX_COUNT, "Foedus: a round needs at least one step"
    assert rules.threshold > 0, "Foedus: the threshold must be at least 1"
    assert rules.threshold <= projects.projects[project].clients, "Foedus: the threshold exceeds the clients"
    assert rules.deadline_s > 0 and rules.deadline_s <= MAX_SECONDS, "Foedus: deadline_s must be 1 to 1e9"
    assert rules.vote_s > 0 and rules.vote_s <= MAX_SECONDS, "Foedus: vote_s must be 1 to 1e9"
    assert rules.gate_mode <= RATIO, "Foedus: the gate must be a margin or a ratio"
    lowest: int256 = -convert(SCORE, int256) if rules.gate_mode == MARGIN else 0
    assert rules.beta_ppb >= lowest, "Foedus: beta is too small"
    assert rules.beta_ppb <= 2 * convert(SCORE, int256), "Foedus: beta is too large"
    assert rules.epsilon_ppb <= SCORE, "Foedus: epsilon is above 1"


# --- calls -----------------------------------------------------------------------------------------------------------


@external
def start_run(
    project: uint256,
    terms: String[64],
    version0: String[64],
    rounds: uint256,
    steps: uint256,
    threshold: uint256,
    deadline_s: uint256,
    vote_s: uint256,
    gate_mode: uint256,
    beta_ppb: int256,
    epsilon_ppb: uint256,
) -> uint256:
    """
    @notice Start a run and open its first round. Only for the project's lead.
    @param terms CID of the run's specification.
    @param version0 CID of the manifest of the initial model.
    @param rounds How many rounds the run has.
    @param steps Exchanges per round: 1, or the number of layers for layer-wise algorithms.
    @param threshold Registrations that close a step at once; at most the number of clients.
    @param deadline_s Block time a step stays open.
    @param vote_s Block time of one client's turn to aggregate, and of the ballot.
    @param gate_mode 0 margin, 1 ratio.
    @param beta_ppb The gate's threshold.
    @param epsilon_ppb How much worse a candidate may score and still get a yes.
    @return The run's number, from 1.
    """
    projects._only_lead(project)
    assert len(version0) > 0, "Foedus: the CID is missing"
    rules: Rules = Rules(
        rounds=rounds,
        steps=steps,
        threshold=threshold,
        deadline_s=deadline_s,
        vote_s=vote_s,
        gate_mode=gate_mode,
        beta_ppb=beta_ppb,
        epsilon_ppb=epsilon_ppb,
    )
    self._check_rules(project, rules)
    self.run_count += 1
    run: uint256 = self.run_count
    self.rules[run] = rules
    self.runs[run].project = project
    self.runs[run].current = version0
    log RunStarted(
        run=run,
        project=project,
        terms=terms,
        version0=version0,
        rounds=rounds,
        steps=steps,
        threshold=threshold,
        deadline_s=deadline_s,
        vote_s=vote_s,
        gate_mode=gate_mode,
        beta_ppb=beta_ppb,
        epsilon_ppb=epsilon_ppb,
    )
    self._open_step(run, 1, 1)
    return run


@external
def register(
    run: uint256,
    round: uint256,
    step: uint256,
    base: String[64],
    cid: String[64],
    num_examples: uint256,
    score_ppb: uint256,
    base_score_ppb: uint256,
    job: String[64],
):
    """
    @notice Register the sender's update. A second one while the step is open supersedes the first; so does one
            after a decline. In the last step the update must pass the gate and earns a reward.
    @param base CID of the manifest the update was trained from: the base of this step.
    @param cid CID of the update's weights; new to the project.
    @param num_examples Training samples behind it.
    @param score_ppb Score of the local model on the client's validation data.
    @param base_score_ppb Score of the base on the same data.
    @param job The batch job that made it, for the record.
    """
    self._check_answer(run, round, step)
    assert base == self._base(run), "Foedus: the update was trained from another base"
    assert num_examples > 0 and num_examples <= MAX_EXAMPLES, "Foedus: num_examples must be 1 to 2**48"
    self._check_scores(score_ppb, base_score_ppb)
    self._use_cid(run, cid)
    reward: uint256 = 0
    if step == self.rules[run].steps:
        assert self._passes(
            self.rules[run].gate_mode, score_ppb, base_score_ppb, self.rules[run].beta_ppb
        ), "Foedus: the update did not pass the gate"
        reward = self._earn(run, round)
    place: uint256 = (round << 64) | step
    has_answered: bool = self.answers[run][msg.sender].place == place
    is_first: bool = not has_answered or not self.answers[run][msg.sender].is_registered
    if has_answered and is_first:
        self.runs[run].declines -= 1
    if is_first:
        self.registrants[run][self.runs[run].registrations] = msg.sender
        self.runs[run].registrations += 1
    self.answers[run][msg.sender] = Answer(place=place, is_registered=True, reward=reward)
    log Registered(
        run=run,
        round=round,
        step=step,
        client=msg.sender,
        cid=cid,
        num_examples=num_examples,
        score_ppb=score_ppb,
        base_score_ppb=base_score_ppb,
        reward=reward,
        job=job,
    )
    if is_first:
        self._close_if_complete(run)


@external
def decline(run: uint256, round: uint256, step: uint256, reason: String[64]):
    """
    @notice Say that the sender has no update for this step, so that the others need not wait.
    @param reason A short word such as `gate`, `floor` or `failed`.
    """
    self._check_answer(run, round, step)
    place: uint256 = (round << 64) | step
    assert self.answers[run][msg.sender].place != place, "Foedus: the client has answered already"
    self.answers[run][msg.sender] = Answer(place=place, is_registered=False, reward=0)
    self.runs[run].declines += 1
    log Declined(run=run, round=round, step=step, client=msg.sender, reason=reason)
    self._close_if_complete(run)


@external
def close(run: uint256, round: uint256, step: uint256):
    """
    @notice Close a step whose deadline has passed. Anybody may do this.
    """
    self._check_round(run, round)
    assert step == self.runs[run].step, "Foedus: this is not the present step"
    assert self.runs[run].phase == OPEN, "Foedus: the step is closed"
    assert block.timestamp > self.runs[run].deadline, "Foedus: the deadline has not passed"
    self._close_step(run)


@external
def propose(run: uint256, round: uint256, step: uint256, cid: String[64]):
    """
    @notice Propose the aggregate of a closed step. In the last step this opens the ballot; before, it opens the
            next step at once, with the candidate as its base.
    @param cid CID of the candidate's manifest; new to the project.
    """
    self._check_round(run, round)
    assert step == self.runs[run].step, "Foedus: this is not the present step"
    assert self.runs[run].phase == AGGREGATING, "Foedus: nothing is to be aggregated now"
    assert msg.sender == self._turn(run), "Foedus: it is another client's turn"
    self._use_cid(run, cid)
    self.runs[run].candidate = cid
    if step < self.rules[run].steps:
        log Proposed(run=run, round=round, step=step, proposer=msg.sender, cid=cid, electorate=0, deadline=0)
        self._open_step(run, round, step + 1)
        return
    project: uint256 = self.runs[run].project
    electorate: uint256 = projects.projects[project].clients
    deadline: uint256 = block.timestamp + self.rules[run].vote_s
    self.runs[run].phase = VOTING
    self.runs[run].deadline = deadline
    self.ballots[run] = Ballot(
        sequence=projects.projects[project].sequence, electorate=electorate, yes=0, no=0, abstain=0
    )
    log Proposed(
        run=run, round=round, step=step, proposer=msg.sender, cid=cid, electorate=electorate, deadline=deadline
    )


@external
def vote(run: uint256, round: uint256, choice: uint256, score_ppb: uint256, base_score_ppb: uint256):
    """
    @notice Vote on the candidate. Clients of the moment the ballot opened vote, once. The last vote ends the round.
    @param choice 1 yes, 2 no, 3 abstain. A yes needs score + epsilon >= base score.
    @param score_ppb Score of the candidate on the voter's validation data.
    @param base_score_ppb Score of the current version on the same data.
    """
    self._check_round(run, round)
    assert self.runs[run].phase == VOTING, "Foedus: there is no ballot now"
    assert block.timestamp <= self.runs[run].deadline, "Foedus: the deadline has passed"
    project: uint256 = self.runs[run].project
    assert projects._is_client(project, msg.sender), "Foedus: only clients of this project may do this"
    assert (
        projects.members[project][msg.sender].joined <= self.ballots[run].sequence
    ), "Foedus: the client joined after the ballot opened"
    assert self.voted[run][msg.sender] != round, "Foedus: the client has voted already"
    assert choice >= YES and choice <= ABSTAIN, "Foedus: the choice must be yes, no or abstain"
    self._check_scores(score_ppb, base_score_ppb)
    self.voted[run][msg.sender] = round
    if choice == YES:
        assert (
            score_ppb + self.rules[run].epsilon_ppb >= base_score_ppb
        ), "Foedus: a candidate that scores worse gets no yes"
        self.ballots[run].yes += 1
    elif choice == NO:
        self.ballots[run].no += 1
    else:
        self.ballots[run].abstain += 1
    log Voted(
        run=run,
        round=round,
        voter=msg.sender,
        choice=choice,
        score_ppb=score_ppb,
        base_score_ppb=base_score_ppb,
    )
    ballot: Ballot = self.ballots[run]
    if ballot.yes + ballot.no + ballot.abstain == ballot.electorate:
        self._count_votes(run)


@external
def finalize(run: uint256, round: uint256):
    """
    @notice Count the votes of a ballot whose deadline has passed. Anybody may do this.
    """
    self._check_round(run, round)
    assert self.runs[run].phase == VOTING, "Foedus: there is no ballot now"
    assert block.timestamp > self.runs[run].deadline, "Foedus: the deadline has not passed"
    self._count_votes(run)


@external
def cancel_run(run: uint256, reason: String[64]):
    """
    @notice End a run before its last round. Only for the project's lead.
    """
    assert run > 0 and run <= self.run_count, "Foedus: no such run"
    projects._only_lead(self.runs[run].project)
    assert not self.runs[run].is_ended, "Foedus: the run has ended"
    self._end_run(run, reason)


# --- views -----------------------------------------------------------------------------------------------------------


@external
@view
def round_of(run: uint256) -> (uint256, uint256, uint256, uint256, uint256, uint256):
    """
    @notice Where the run stands: round, step, phase, deadline, registrations and declines of the step.
    """
    r: Run = self.runs[run]
    return r.round, r.step, r.phase, r.deadline, r.registrations, r.declines


@external
@view
def version_of(run: uint256) -> (uint256, String[64], bool):
    """
    @notice The current version's number and manifest, and whether the run has ended.
    """
    return self.runs[run].version, self.runs[run].current, self.runs[run].is_ended


@external
@view
def turn_of(run: uint256) -> address:
    """
    @notice Whose turn it is to aggregate, if a step of the run is closed.
    """
    return self._turn(run)


@external
@view
def beta_of(run: uint256) -> int256:
    """
    @notice The gate's threshold now.
    """
    return self.rules[run].beta_ppb


@external
@view
def window_of(run: uint256) -> (uint256, uint256):
    """
    @notice Registrations in the reward's window (T), and clients with at least one (N).
    """
    return self.window[run] // HALF, self.window[run] % HALF


@external
@view
def is_seen(project: uint256, cid: String[64]) -> bool:
    """
    @notice Whether the CID was registered or proposed in the project.
    """
    return self.seen[project][keccak256(cid)]


@external
@pure
def passes_gate(gate_mode: uint256, score_ppb: uint256, base_score_ppb: uint256, beta_ppb: int256) -> bool:
    """
    @notice Whether these scores pass the gate (Algorithm 2).
    """
    self._check_scores(score_ppb, base_score_ppb)
    return self._passes(gate_mode, score_ppb, base_score_ppb, beta_ppb)


@external
@pure
def is_accepted(yes: uint256, no: uint256, abstain: uint256, electorate: uint256) -> bool:
    """
    @notice Whether these votes accept a candidate (Algorithm 5).
    """
    return self._accepts(yes, no, abstain, electorate)
