"""The commands about private datasets: register, list, show, remove."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foedus.client.output import Format, console, print_json, print_pairs, print_table, say, size_text
from foedus.client.shell import FormatOption, HomeOption, Shell, open_shell
from foedus.core.errors import FoedusError, InvalidSpec, VerificationFailed

if TYPE_CHECKING:
    from foedus.apps.datasets.catalogue import Dataset

app = typer.Typer(help="Register private data. They stay where they are.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the dataset.")]
PublicOption = Annotated[bool, typer.Option("--public", help="Only what other members may see.")]


@app.command()
def register(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH|JOB", help="File or folder with the data, or the batch job that made them."
        ),
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name; the batch job's for its data.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="idx, images, arrays, table or frames.")
    ] = None,
    step: Annotated[
        list[str] | None,
        typer.Option(metavar="STEP", help='Pre-processing, e.g. "resize height=14 width=14"; in order.'),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Draws which examples fall to which part.")
    ] = 1,
    val: Annotated[float, typer.Option(metavar="SHARE", help="Share of examples to validate with.")] = 0.1,
    test: Annotated[float, typer.Option(metavar="SHARE", help="Share of examples to test with.")] = 0.1,
    home: HomeOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Register private data under a name: check them, take their fingerprint, and keep metadata only.

    Kinds: idx (MNIST's files), images (one folder of PNG or JPEG per class), arrays (.npy, .npz), table (CSV
    with a column `label`), frames (output of SIM_REACTION_DIFFUSION). Steps: deduplicate, filter, grey,
    resize, normalise.

    \b
    Examples:
      foedus dataset register scans/ --kind images --name scans --step "resize height=28 width=28"
      foedus dataset register digits.npz --kind arrays --name digits --step deduplicate --step normalise
      foedus dataset register sim_reaction_diffusion-1 --name spots
    """
    from foedus.apps.datasets.loading import SplitRule
    from foedus.apps.datasets.loading import register as register_data
    from foedus.apps.datasets.recipe import parse_step

    shell = open_shell(home)
    place, its_kind, its_name = _source(shell, path)
    if not (kind or its_kind) or not (name or its_name):
        raise InvalidSpec("a path needs --kind and --name", "Kinds: idx, images, arrays, table, frames.")
    steps = [parse_step(text) for text in step or []]
    with show_bytes("reading") as observer:
        found = register_data(
            shell.home, name or its_name, kind or its_kind, place, steps, SplitRule(seed, val, test), observer
        )
    if output is Format.JSON:
        print_json(found.to_json())
    else:
        say(f"{found.name} is registered", "bold green")
        _print(found)


@app.command("list")
def list_(home: HomeOption = None, output: FormatOption = Format.TABLE) -> None:
    """List the private datasets of this home folder.

    \b
    Examples:
      foedus dataset list
    """
    from foedus.apps.datasets.catalogue import dataset_names, find_dataset

    place = open_shell(home).home
    found: list[Dataset] = []
    damaged: dict[str, str] = {}
    for name in dataset_names(place):
        try:
            found.append(find_dataset(place, name))
        except FoedusError as error:
            damaged[name] = error.message
    if output is Format.JSON:
        faulty = [{"name": name, "damaged": message} for name, message in damaged.items()]
        print_json([*(one.to_json() for one in found), *faulty])
        return
    rows = [
        (
            one.name,
            one.kind,
            f"{one.examples:,}",
            _shape(one),
            sum(map(bool, one.histogram)) or "-",
            one.id[:12],
        )
        for one in found
    ]
    rows += [(name, "damaged", "-", "-", "-", "-") for name in damaged]
    print_table(("name", "kind", "examples", "shape", "labels", "id"), rows, right=("examples", "labels"))
    for name, message in damaged.items():
        say(f"{name}: {message}", "yellow")


@app.command()
def show(
    name: NameArgument,
    check: Annotated[
        bool, typer.Option("--check", help="Read the data again and compare. Exits with 3 when they changed.")
    ] = False,
    public: PublicOption = False,
    home: HomeOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show a private dataset: where it lies, its recipe, its splits and its labels.

    \b
    Examples:
      foedus dataset show spots
      foedus dataset show spots --check
      foedus dataset show spots --public --format json
    """
    from foedus.apps.datasets.catalogue import find_dataset

    found = find_dataset(open_shell(home).home, name)
    if output is Format.JSON:
        print_json(found.public_metadata() if public else found.to_json())
    elif public:
        print_pairs(_pairs(found.public_metadata()))
    else:
        _print(found)
    if check:
        _check(found)


@app.command()
def remove(name: NameArgument, home: HomeOption = None) -> None:
    """Forget a private dataset. The data themselves stay.

    \b
    Examples:
      foedus dataset remove spots
    """
    from foedus.apps.datasets.catalogue import remove as forget

    forget(open_shell(home).home, name)
    say(f"{name} is removed; its data are where they were")


@contextmanager
def show_bytes(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how much was read, in a terminal; yields what to call with bytes done and in all."""
    out = console(sys.stderr)
    if not out.is_terminal or out.is_dumb_terminal:
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=out, transient=True) as bars:
        bar = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)


def _source(shell: Shell, text: str) -> tuple[Path, str, str]:
    """Return the place of the data, and kind and name where a batch job tells them."""
    from foedus.apps.order import Order
    from foedus.apps.submit import job_folder, job_names
    from foedus.launch.folder import OUTPUT
    from foedus.site.settings import whole_path

    path = whole_path(Path(text), "PATH")
    if path.exists() or text not in job_names(shell.home):
        return path, "", ""
    folder = job_folder(shell.home, text)
    if folder.read_result() is None:
        raise InvalidSpec(f"{text} has no result, so its output is not complete")
    return folder.path / OUTPUT, Order.read(folder).dataset_kind, Order.read(folder).dataset or text


def _check(dataset: "Dataset") -> None:
    from foedus.apps.datasets.loading import differences

    with show_bytes("checking") as observer:
        found = differences(dataset, observer)
    if found:
        raise VerificationFailed(dataset.name, f"the data have changed: {found}")
    console(sys.stderr).print("the data are those that were registered", style="green")


def _print(dataset: "Dataset") -> None:
    values = dataset.to_json()
    shown = ("kind", "path", "examples", "shape", "dtype", "ranges", "parts", "recipe", "split")
    files = f"{dataset.files:,} file" + "s" * (dataset.files != 1)
    sizes = f"{files}, {size_text(dataset.size_bytes)}"
    print_pairs([*_pairs({key: values[key] for key in shown}), ("source", sizes), ("id", dataset.id)])
    if any(dataset.histogram):
        names = dataset.label_names
        rows = [
            (
                label,
                names[label] if label < len(names) and len(names) == len(dataset.histogram) else "",
                count,
            )
            for label, count in enumerate(dataset.histogram)
            if count
        ]
        say("")
        print_table(("label", "name", "examples"), rows, right=("label", "examples"))


def _pairs(values: dict[str, Any]) -> list[tuple[str, object]]:
    from foedus.apps.datasets.splits import PARTS

    parts = values["parts"]  # as they were written down: sorted by name
    values = values | {"parts": {name: parts[name] for name in PARTS if name in parts}}
    return [(key.replace("_", " "), _words(value)) for key, value in values.items()]


def _words(value: object) -> str:
    if isinstance(value, dict) and value.keys() == {"step", "args"}:
        return " ".join([value["step"], *(f"{k}={_words(v)}" for k, v in value["args"].items())])
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(one)}" for key, one in value.items())
    if isinstance(value, (list, tuple)):
        separator = "; " if value and isinstance(value[0], dict) else ", "
        return separator.join(_words(one) for one in value) or "none"
    return (
        f"{value:g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )


def _shape(dataset: "Dataset") -> str:
    return " × ".join(map(str, dataset.shape))
