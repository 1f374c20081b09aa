"""The commands about signing in to a platform: login, logout, whoami."""

import sys
from typing import Annotated

import typer

from foedus.client.output import Format, print_json, print_pairs, say
from foedus.client.shell import FormatOption
from foedus.core.errors import InvalidSpec

ServerOption = Annotated[
    str,
    typer.Option(
        "--server",
        metavar="URL",
        help="The platform; else FOEDUS_SERVER, else the one you signed in to last.",
        show_default=False,
    ),
]


def login(
    url: Annotated[str, typer.Argument(metavar="URL", help="Address of the platform.")],
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Read the token from standard input instead of asking.")
    ] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow plain HTTP over a network, where others may read along.")
    ] = False,
) -> None:
    """Sign in to a platform with a token made on its account page.

    The token is kept in a file that only you can read. FOEDUS_SERVER and FOEDUS_TOKEN come before it.

    \b
    Examples:
      foedus login https://foedus.example.org
      foedus login https://foedus.example.org --token-stdin < token.txt
    """
    from foedus.client.remote.client import Client
    from foedus.client.remote.connection import checked_url
    from foedus.client.remote.logins import Login, keep_login

    origin = checked_url(url, insecure)
    if token_stdin:
        token = sys.stdin.readline().strip()
    else:
        say(f"Make a token on {origin}/account (scope: write, to change anything) and paste it here.")
        token = typer.prompt("Token", hide_input=True).strip()
    if not token.startswith("fed_") or not token.isascii() or not token.isprintable():
        raise InvalidSpec("that is no token: they begin with fed_", f"Make one on {origin}/account.")
    with Client(origin, token, insecure=True) as client:
        me = client.me()
    path = keep_login(Login(origin, token))
    say(f"Signed in to {origin} as {me['name']}; the token may {', '.join(me['scopes'])}. Kept in {path}.")


def logout(server: ServerOption = "") -> None:
    """Forget the token of a platform. It stays valid until you end it on the account page.

    \b
    Examples:
      foedus logout
    """
    from foedus.client.remote.logins import forget_login, kept_login

    found = kept_login(server)
    forget_login(found.url)
    say(f"Forgot the token of {found.url}. End it, too, on {found.url}/account ({found.prefix}).")


def whoami(server: ServerOption = "", output: FormatOption = Format.TABLE) -> None:
    """Say to which platform you are signed in, and as whom.

    \b
    Examples:
      foedus whoami
    """
    from foedus.client.remote.client import Client
    from foedus.client.remote.logins import find_login

    login = find_login(server)
    with Client(login.url, login.token, insecure=True) as client:  # said when it was signed in to
        mine = (one for one in client.connection.each("tokens") if one["prefix"] == login.prefix)
        token = next(mine, {"expires_at": None})
        me = {**client.me(), "server": login.url, "expires_at": token["expires_at"]}
    if output is Format.JSON:
        print_json(me)
        return
    named = ("server", "name", "display_name", "site", "state", "address")
    print_pairs([(key, me[key]) for key in named if me.get(key)])
    print_pairs([("token may", ", ".join(me["scopes"])), ("until", me["expires_at"] or "it is ended")])
