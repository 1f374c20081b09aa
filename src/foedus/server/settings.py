"""Settings of the platform: the sections `[server]` and `[oidc]` of the home folder's `config.toml`."""

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from foedus.core.errors import InvalidSpec
from foedus.core.faults import in_words
from foedus.learn.arguments import hint_for
from foedus.site.settings import CONFIG_FILE, Settings


def _web_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise ValueError("must be like https://foedus.example.org, without a path")
    return url.rstrip("/")


WebAddress = Annotated[str, AfterValidator(_web_address)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSection(_Section):
    """Where the platform listens, and what it lets people do."""

    database: str | None = Field(
        None, description="SQLAlchemy URL; platform.sqlite in the home folder if absent"
    )
    host: str = Field(
        "127.0.0.1", description="address to listen on; leave it to a reverse proxy to be public"
    )
    port: int = Field(8640, ge=1, le=65535)
    public_url: WebAddress | None = Field(None, description="how browsers reach it, behind a proxy")
    site_name: str = Field("Foedus", min_length=1, max_length=60)
    message: str = Field("", max_length=2000, description="message of the day on the sign-in page")
    sign_up: Literal["open", "approval", "closed"] = Field(
        "approval",
        description="whether people may make accounts: at once, after an administrator's approval, not",
    )
    data_roots: tuple[Path, ...] = Field(
        (), description="folders below which members' data may lie; {user} is replaced by the member's name"
    )
    session_idle_h: float = Field(12, gt=0, le=24 * 30, description="a browser is signed out after that long")
    session_max_h: float = Field(24 * 7, gt=0, le=24 * 365)
    body_limit_mb: float = Field(8, gt=0, le=1024, description="largest request")
    runs_at_once: int = Field(4, ge=1, le=64, description="runs that one worker drives at the same time")
    remote_user_header: str | None = Field(
        None, description="header in which a trusted proxy names the user; only from the loopback address"
    )
    metrics_token_file: Path | None = Field(None, description="file with the token that /metrics asks for")


class OidcSection(_Section):
    """A provider of identities."""

    name: str = Field("single sign-on", max_length=40, description="on the button")
    issuer: str
    client_id: str
    client_secret_file: Path
    scopes: str = "openid profile email"
    groups_claim: str = "groups"
    admin_groups: tuple[str, ...] = ()
    member_groups: tuple[str, ...] = Field((), description="who may sign in; everybody if empty")


class ServerSettings(_Section):
    """All settings of the platform."""

    server: ServerSection = ServerSection()
    oidc: OidcSection | None = None


SECTIONS = tuple(ServerSettings.model_fields)


def server_settings(settings: Settings) -> ServerSettings:
    """Read the platform's sections. Raises `InvalidSpec` naming key and fault."""
    values = {key: value for key, value in settings.sections.items() if key in SECTIONS}
    try:
        return ServerSettings.model_validate(values)
    except ValidationError as error:
        fault: dict[str, Any] = dict(error.errors()[0])
        place = ".".join(str(part) for part in fault["loc"])
        where = f"{settings.home / CONFIG_FILE}: {place}"
        if fault["type"] == "extra_forbidden":
            section = OidcSection if place.startswith("oidc") else ServerSection
            hint = hint_for(str(fault["loc"][-1]), tuple(section.model_fields))
            raise InvalidSpec(f"{where}: unknown key", hint) from error
        raise InvalidSpec(f"{where}: {in_words(fault)}") from error


def database_url(settings: Settings, server: ServerSettings) -> str:
    """Return the database's URL."""
    return server.server.database or f"sqlite:///{settings.home / 'platform.sqlite'}"
