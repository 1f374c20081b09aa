"""Algorithms 2 and 5 as integer rules: the same numbers, and so the same answers, as the contract's."""

from foedus.core.records import SCORE_SCALE, Choice, GateMode


def gate_passes(score_ppb: int, base_score_ppb: int, beta_ppb: int, mode: GateMode) -> bool:
    """Tell whether a local model may be registered (Algorithm 2).

    margin: score - base >= beta. ratio: score >= beta * base, and for a base of 0 any score above 0.
    """
    if not (0 <= score_ppb <= SCORE_SCALE and 0 <= base_score_ppb <= SCORE_SCALE):
        return False
    if mode is GateMode.MARGIN:
        return score_ppb - base_score_ppb >= beta_ppb
    if base_score_ppb == 0:
        return score_ppb > 0
    return score_ppb * SCORE_SCALE >= beta_ppb * base_score_ppb


def vote_for(score_ppb: int, base_score_ppb: int, epsilon_ppb: int) -> Choice:
    """Answer a ballot whose candidate was recomputed to the same CID (Algorithm 5)."""
    return Choice.YES if score_ppb + epsilon_ppb >= base_score_ppb else Choice.NO


def ballot_accepts(electorate: int, yes: int, no: int, abstain: int) -> bool:
    """Tell whether a ballot accepts its candidate (Algorithm 5).

    At least two thirds of the electorate must have answered, and more than two thirds of those who took sides
    must have said yes. Integers, so exactly two thirds is never a matter of rounding.
    """
    took_sides = yes + no
    return took_sides > 0 and 3 * (took_sides + abstain) >= 2 * electorate and 3 * yes > 2 * took_sides
