# pragma version 0.4.3
# pragma evm-version paris
"""
@title Decisions: the gate, the vote, and the limits of a run's rules
@notice Pure arithmetic of Algorithms 2 and 5. Scores are in parts per billion.
"""


struct Rules:
    rounds: uint256
    steps: uint256
    threshold: uint256
    deadline_s: uint256
    vote_s: uint256
    gate_mode: uint256
    beta_ppb: int256  # falls when nobody passes the gate
    epsilon_ppb: uint256


MARGIN: constant(uint256) = 0
RATIO: constant(uint256) = 1
SCORE: constant(uint256) = 10**9
MAX_COUNT: constant(uint256) = 2**32  # of rounds and steps
MAX_SECONDS: constant(uint256) = 10**9


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
@pure
def _check_rules(rules: Rules, clients: uint256):
    """
    @notice Refuse rules under which a run could not go on.
    """
    assert rules.rounds > 0 and rules.rounds <= MAX_COUNT, "Foedus: a run needs at least one round"
    assert rules.steps > 0 and rules.steps <= MAX_COUNT, "Foedus: a round needs at least one step"
    assert rules.threshold > 0, "Foedus: the threshold must be at least 1"
    assert rules.threshold <= clients, "Foedus: the threshold exceeds the clients"
    assert rules.deadline_s > 0 and rules.deadline_s <= MAX_SECONDS, "Foedus: deadline_s must be 1 to 1e9"
    assert rules.vote_s > 0 and rules.vote_s <= MAX_SECONDS, "Foedus: vote_s must be 1 to 1e9"
    assert rules.gate_mode <= RATIO, "Foedus: the gate must be a margin or a ratio"
    lowest: int256 = -convert(SCORE, int256) if rules.gate_mode == MARGIN else 0
    assert rules.beta_ppb >= lowest, "Foedus: beta is too small"
    assert rules.beta_ppb <= 2 * convert(SCORE, int256), "Foedus: beta is too large"
    assert rules.epsilon_ppb <= SCORE, "Foedus: epsilon is above 1"


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
