"""Who trains in a round: everybody computes the same draw, and all get their share over the rounds."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from foedus.core.ids import Cid, ClientId
from foedus.rounds.sampling import draw_order, draw_size, drawn

CLIENTS = [ClientId(f"client-{n:02}") for n in range(30)]
TERMS = Cid("terms")


def test_the_size_is_the_floor_but_at_least_one() -> None:
    assert [draw_size(30, share) for share in (0.1, 0.01, 0.35, 1.0)] == [3, 1, 10, 30]
    assert draw_size(3, 1 / 3) == 1


@given(st.permutations(CLIENTS), st.integers(1, 50))
def test_the_draw_does_not_depend_on_the_order_of_the_clients(order: list[ClientId], number: int) -> None:
    assert drawn(order, TERMS, number, 0.2) == drawn(CLIENTS, TERMS, number, 0.2)


def test_the_next_in_order_is_called_up_for_each_that_declined() -> None:
    order = draw_order(CLIENTS, TERMS, 4)
    assert drawn(CLIENTS, TERMS, 4, 0.1) == set(order[:3])
    assert drawn(CLIENTS, TERMS, 4, 0.1, declined=2) == set(order[:5])
    assert drawn(CLIENTS, TERMS, 4, 0.1, declined=40) == set(CLIENTS)


def test_every_client_is_drawn_about_equally_often() -> None:
    counts = Counter(client for number in range(1000) for client in drawn(CLIENTS, TERMS, number, 0.1))
    assert sum(counts.values()) == 3000
    assert min(counts.values()) > 60
    assert max(counts.values()) < 150


def test_rounds_and_runs_draw_differently() -> None:
    draws = {drawn(CLIENTS, Cid(terms), number, 0.2) for terms in ("one", "two") for number in range(1, 6)}
    assert len(draws) == 10
