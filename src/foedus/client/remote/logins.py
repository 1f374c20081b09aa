"""Which platforms one is signed in to: a file that only its owner can read."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from foedus.client.remote.connection import checked_url
from foedus.core.errors import FoedusError, InvalidSpec

SERVER: Final = "FOEDUS_SERVER"
TOKEN: Final = "FOEDUS_TOKEN"  # noqa: S105 - the name of a variable
"""Environment variables that come before the file."""
HINT: Final = "Sign in first: foedus login URL."


@dataclass(frozen=True, slots=True)
class Login:
    """A platform, and a token for it."""

    url: str
    token: str

    @property
    def prefix(self) -> str:
        """What the account page names the token by."""
        return self.token.split("_")[1] if self.token.count("_") > 1 else ""


def logins_file() -> Path:
    """Return where tokens are kept: `foedus/servers.json` in the folder for settings."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "foedus" / "servers.json"


def find_login(url: str = "") -> Login:
    """Return the login for a platform, or for the one that was signed in to last.

    `FOEDUS_SERVER` and `FOEDUS_TOKEN` come first; that token goes to that platform alone, and without
    `FOEDUS_SERVER` to the one that is named. Raises `InvalidSpec` when there is none.
    """
    told, token = os.environ.get(SERVER, ""), os.environ.get(TOKEN, "")
    wanted = url or told
    if not token:
        return kept_login(wanted)
    if not wanted:
        raise InvalidSpec(
            f"{TOKEN} is set, but not for which platform", f"Set {SERVER}, too, or unset {TOKEN}."
        )
    if told and checked_url(wanted, insecure=True) != checked_url(told, insecure=True):
        return kept_login(wanted)
    return Login(checked_url(wanted), token)


def kept_login(url: str = "") -> Login:
    """Return the login that was kept for a platform, or the last one. Raises `InvalidSpec`."""
    known = _read()
    wanted = checked_url(url, insecure=True) if url else str(known.get("default") or "")
    if not wanted:
        raise InvalidSpec("no platform is named, and you are signed in to none", HINT)
    found = str(_tokens(known).get(wanted, ""))
    if not found:
        raise InvalidSpec(f"you are not signed in to {wanted}", f"Sign in first: foedus login {wanted}.")
    return Login(wanted, found)


def keep_login(login: Login) -> Path:
    """Remember a login, and take it for the one that is meant from now on."""
    tokens = {**_tokens(_read()), login.url: login.token}
    return _write({"default": login.url, "tokens": tokens})


def forget_login(url: str) -> None:
    """Forget a login."""
    known = _read()
    tokens = {key: one for key, one in _tokens(known).items() if key != url}
    default = known.get("default")
    _write({"default": next(iter(tokens), None) if default == url else default, "tokens": tokens})


def _tokens(known: Mapping[str, Any]) -> dict[str, str]:
    found = known.get("tokens", {})
    return dict(found) if isinstance(found, dict) else {}


def _read() -> Mapping[str, Any]:
    path = logins_file()
    try:
        if path.stat().st_mode & 0o077:
            raise FoedusError(f"{path} can be read by others", f"Run: chmod 600 {path}")
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise FoedusError(f"{path} is damaged: {error}", "Remove it and sign in again.") from error
    return found if isinstance(found, dict) else {}


def _write(known: Mapping[str, Any]) -> Path:
    path = logins_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    parts = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(parts, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(known, file, indent=2)
    parts.replace(path)
    return path
