# pragma version 0.4.3
# pragma evm-version paris
"""
@title Foedus: runs of federated training, their rounds, registrations and ballots
@notice A run goes through rounds, a round through steps. A step is OPEN for registrations, then AGGREGATING until the
        member whose turn it is proposes a candidate; in the last step VOTING follows, and the round ends ACCEPTED or
        REJECTED. A step nobody registered in ends its round EMPTY. Scores are in parts per billion, rewards in 1e-18.
        Steps close and ballots end by themselves; `close` and `finalize` exist for deadlines.
"""


import attendance
import course
import decisions
import network
import projects
import rewards

initializes: projects
initializes: network[projects := projects]
initializes: attendance
initializes: course[attendance := attendance, projects := projects]
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
    course.run_count,
    attendance.window_of,
    decisions.passes_gate,
    decisions.is_accepted,
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


YES: constant(uint256) = 1
NO: constant(uint256) = 2
ABSTAIN: constant(uint256) = 3
MAX_EXAMPLES: constant(uint256) = 2**48


voted: HashMap[uint256, HashMap[address, uint256]]  # round of the last vote


@deploy
def __init__():
    """
    @notice The account that deploys the contract owns the number of validators, nothing else.
    """
    network.__init__()


@internal
@view
def _check_answer(run: uint256, round: uint256, step: uint256):
    """
    @notice Refuse a registration or decline that comes at the wrong place, too late or from a stranger.
    """
    course._check_round(run, round)
    assert step == course.runs[run].step, "Foedus: this is not the present step"
    assert course.runs[run].phase == course.OPEN, "Foedus: the step is closed"
    assert block.timestamp <= course.runs[run].deadline, "Foedus: the deadline has passed"
    assert projects._is_client(
        course.runs[run].project, msg.sender
    ), "Foedus: only clients of this project may do this"


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
    course._check_cid(terms)
    course._check_cid(version0)
    rules: decisions.Rules = decisions.Rules(
        rounds=rounds,
        steps=steps,
        threshold=threshold,
        deadline_s=deadline_s,
        vote_s=vote_s,
        gate_mode=gate_mode,
        beta_ppb=beta_ppb,
        epsilon_ppb=epsilon_ppb,
    )
    decisions._check_rules(rules, projects.projects[project].clients)
    course.run_count += 1
    run: uint256 = course.run_count
    attendance._beat(run)
    course.rules[run] = rules
    course.runs[run].project = project
    course.runs[run].current = version0
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
    course._open_step(run, 1, 1)
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
    assert base == course._base(run), "Foedus: the update was trained from another base"
    assert num_examples > 0 and num_examples <= MAX_EXAMPLES, "Foedus: num_examples must be 1 to 2**48"
    decisions._check_scores(score_ppb, base_score_ppb)
    course._use_cid(run, cid)
    attendance._beat(run)
    reward: uint256 = 0
    if step == course.rules[run].steps:
        assert decisions._passes(
            course.rules[run].gate_mode, score_ppb, base_score_ppb, course.rules[run].beta_ppb
        ), "Foedus: the update did not pass the gate"
        reward = attendance._earn(
            run, round, network.validators, network.medians[course.runs[run].project]
        )
    place: uint256 = (round << 64) | step
    has_answered: bool = course.answers[run][msg.sender].place == place
    is_first: bool = not has_answered or not course.answers[run][msg.sender].is_registered
    if has_answered and is_first:
        course.runs[run].declines -= 1
    if is_first:
        course.registrants[run][course.runs[run].registrations] = msg.sender
        course.runs[run].registrations += 1
    course.answers[run][msg.sender] = course.Answer(place=place, is_registered=True, reward=reward)
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
        course._close_if_complete(run)


@external
def decline(run: uint256, round: uint256, step: uint256, reason: String[64]):
    """
    @notice Say that the sender has no update for this step, so that the others need not wait.
    @param reason A short word such as `gate`, `floor` or `failed`.
    """
    self._check_answer(run, round, step)
    place: uint256 = (round << 64) | step
    assert course.answers[run][msg.sender].place != place, "Foedus: the client has answered already"
    attendance._beat(run)
    course.answers[run][msg.sender] = course.Answer(place=place, is_registered=False, reward=0)
    course.runs[run].declines += 1
    log Declined(run=run, round=round, step=step, client=msg.sender, reason=reason)
    course._close_if_complete(run)


@external
def close(run: uint256, round: uint256, step: uint256):
    """
    @notice Close a step whose deadline has passed, or give a round up that no client could aggregate in its turn.
            Anybody may do this.
    """
    course._check_round(run, round)
    assert step == course.runs[run].step, "Foedus: this is not the present step"
    attendance._beat(run)
    if course.runs[run].phase == course.AGGREGATING:
        course._give_up(run)
        return
    assert course.runs[run].phase == course.OPEN, "Foedus: the step is closed"
    assert block.timestamp > course.runs[run].deadline, "Foedus: the deadline has not passed"
    course._close_step(run)


@external
def propose(run: uint256, round: uint256, step: uint256, cid: String[64]):
    """
    @notice Propose the aggregate of a closed step. In the last step this opens the ballot; before, it opens the
            next step at once, with the candidate as its base.
    @param cid CID of the candidate's manifest. It need not be new: rounds in which nothing can be merged give
               equal candidates, and nobody can take one by registering it.
    """
    course._check_round(run, round)
    assert step == course.runs[run].step, "Foedus: this is not the present step"
    assert course.runs[run].phase == course.AGGREGATING, "Foedus: nothing is to be aggregated now"
    assert msg.sender == course._turn(run), "Foedus: it is another client's turn"
    attendance._beat(run)
    course._check_cid(cid)
    course.runs[run].candidate = cid
    if step < course.rules[run].steps:
        log Proposed(run=run, round=round, step=step, proposer=msg.sender, cid=cid, electorate=0, deadline=0)
        course._open_step(run, round, step + 1)
        return
    project: uint256 = course.runs[run].project
    electorate: uint256 = projects.projects[project].clients
    deadline: uint256 = block.timestamp + course.rules[run].vote_s
    course.runs[run].phase = course.VOTING
    course.runs[run].deadline = deadline
    course.ballots[run] = course.Ballot(
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
    course._check_round(run, round)
    assert course.runs[run].phase == course.VOTING, "Foedus: there is no ballot now"
    assert block.timestamp <= course.runs[run].deadline, "Foedus: the deadline has passed"
    attendance._beat(run)
    project: uint256 = course.runs[run].project
    assert projects._is_client(project, msg.sender), "Foedus: only clients of this project may do this"
    assert (
        projects.members[project][msg.sender].joined <= course.ballots[run].sequence
    ), "Foedus: the client joined after the ballot opened"
    assert self.voted[run][msg.sender] != round, "Foedus: the client has voted already"
    assert choice >= YES and choice <= ABSTAIN, "Foedus: the choice must be yes, no or abstain"
    decisions._check_scores(score_ppb, base_score_ppb)
    self.voted[run][msg.sender] = round
    if choice == YES:
        assert (
            score_ppb + course.rules[run].epsilon_ppb >= base_score_ppb
        ), "Foedus: a candidate that scores worse gets no yes"
        course.ballots[run].yes += 1
    elif choice == NO:
        course.ballots[run].no += 1
    else:
        course.ballots[run].abstain += 1
    log Voted(
        run=run,
        round=round,
        voter=msg.sender,
        choice=choice,
        score_ppb=score_ppb,
        base_score_ppb=base_score_ppb,
    )
    ballot: course.Ballot = course.ballots[run]
    if ballot.yes + ballot.no + ballot.abstain == ballot.electorate:
        course._count_votes(run)


@external
def finalize(run: uint256, round: uint256):
    """
    @notice Count the votes of a ballot whose deadline has passed. Anybody may do this.
    """
    course._check_round(run, round)
    assert course.runs[run].phase == course.VOTING, "Foedus: there is no ballot now"
    assert block.timestamp > course.runs[run].deadline, "Foedus: the deadline has not passed"
    attendance._beat(run)
    course._count_votes(run)


@external
def cancel_run(run: uint256, reason: String[64]):
    """
    @notice End a run before its last round. Only for the project's lead.
    """
    assert run > 0 and run <= course.run_count, "Foedus: no such run"
    projects._only_lead(course.runs[run].project)
    assert not course.runs[run].is_ended, "Foedus: the run has ended"
    attendance._beat(run)
    course._end_run(run, reason)


@external
@view
def round_of(run: uint256) -> (uint256, uint256, uint256, uint256, uint256, uint256):
    """
    @notice Where the run stands: round, step, phase, deadline, registrations and declines of the step.
    """
    r: course.Run = course.runs[run]
    return r.round, r.step, r.phase, r.deadline, r.registrations, r.declines


@external
@view
def version_of(run: uint256) -> (uint256, String[64], bool):
    """
    @notice The current version's number and manifest, and whether the run has ended.
    """
    return course.runs[run].version, course.runs[run].current, course.runs[run].is_ended


@external
@view
def turn_of(run: uint256) -> address:
    """
    @notice Whose turn it is to aggregate, if a step of the run is closed.
    """
    return course._turn(run)


@external
@view
def beta_of(run: uint256) -> int256:
    """
    @notice The gate's threshold now.
    """
    return course.rules[run].beta_ppb


@external
@view
def is_seen(project: uint256, cid: String[64]) -> bool:
    """
    @notice Whether the CID was registered in the project.
    """
    return course.seen[project][keccak256(cid)]
