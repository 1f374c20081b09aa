"""The commands about models: pull, show, predict."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foedus.client.output import Format, print_json, print_pairs, print_table, say, short, size_text
from foedus.client.shell import CidArgument, FormatOption, HomeOption, Shell, open_shell
from foedus.core.errors import FoedusError, ObjectDamaged, ObjectMissing
from foedus.core.ids import Cid

if TYPE_CHECKING:
    from foedus.store import DirectoryStore, ModelManifest

app = typer.Typer(help="Download and inspect models.", no_args_is_help=True)

OutOption = Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="File to write.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]

_CHUNK_BYTES = 1 << 20
_SHOWN_VERSIONS = 20
_NOT_A_MODEL = "This is no model's CID. `foedus status RUN` shows the CID of a run's current model."


@app.command()
def pull(cid: CidArgument, out: OutOption, home: HomeOption = None, force: ForceOption = False) -> None:
    """Write a model's weights (safetensors) into a file.

    CID is that of a model version, as `foedus status` shows it; of any other object its bytes are written.
    Every byte is checked against its hash, and the file appears complete or not at all.

    \b
    Examples:
      foedus model pull bafkrei… -o model.safetensors
    """
    from foedus.client.files import require_free, write_whole

    require_free(out, force)
    shell = open_shell(home)
    store, found = open_store(shell), check(cid)
    manifest = _manifest_or_none(store, found)
    content = found if manifest is None else manifest.weights
    size = write_whole(out, read_chunks(store, content), force)
    if manifest is None:
        say(f"{out}: {size_text(size)}, object {found} as it is")
        return
    say(f"{out}: {size_text(size)}, weights of version {manifest.version}")
    print_pairs(_lineage_pairs(store, found))


@app.command()
def show(cid: CidArgument, home: HomeOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show what a model version is made of, and its lineage back to version 0.

    \b
    Examples:
      foedus model show bafkrei…
      foedus model show bafkrei… --format json
    """
    store, found = open_store(open_shell(home)), check(cid)
    if _manifest_or_none(store, found) is None:
        raise FoedusError(f"{found} is not the manifest of a model", _NOT_A_MODEL)
    if output is Format.JSON:
        from foedus.store import lineage

        versions: list[dict[str, Any]] = [
            {"cid": one, **manifest.to_json()} for one, manifest in lineage(store, found)
        ]
        print_json({**versions[0], "lineage": versions[1:]})
    else:
        _print_model(store, found)


@app.command()
def predict(
    model: Annotated[
        str,
        typer.Argument(metavar="CID|RUN", help="CID of a model's version, or a run, for its current model."),
    ],
    dataset: Annotated[str, typer.Option(metavar="NAME", help="Name of the private dataset.")],
    part: Annotated[str, typer.Option(metavar="PART", help="train, val, test or all.")] = "all",
    limit: Annotated[
        int | None, typer.Option("-n", "--limit", metavar="N", min=1, help="Only the first so many examples.")
    ] = None,
    home: HomeOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Predict labels, masks or fields of your own private data, as a batch job that nobody else sees.

    It writes predictions (CSV; PNG for each mask, .npy for each field), pictures and, where the data have
    labels by the model's numbers, masks or fields, scores into its job folder.

    \b
    Examples:
      foedus model predict demo-1 --dataset digits
      foedus model predict bafkrei… --dataset digits --part test -n 100 --format json
    """
    from foedus.apps.builtin import FL_PREDICT
    from foedus.client.app_jobs import run_application

    shell = open_shell(home)
    given: dict[str, object] = {"model": _version_of(shell, model), "dataset": dataset, "part": part}
    if limit is not None:
        given["limit"] = limit
    run_application(shell, FL_PREDICT, given, output)


def _version_of(shell: Shell, text: str) -> Cid:
    """Return the CID that is given, or that of a run's current model."""
    if text.startswith("baf"):
        return check(text)
    from foedus.client.status import run_status

    found = run_status(shell.home, text).model
    if found is None:
        raise FoedusError(f"run {text} has no model yet")
    return check(found)


def open_store(shell: Shell) -> "DirectoryStore":
    """Open the home folder's store. Raises `FoedusError` when there is none, and creates none."""
    from foedus.store import DirectoryStore

    if not shell.home.store.is_dir():
        hint = "Another folder? Use --home or FOEDUS_HOME."
        raise FoedusError(f"there is no store in {shell.home.root} yet", hint)
    return DirectoryStore(shell.home.store)


def check(text: str) -> Cid:
    """Return the text as a CID. Raises `InvalidCid` for anything else."""
    from foedus.store import check_cid

    return check_cid(text)


def read_chunks(store: "DirectoryStore", cid: Cid) -> Iterator[bytes]:
    """Yield an object's bytes, each checked before it is yielded."""
    with store.open(cid) as stream:
        yield from iter(lambda: stream.read(_CHUNK_BYTES), b"")


def _manifest_or_none(store: "DirectoryStore", cid: Cid) -> "ModelManifest | None":
    """Return the manifest; None when the object is intact but something else. Raises `ObjectDamaged`."""
    from foedus.store import get_manifest

    try:
        return get_manifest(store, cid)
    except ObjectDamaged:
        store.verify(cid)
        return None


def _lineage_pairs(store: "DirectoryStore", cid: Cid) -> list[tuple[str, object]]:
    from foedus.store import lineage

    versions: list[ModelManifest] = []
    end = ""
    try:
        versions.extend(manifest for _, manifest in lineage(store, cid))
    except (ObjectMissing, ObjectDamaged) as error:  # an older version: this one has just been read
        end = f"; there it ends: {error.message}"
    newest, clients = versions[0], {used.client for one in versions for used in one.updates}
    return [
        ("manifest", cid),
        ("weights", newest.weights),
        ("algorithm", _algorithm(newest)),
        ("made from", f"{sum(len(one.updates) for one in versions)} updates of {len(clients)} clients"),
        ("lineage", f"{len(versions) - 1} versions back to version {versions[-1].version}{end}"),
    ]


def _algorithm(manifest: "ModelManifest") -> str:
    params = ", ".join(f"{name} {value}" for name, value in manifest.algorithm.params.items())
    return f"{manifest.algorithm.name} ({params})" if params else manifest.algorithm.name


def _print_model(store: "DirectoryStore", cid: Cid) -> None:
    from foedus.core.records import WAD
    from foedus.store import get_manifest, lineage

    manifest = get_manifest(store, cid)
    size = size_text(store.size(manifest.weights)) if store.has(manifest.weights) else "not in this store"
    say(f"version {manifest.version}", "bold")
    print_pairs([("model spec", manifest.model), *_lineage_pairs(store, cid), ("size", size)])
    if manifest.updates:
        rows = [
            (used.client, used.num_examples, used.num_shared, f"{used.reward / WAD:.4f}", short(used.cid))
            for used in manifest.updates
        ]
        say("")
        heads = ("client", "examples", "of them shared", "reward", "update")
        print_table(heads, rows, right=heads[1:4])
    if manifest.refused:
        say("")
        print_table(("refused", "why"), manifest.refused.items())
    before: list[tuple[Cid, ModelManifest]] = []
    with suppress(ObjectMissing, ObjectDamaged):  # the lines above tell where the lineage ends
        before.extend(islice(lineage(store, cid), 1, _SHOWN_VERSIONS + 1))
    if before:
        older = [(one.version, len(one.updates), short(name), short(one.weights)) for name, one in before]
        say("")
        print_table(
            ("version", "updates", "manifest", "weights"), older, "made from", right=("version", "updates")
        )
