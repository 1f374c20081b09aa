"""All numbers of a run as a list, to look through and to take away."""

from typing import Final

from sqlalchemy import String, cast, select

from foedus.server.db import Metric, Run
from foedus.server.listing import Column, Filter, Listing

NAMES: Final = ("loss", "f1", "accuracy", "seconds", "test_accuracy", "test_f1")


def number_listing(run: Run) -> Listing:
    """Return the list of a run's numbers, round by round; those of the global model have no client."""
    tie = (
        Metric.name + ":" + Metric.client + ":" + cast(Metric.round, String) + ":" + cast(Metric.step, String)
    )
    return Listing(
        "Numbers",
        (
            Column("round", "Round", Metric.round, "number"),
            Column("name", "Number", Metric.name),
            Column("client", "Client", Metric.client),
            Column("step", "Step", Metric.step, "number"),
            Column("value", "Value", Metric.value, "score"),
        ),
        select().select_from(Metric).where(Metric.run_id == run.id),
        tie,
        "round",
        empty="No numbers yet. They come with the first tasks that end.",
        search=(Metric.client,),
        filters=(Filter("name", "Number", Metric.name, NAMES),),
    )
