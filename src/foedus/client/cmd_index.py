"""The commands about the platform's index of the chain: rebuild, status."""

from dataclasses import asdict

import typer

from foedus.client.output import Format, print_json, print_pairs, say
from foedus.client.shell import FormatOption, HomeOption, open_shell

app = typer.Typer(help="Look after the platform's index of the chain.", no_args_is_help=True)


@app.command()
def rebuild(home: HomeOption = None) -> None:
    """Empty the index and read the whole chain again. Pages lack what is not read yet meanwhile.

    \b
    Examples:
      foedus index rebuild
    """
    from foedus.server.index import rebuild as rebuild_index
    from foedus.server.platform import open_platform

    with open_platform(open_shell(home).settings) as platform:
        say(f"{rebuild_index(platform):,} blocks read")


@app.command()
def status(home: HomeOption = None, output: FormatOption = Format.TABLE) -> None:
    """Show how far the index and the chain go.

    \b
    Examples:
      foedus index status
    """
    from foedus.server.index import index_state
    from foedus.server.platform import open_platform

    with open_platform(open_shell(home).settings) as platform, platform.reading() as db:
        state = index_state(platform, db)
    if output is Format.JSON:
        print_json({**asdict(state), "is_behind": state.is_behind})
        return
    chain = state.problem if state.chain is None else f"block {state.chain}"
    indexed = "nothing yet" if state.indexed < 0 else f"block {state.indexed}"
    word = "unknown" if state.chain is None else "behind" if state.is_behind else "current"
    print_pairs([("chain", chain), ("index", indexed), ("state", word)])
