"""The commands about the store: add, get, ls, verify, gc."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from foedus.client.cmd_model import ForceOption, OutOption, check, open_store, read_chunks
from foedus.client.output import Format, print_json, print_table, say, size_text
from foedus.client.shell import CidArgument, FormatOption, HomeOption, open_shell
from foedus.core.errors import FoedusError, VerificationFailed

app = typer.Typer(help="Work with the content-addressed store.", no_args_is_help=True)

_CHUNK_BYTES = 1 << 20


@app.command()
def add(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files to store.")],
    home: HomeOption = None,
) -> None:
    """Store files and print their CIDs; they are pinned.

    \b
    Examples:
      foedus store add model.safetensors
    """
    from foedus.store import DirectoryStore

    shell = open_shell(home)
    for path in files:
        if not path.is_file():
            raise FoedusError(f"there is no file {path}")
    store = DirectoryStore(shell.home.store)
    for path in files:
        say(f"{store.put(_chunks(path))}  {path}")


@app.command()
def get(cid: CidArgument, out: OutOption, home: HomeOption = None, force: ForceOption = False) -> None:
    """Write an object into a file, checked against its CID.

    \b
    Examples:
      foedus store get bafkrei… -o file.bin
    """
    from foedus.client.files import require_free, write_whole

    require_free(out, force)
    store = open_store(open_shell(home))
    say(f"{out}: {size_text(write_whole(out, read_chunks(store, check(cid)), force))}")


@app.command()
def ls(home: HomeOption = None, output: FormatOption = Format.TABLE) -> None:
    """List all objects with their sizes.

    \b
    Examples:
      foedus store ls
      foedus store ls --format json
    """
    store = open_store(open_shell(home))
    found = [(cid, store.size(cid), store.pinned(cid)) for cid in store.ls()]
    if output is Format.JSON:
        print_json([{"cid": cid, "size_bytes": size, "pinned": pinned} for cid, size, pinned in found])
        return
    rows = [(cid, size_text(size), "pinned" if pinned else "") for cid, size, pinned in found]
    print_table(("cid", "size", ""), rows, right=("size",))
    say(f"{len(found)} objects, {size_text(sum(size for _, size, _ in found))}", "dim")


@app.command()
def verify(home: HomeOption = None, output: FormatOption = Format.TABLE) -> None:
    """Check every byte of every object. Exits with 3 if anything is damaged or does not belong there.

    \b
    Examples:
      foedus store verify
    """
    from dataclasses import asdict

    from foedus.store import verify_all

    store = open_store(open_shell(home))
    findings = verify_all(store)
    if output is Format.JSON:
        print_json([asdict(finding) for finding in findings])
    elif findings:
        print_table(("file", "problem"), [(finding.path, finding.problem) for finding in findings])
    else:
        say(f"{len(store.ls())} objects, all intact")
    if findings:
        raise VerificationFailed(findings[0].path, findings[0].problem)


@app.command()
def gc(
    home: HomeOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would go.")] = False,
) -> None:
    """Delete objects that are not pinned. What runs need is pinned.

    \b
    Examples:
      foedus store gc --dry-run
    """
    store = open_store(open_shell(home))
    gone = [cid for cid in store.ls() if not store.pinned(cid)] if dry_run else store.gc()
    for cid in gone:
        say(cid)
    say(f"{len(gone)} objects {'would be' if dry_run else 'were'} deleted", "dim")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from iter(lambda: file.read(_CHUNK_BYTES), b"")
