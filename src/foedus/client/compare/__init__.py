"""Compare algorithms: several runs on the same partitions and seeds, one page with curves and a table."""

from collections.abc import Collection
from pathlib import Path

from foedus.client.compare.records import Comparison, Curve, EntryResult, RoundResult, RunResult, Stat
from foedus.client.compare.spec import CompareSpec, load_compare_spec, parse_compare_spec
from foedus.rounds.home import Home
from foedus.rounds.progress import Observer, ignore

__all__ = [
    "CompareSpec",
    "Comparison",
    "Curve",
    "EntryResult",
    "RoundResult",
    "RunResult",
    "Stat",
    "compare",
    "load_compare_spec",
    "parse_compare_spec",
    "run_comparison",
    "write_comparison",
]


def compare(
    spec: CompareSpec | Path | str,
    home: Home | Path | str | None = None,
    observer: Observer = ignore,
    *,
    fresh: bool = False,
    only: Collection[str] = (),
) -> Comparison:
    """Drive all runs of a comparison to their end, write page, picture and tables, return the figures.

    `spec` is a comparison or its TOML file; `home` as for `foedus.run`. The observer gets the records of all
    runs, each run's between a `compare-begins` and a `compare-ended`. Interrupt it as you like: the same call
    goes on. A run that fails is among `Comparison.unfinished` and stops no other. Raises `InvalidSpec` for a
    mistake in any entry, before anything starts, and for a name that another comparison has, unless `fresh`;
    `InvalidData`, `UnsupportedModel`, `HomeInUse`.
    """
    from foedus.client.compare.spec import compare_for_this_machine
    from foedus.site.settings import read_settings

    root = home.root if isinstance(home, Home) else Path(home) if home else None
    settings = read_settings(root)
    wanted = spec if isinstance(spec, CompareSpec) else load_compare_spec(Path(spec))
    adapted = compare_for_this_machine(wanted, settings)
    comparison = run_comparison(Home(settings.home), adapted, observer, fresh=fresh, only=only)
    write_comparison(comparison, comparison.folder)
    return comparison


def run_comparison(
    home: Home, spec: CompareSpec, observer: Observer, *, fresh: bool = False, only: Collection[str] = ()
) -> Comparison:
    """Drive all runs of an adapted comparison to their end and return the figures. Raises as `compare`.

    With `only`, the runs of the entries with these labels; the others stay as they are, also if `fresh`.
    Raises `InvalidSpec` for an unknown label.
    """
    from foedus.client.compare.collecting import collect
    from foedus.client.compare.plan import open_plan
    from foedus.client.compare.running import check_inputs, run_all

    with open_plan(home, spec, only=spec.chosen(only), fresh=fresh) as plan:
        check_inputs(plan, only)
        plan.write()
        return collect(plan, run_all(plan, observer, only))


def write_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """Write page, picture and both tables into a folder; returns their paths, the page first."""
    from foedus.client.compare.page import render_comparison
    from foedus.client.compare.plots import draw_comparison
    from foedus.client.compare.tables import rounds_csv, summary_csv
    from foedus.client.report import write_file

    picture = draw_comparison(comparison)
    contents = {
        "comparison.html": render_comparison(comparison, picture).encode(),
        "comparison.png": picture,
        "comparison.csv": rounds_csv(comparison).encode(),
        "summary.csv": summary_csv(comparison).encode(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        write_file(folder / name, data)
    return [folder / name for name in contents]
