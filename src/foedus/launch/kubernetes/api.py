"""The calls to the API server that the launcher needs, by the official client, each with a time limit.

Answers are read as plain JSON: the client's own types would refuse what a newer server says, and take longer.
"""

import importlib.util
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from foedus.core.canonical import Json
from foedus.core.errors import FoedusError, InvalidSpec
from foedus.launch.cluster import Unreachable
from foedus.launch.kubernetes._json import Object, each, lines, part, text
from foedus.launch.kubernetes.site import KubernetesSite

_ANSWER_LIMIT, _LOG_LIMIT, _LOG_LINES = 64 << 20, 64 << 10, 2000  # bytes, bytes, lines
_PAGE, _MOST_PAGES, _TRIES = 500, 200, 3
_LONGEST_PAUSE_S = 60.0
_INSTALL = 'Install it: pip install "foedus[kubernetes]"'
_SERVICE_HOST = "KUBERNETES_SERVICE_HOST"  # is set in every pod


class Rejected(FoedusError):
    """The API server understood and said no. `status` is HTTP's, `reason` its own word. Permanent."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects as they were at one moment; `now` is that moment by the server's clock."""

    items: list[Object]
    now: float


@dataclass(frozen=True, slots=True)
class _Client:
    batch: Any  # the official client is written without useful types
    core: Any
    failures: tuple[type[Exception], ...]  # what it raises besides an answer that says no
    refusal: type[Exception]


class Api:
    """One namespace of a cluster. Methods raise `Rejected` or `Unreachable`; see `foedus.launch.cluster`."""

    def __init__(self, site: KubernetesSite) -> None:
        self._site = site
        self._client: _Client | None = None
        self._quiet_until = 0.0

    def create_job(self, manifest: Mapping[str, Json]) -> Object:
        """Create the Job and return it. A field that the server does not know is an error, never dropped."""
        options = {"body": dict(manifest), "field_validation": "Strict"}
        return _parsed(self._call("batch", "create_namespaced_job", **options)[0])

    def read_job(self, name: str) -> Object:
        """Return the Job."""
        return _parsed(self._call("batch", "read_namespaced_job", name=name)[0])

    def delete_job(self, name: str, policy: str) -> None:
        """Delete the Job, and its pods before it ("Foreground") or after ("Background")."""
        self._call("batch", "delete_namespaced_job", name=name, propagation_policy=policy)

    def jobs(self, selector: str) -> Listing:
        """Return the Jobs with these labels."""
        return self._listed("batch", "list_namespaced_job", label_selector=selector)

    def pods(self, selector: str) -> Listing:
        """Return the pods with these labels."""
        return self._listed("core", "list_namespaced_pod", label_selector=selector)

    def warnings(self) -> Listing:
        """Return the warnings among the namespace's recent events."""
        return self._listed("core", "list_namespaced_event", field_selector="type=Warning")

    def log(self, pod: str) -> str:
        """Return the last 64 KiB, and 2000 lines, of a pod's output."""
        data, _ = self._call("core", "read_namespaced_pod_log", name=pod, tail_lines=_LOG_LINES)
        return data[-_LOG_LIMIT:].decode(errors="replace")

    # --- calling ---

    def _listed(self, group: str, function: str, **options: object) -> Listing:
        """Return all pages; a list that changes too much under way (410) is begun again."""
        for _ in range(_TRIES):
            now: list[float] = []
            try:
                return Listing(list(self._pages(group, function, options, now)), now[0])
            except Rejected as error:
                if error.status != 410:
                    raise
        raise Unreachable("Kubernetes' lists change too quickly to be read (410)")

    def _pages(
        self, group: str, function: str, options: Mapping[str, object], now: list[float]
    ) -> Iterator[Object]:
        more: dict[str, object] = {}
        for _ in range(_MOST_PAGES):
            data, moment = self._call(group, function, limit=_PAGE, **options, **more)
            now.append(moment)
            answer = _parsed(data)
            if not isinstance(part(answer, "items"), list):
                raise Unreachable("Kubernetes answered a question for a list with something else")
            yield from each(answer, "items")
            token = part(answer, "metadata", "continue")
            if not token:
                return
            more = {"_continue": str(token)}
        raise Unreachable(f"Kubernetes' list has more than {_MOST_PAGES * _PAGE} entries")

    def _call(self, group: str, function: str, **options: object) -> tuple[bytes, float]:
        """Call the client's function for our namespace; return the answer and the server's time."""
        self._keep_quiet()
        client = self._connected()
        call: Callable[..., Any] = getattr(getattr(client, group), function)
        limit_s = self._site.timeout_s
        try:
            response = call(
                namespace=self._site.namespace,
                _preload_content=False,
                _request_timeout=(limit_s, limit_s),
                **options,
            )
            data: bytes = response.read(_ANSWER_LIMIT + 1, decode_content=False)
        except client.refusal as error:
            raise self._judged(error) from error
        except client.failures as error:
            raise Unreachable(f"Kubernetes does not answer: {_words(error, limit_s)}") from error
        if len(data) > _ANSWER_LIMIT:
            response.close()
            raise Unreachable(f"Kubernetes answered with more than {_ANSWER_LIMIT:,} bytes")
        return data, _date(response.headers)

    def _connected(self) -> _Client:
        """Return the client, made when it is first needed: that may run a login program and take long."""
        if self._client is None:
            self._client = _connected(self._site)
        return self._client

    def _keep_quiet(self) -> None:
        left = self._quiet_until - time.monotonic()
        if left > 0:
            raise Unreachable(f"Kubernetes is overloaded and asked to be left alone for {left:.0f} s more")

    def _judged(self, error: Any) -> FoedusError:  # noqa: ANN401 - the client's exception
        """Return what an answer other than success means."""
        status = error.status if type(error.status) is int else 0
        said = _body(error)
        message = text(said, "message") or text({"reason": error.reason}, "reason") or f"HTTP status {status}"
        pause_s = _retry_after(error.headers)
        if pause_s and (status == 429 or status >= 500):
            self._quiet_until = time.monotonic() + pause_s
        if status == 401:
            self._client = None  # the kubeconfig is read again: its token may be new
            return Unreachable(
                "Kubernetes does not accept our credentials (401)", "Renew them in kubeconfig."
            )
        if status in (400, 403, 404, 405, 409, 410, 413, 415, 422):
            return Rejected(status, text(said, "reason"), message)
        if status == 429:
            return Unreachable("Kubernetes is overloaded (429)")
        return Unreachable(f"Kubernetes does not answer properly ({status}): {message}")


def require_client() -> None:
    """Raise `InvalidSpec` unless the official client is installed. It is not loaded."""
    if importlib.util.find_spec("kubernetes") is None:
        raise InvalidSpec("the Kubernetes client is not installed", _INSTALL)


def _connected(site: KubernetesSite) -> _Client:
    """Load the client and its credentials, without asking the server anything. Raises `Unreachable`."""
    try:
        names = ("kubernetes.client", "kubernetes.config", "urllib3.exceptions", "yaml")
        client, config, urllib3, yaml = map(importlib.import_module, names)
    except ImportError as error:
        raise Unreachable(f"the Kubernetes client cannot be loaded: {error}", _INSTALL) from error
    settings = client.Configuration()
    settings.retries = 0  # the launcher repeats, and says so; no redirection takes our credentials elsewhere
    settings.connection_pool_maxsize = 4
    try:
        _load(config, settings, site)
    except Exception as error:  # whatever a damaged file, or a login program, makes the client raise
        where = site.kubeconfig or "the usual kubeconfig"
        said = " ".join(lines({"said": str(error)}, "said").split())
        hint = "Try it: kubectl --context=… get jobs. The keys are kubernetes.kubeconfig and .context."
        raise Unreachable(f"Kubernetes cannot be reached by {where}: {said}", hint) from error
    api = client.ApiClient(settings)
    failures = (OSError, ValueError, urllib3.HTTPError, config.ConfigException, yaml.YAMLError)
    return _Client(client.BatchV1Api(api), client.CoreV1Api(api), failures, client.ApiException)


def _load(config: Any, settings: Any, site: KubernetesSite) -> None:  # noqa: ANN401 - the client's modules
    usual = os.path.expanduser(os.environ.get("KUBECONFIG") or "~/.kube/config")
    if site.kubeconfig is None and _SERVICE_HOST in os.environ and not os.path.exists(usual):
        config.load_incluster_config(client_configuration=settings)
        return
    config.load_kube_config(
        config_file=str(site.kubeconfig) if site.kubeconfig else usual,
        context=site.context or None,
        client_configuration=settings,
        persist_config=False,
    )


def _parsed(data: bytes) -> Object:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unreachable("Kubernetes answered something that is not JSON") from error
    if not isinstance(value, dict):
        raise Unreachable("Kubernetes answered something that is no object")
    return value


def _body(error: Any) -> object:  # noqa: ANN401 - the client's exception
    body = error.body if isinstance(error.body, str | bytes) else ""
    try:
        return json.loads(body[:_LOG_LIMIT])
    except (ValueError, RecursionError):
        return {"message": body[:_LOG_LIMIT]} if isinstance(body, str) else None


def _retry_after(headers: Any) -> float:  # noqa: ANN401 - urllib3's
    value = headers.get("Retry-After", "") if headers is not None else ""
    return min(float(value), _LONGEST_PAUSE_S) if isinstance(value, str) and value.isdecimal() else 0.0


def _date(headers: Any) -> float:  # noqa: ANN401 - urllib3's
    """Return the server's time: Jobs' times are its clock's, which ours may differ from."""
    try:
        return parsedate_to_datetime(headers.get("Date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return time.time()


def _words(error: Exception, limit_s: float) -> str:
    reason = getattr(error, "reason", None) or error
    kind = type(reason).__name__
    if "Timeout" in kind:
        return f"nothing came within {limit_s:g} s"
    if kind in ("NewConnectionError", "ConnectionRefusedError"):
        return "it refuses connections, or is not there"
    if kind == "NameResolutionError":
        return "its host name is not known"
    return f"{kind}: {' '.join(str(reason).split())[:200]}"
