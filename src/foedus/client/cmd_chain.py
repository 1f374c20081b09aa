"""The commands about the chain: blocks, tx, events. They only read, also while another process writes."""

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from foedus.client.output import Format, print_json, print_pairs, print_table, say, short, time_text
from foedus.client.shell import FormatOption, HomeOption, Shell, open_shell
from foedus.core.errors import FoedusError, InvalidSpec

if TYPE_CHECKING:
    from foedus.chain import ChainReader, Transaction
    from foedus.core.records import Event
    from foedus.rounds.home import Home

app = typer.Typer(help="Look at blocks, transactions and events of the chain.", no_args_is_help=True)

LastOption = Annotated[int, typer.Option("--last", metavar="N", min=1, help="How many, the newest.")]
_TX_HASH = re.compile(r"(0x)?[0-9a-fA-F]{64}")


@app.command()
def blocks(home: HomeOption = None, last: LastOption = 20, output: FormatOption = Format.TABLE) -> None:
    """List blocks, the newest last.

    \b
    Examples:
      foedus chain blocks --last 5
    """
    from dataclasses import asdict

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
    from dataclasses import asdict

    from foedus.client.chain_words import member_names

    if not _TX_HASH.fullmatch(hash):
        raise InvalidSpec(f"{hash[:80]!r} is not a transaction hash", "Expected 0x and 64 hex digits.")
    with _reader(open_shell(home)) as reader:
        found = reader.transaction("0x" + hash.removeprefix("0x").lower())
        if found is None:
            raise FoedusError(f"the chain has no transaction {hash}", "`foedus chain events` shows hashes.")
        names = member_names(reader.events())
    if output is Format.JSON:
        print_json(asdict(found))
    else:
        _print_transaction(found, names)


@app.command()
def events(
    home: HomeOption = None,
    last: LastOption = 30,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Only events of this name.", show_default=False),
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Only events of this run.", show_default=False)
    ] = None,
    output: FormatOption = Format.TABLE,
) -> None:
    """List the contract's events, the newest last.

    \b
    Examples:
      foedus chain events --run mnist-1 --name Registered
      foedus chain events --last 1000 --format json
    """
    from dataclasses import asdict

    from foedus.client.chain_words import brief, member_names

    shell = open_shell(home)
    if run is not None:
        shell.home.run_folder(run)
    with _reader(shell) as reader:
        everything = list(reader.events())
    number = None if run is None else _run_number(shell.home, everything, run)
    names = member_names(everything)
    matching = (e for e in everything if name in (None, e.name) and number in (None, e.args.get("run")))
    found = deque(matching, maxlen=last)
    if output is Format.JSON:
        print_json([asdict(event) for event in found])
        return
    rows = [(e.block, time_text(e.block_time), e.name, brief(e.args, names), short(e.tx)) for e in found]
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


def _run_number(home: "Home", events: "Sequence[Event]", run: str) -> int:
    from foedus.rounds.locate import locate

    numbers = locate(home, run, events)
    if numbers is None:
        raise FoedusError(f"run {run} has not reached the chain yet")
    return numbers[1]


def _print_transaction(found: "Transaction", names: Mapping[str, str]) -> None:
    from foedus.client.chain_words import full

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
        print_pairs(((key, full(key, value, names)) for key, value in found.args.items()), "  ")
    for event in receipt.events:
        say(f"event {event.name}", "bold")
        print_pairs(((key, full(key, value, names)) for key, value in event.args.items()), "  ")
