"""The blocks of a summary: which of the chain's blocks concern a run, and what happened in them, in words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from foedus.chain import ChainReader
from foedus.core.ids import TxHash
from foedus.core.records import WAD, Block, Choice, Event, Phase, Role
from foedus.rounds.summary_records import BlockSummary
from foedus.rounds.view import RunView

_WHO = {
    "Registered": "client",
    "Declined": "client",
    "Proposed": "proposer",
    "Voted": "voter",
    "RewardPaid": "client",
}


def concerns(event: Event, run: RunView) -> bool:
    """Tell whether an event is about this run or its project."""
    if "run" in event.args:
        return event.args["run"] == run.run
    return event.args.get("project") == run.project


def summarise_blocks(reader: ChainReader, events: Sequence[Event], run: RunView) -> list[BlockSummary]:
    """Return the blocks of a run in order; also those that hold nothing but a refused transaction of it."""
    ours: dict[int, list[Event]] = {}
    for event in events:
        if concerns(event, run):
            ours.setdefault(event.block, []).append(event)
    if not ours:
        return []
    done = {event.tx for event in events}
    found = []
    for block in reader.blocks(min(ours), max(ours) + 2):
        said = [*_grouped(_event_words(ours.get(block.number, ()), run))]
        refused = [*_refused(reader, [tx for tx in block.transactions if tx not in done], run)]
        if said or refused:
            found.append(_block(block, said + refused))
    return found


def _block(block: Block, happened: Sequence[str]) -> BlockSummary:
    return BlockSummary(
        block.number, block.timestamp, block.hash, tuple(map(str, block.transactions)), tuple(happened)
    )


def _event_words(events: Iterable[Event], run: RunView) -> Iterator[tuple[str, str]]:
    """Yield (who, what) of each event; nobody for what the contract does by itself."""
    for event in events:
        who = run.names.get(str(event.args.get(_WHO.get(event.name, ""))), "")
        what = _words(event)
        if what:
            yield who, what


def _grouped(words: Iterable[tuple[str, str]]) -> Iterator[str]:
    for what, group in groupby(words, key=lambda pair: pair[1]):
        names = [who for who, _ in group if who]
        yield f"{_listed(names)} {what}" if names else what


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _words(event: Event) -> str:
    args = {name: str(value) for name, value in event.args.items()}
    match event.name:
        case "ProjectCreated":
            return f"project {args['name']} created"
        case "MemberSet":
            return f"{args['name']} enrolled as {Role(int(args['role'])).name.lower()}"
        case "RunStarted":
            return f"run of {args['rounds']} rounds started"
        case "RoundOpened":
            return f"round {args['round']} opened"
        case "Registered":
            return "registered an update"
        case "Declined":
            return f"declined ({args['reason']})"
        case "StepClosed":
            return "aggregation could begin" if int(args["registrations"]) else "closed without updates"
        case "Proposed":
            return "proposed a candidate"
        case "Voted":
            return f"voted {Choice(int(args['choice'])).name.lower()}"
        case "RewardPaid":
            return f"earned {int(args['amount']) / WAD:.4g}"
    return _words_of_ends(event.name, args)


def _words_of_ends(name: str, args: Mapping[str, str]) -> str:
    match name:
        case "Finalized":
            outcome = Phase(int(args["outcome"])).name.lower()
            version = f": version {args['version']}" if outcome == "accepted" else ""
            return f"round {args['round']} {outcome}{version}"
        case "GateEased":
            return f"gate eased to {int(args['beta_ppb']) / 1e9:g}"
        case "Alarm":
            return f"alarm: {args['rejections']} rejections in a row"
        case "RunEnded":
            return f"run ended ({args['reason'] or 'completed'})"
        case "LeadProposed" | "LeadChanged":
            return "a new lead was proposed" if name == "LeadProposed" else "the lead changed"
    return ""


def _refused(reader: ChainReader, hashes: Iterable[TxHash], run: RunView) -> Iterator[str]:
    """Tell of transactions that left no event because the contract refused them."""
    for tx in hashes:
        sent = reader.transaction(tx)
        if sent is None or sent.receipt.error is None or sent.args.get("run") != run.run:
            continue
        who = run.names.get(sent.sender, sent.sender)
        yield f"{sent.function} by {who} was refused: {sent.receipt.error}"
