"""The commands about the chain: blocks, tx, events. They only read, also while another process writes."""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foedus.client.output import Format, print_json, print_pairs, print_table, say, short, time_text
from foedus.client.shell import FormatOption, HomeOption, Shell, open_shell
from foedus.core.errors import FoedusError, InvalidSpec
from foedus.core.records import Event

if TYPE_CHECKING:
    from foedus.chain import ChainReader, Transaction

app = typer.Typer(help="Look at blocks, transactions and events of the chain.", no_args_is_help=True)

LastOption = Annotated[int, typer.Option("--last", metavar="N", min=1, help="How many, the newest.")]
_TX_HASH = re.compile(r"(0x)?[0-9a-fA-F]{64}")
_LONG = re.compile(r"0x[0-9a-fA-F]{40,64}|baf[a-z2-7]{56}")


@app.command()
def blocks(home: HomeOption = None, last: LastOption = 20, output: FormatOption = Format.TABLE) -> None:
    """List blocks, the newest last.

    \b
    Examples:
      foedus chain blocks --last 5
    """
    with _reader(open_shell(home)) as reader:
        head = reader.head().number
        found = list(reader.blocks(max(0, head + 1 - last)))
    if output is Format.JSON:
        print_json([asdict(block) for block in found])
        return
    rows = [
        (
            block.number,
            time_text(block.timestamp),
            short(block.hash),
            len(block.transactions),
            f"{block.gas_used:,}",
        )
        for block in found
    ]
    print_table(
        ("block", "time (UTC)", "hash", "transactions", "gas"), rows, right=("block", "transactions", "gas")
    )


@app.command()
def tx(
    hash: Annotated[str, typer.Argument(metavar="HASH", help="Transaction hash: 0x and 64 hex digits.")],
    home: HomeOption = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """Show one transaction: who called what, what it cost, and its events.

    \b
    Examples:
      foedus chain tx 0x3f…
    """
    if not _TX_HASH.fullmatch(hash):
        raise InvalidSpec(f"{hash[:80]!r} is not a transaction hash", "Expected 0x and 64 hex digits.")
    with _reader(open_shell(home)) as reader:
        found = reader.transaction("0x" + hash.removeprefix("0x").lower())
        if found is None:
            raise FoedusError(f"the chain has no transaction {hash}", "`foedus chain events` shows hashes.")
        names = _names(reader.events())
    if output is Format.JSON:
        print_json(asdict(found))
    else:
        _print_transaction(found, names)


@app.command()
def events(
    home: HomeOption = None,
    last: LastOption = 30,
    name: Annotated[
        str | None, typer.Option("--name", help="Only events of this name.", show_default=False)
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="Only events of this run.", show_default=False)
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """List the contract's events, the newest last.

    \b
    Examples:
      foedus chain events --run mnist-1 --name Registered
      foedus chain events --last 1000 --format json
    """
    shell = open_shell(home)
    number = None if run is None else _run_number(shell, run)
    with _reader(shell) as reader:
        everything = list(reader.events())
    names = _names(everything)
    found = deque(
        (e for e in everything if name in (None, e.name) and number in (None, e.args.get("run"))), maxlen=last
    )
    if output is Format.JSON:
        print_json([asdict(event) for event in found])
        return
    rows = [(e.block, time_text(e.block_time), e.name, _arguments(e.args, names), short(e.tx)) for e in found]
    print_table(("block", "time (UTC)", "event", "arguments", "transaction"), rows, right=("block",))


@contextmanager
def _reader(shell: Shell) -> "Iterator[ChainReader]":
    from foedus.chain import ChainReader

    if not shell.home.chain.exists():
        raise FoedusError(
            f"there is no chain in {shell.home.root} yet", "Another folder? Use --home or FOEDUS_HOME."
        )
    reader = ChainReader.open(shell.home.chain)
    try:
        yield reader
    finally:
        reader.close()


def _run_number(shell: Shell, run: str) -> int:
    from foedus.client.status import number_on_chain

    number = number_on_chain(shell.home, run)
    if number is None:
        raise FoedusError(f"run {run} has not reached the chain yet")
    return number


def _names(events: Iterable[Event]) -> Mapping[str, str]:
    """Return what members are called, by address."""
    return {str(e.args["account"]): str(e.args["name"]) for e in events if e.name == "MemberSet"}


def _arguments(args: Mapping[str, Any], names: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {_readable(value, names)}" for key, value in args.items())


def _readable(value: object, names: Mapping[str, str]) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    return names.get(text) or (short(text) if _LONG.fullmatch(text) else text or "''")


def _print_transaction(found: "Transaction", names: Mapping[str, str]) -> None:
    receipt = found.receipt
    print_pairs(
        [
            ("transaction", receipt.tx),
            ("block", f"{receipt.block}, {time_text(receipt.block_time)} UTC"),
            ("from", f"{names[found.sender]} ({found.sender})" if found.sender in names else found.sender),
            ("call", found.function or "deployment of the contract"),
            ("state", "done" if receipt.error is None else f"refused: {receipt.error}"),
            ("gas", f"{receipt.gas_used:,}"),
        ]
    )
    if found.args:
        say("arguments", "bold")
        print_pairs(((key, _full(value, names)) for key, value in found.args.items()), "  ")
    for event in receipt.events:
        say(f"event {event.name}", "bold")
        print_pairs(((key, _full(value, names)) for key, value in event.args.items()), "  ")


def _full(value: object, names: Mapping[str, str]) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    return f"{names[text]} ({text})" if text in names else text
