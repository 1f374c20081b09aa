"""A FAKE Kubernetes API server for tests: real HTTP on a free loopback port, before a `FakeCluster`.

It answers 400, 401, 403, 404, 405, 409, 410 and 422 as the real one does, keeps resourceVersions, pages lists
with tokens that expire, and can be made to fail. It knows just what the launcher asks for, and cannot watch.
"""

import base64
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
from tests.kubernetes.fake_answers import Refusal, resource_of, selected, status_of
from tests.kubernetes.fake_cluster import FakeCluster
from tests.kubernetes.fake_kubelet import Object

_PATH = re.compile(
    r"/(?:api|apis/(?P<group>batch))/v1/namespaces/(?P<namespace>[^/]+)/(?P<kind>jobs|pods|events)"
    r"(?:/(?P<name>[^/]+))?(?P<log>/log)?"
)
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_VERBS = {"GET": "get", "POST": "create", "DELETE": "delete"}


@dataclass
class Fault:
    """What goes wrong with requests of these methods, this many times."""

    kind: str  # "hang", "drip" (slowly), "drop" (do it, but do not answer), "body" (answer this), "status"
    methods: tuple[str, ...] = ("GET", "POST", "DELETE")
    times: int = 1_000_000
    status: int = 500
    reason: str = "InternalError"
    message: str = "it went wrong"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    path: str = ""  # only where this is in the path


@dataclass
class FakeApi:
    """The server. `requests` is what was asked, `forbidden` what its one account may not do."""

    cluster: FakeCluster
    token: str = "right-token"  # noqa: S105 - it opens a fake
    faults: list[Fault] = field(default_factory=list)
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    job_quota: int = 1_000_000
    requests: list[str] = field(default_factory=list)
    used: set[tuple[str, str]] = field(default_factory=set)  # permissions, as verb and resource
    expiring: int = 0  # so many tokens of lists have expired when they are used
    largest_page: int = 500
    released: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        serve = self._server.serve_forever
        self._thread = threading.Thread(target=serve, args=(0.02,), name="fake-api", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let hanging requests go, and stop."""
        self.released.set()
        self._server.shutdown()
        self._server.end_connections()
        self._server.server_close()
        self._thread.join()

    def write_kubeconfig(self, path: Path, token: str = "") -> Path:
        """Write a kubeconfig for this server; JSON is YAML."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "test", "user": {"token": token or self.token}}],
            "contexts": [{"name": "test@fake", "context": {"cluster": "fake", "user": "test"}}],
            "current-context": "test@fake",
        }
        path.write_text(json.dumps(config))
        return path

    def fault_for(self, method: str, path: str) -> Fault | None:
        """Return the first fault that this request meets, and count it."""
        for fault in self.faults:
            if method in fault.methods and fault.path in path and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def answer(self, method: str, url: str, body: bytes) -> tuple[int, Object | bytes]:
        """Do what is asked and return status and answer. Raises `Refusal`."""
        parts = urlsplit(url)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        match = _PATH.fullmatch(parts.path)
        if match is None or (match["kind"] == "jobs") != (match["group"] == "batch"):
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        kind, namespace, name = match["kind"], match["namespace"], match["name"]
        if method not in _VERBS or (method == "POST") != (name is None and method != "GET"):
            raise Refusal(405, "MethodNotAllowed", "the server does not allow this method")
        verb = "list" if method == "GET" and not name else _VERBS[method]
        self._authorise(verb, f"{kind}{match['log'] or ''}", namespace)
        with self.cluster.lock:
            if match["log"]:
                return 200, self._log(name, query)
            if method == "POST":
                return 201, self._create(namespace, body)
            objects = self._objects(kind) if namespace in self.cluster.namespaces else {}
            if name is None:
                return 200, self._list(kind, list(objects.values()), query)
            if name not in objects:
                raise Refusal(404, "NotFound", f'{resource_of(kind)} "{name}" not found')
            if method == "DELETE":
                self.cluster.delete(name, query.get("propagationPolicy", "Background"))
                return 200, {"kind": "Status", "status": "Success"}
            return 200, objects[name]

    def _objects(self, kind: str) -> dict[str, Object]:
        if kind == "events":
            return {event["metadata"]["name"]: event for event in self.cluster.events}
        return self.cluster.jobs if kind == "jobs" else self.cluster.pods

    def _authorise(self, verb: str, kind: str, namespace: str) -> None:
        self.used.add((verb, kind))
        if (verb, kind) in self.forbidden:
            who = f'User "test" cannot {verb} resource "{kind}" in API group "batch"'
            raise Refusal(
                403, "Forbidden", f'{resource_of(kind)} is forbidden: {who} in the namespace "{namespace}"'
            )

    def _create(self, namespace: str, body: bytes) -> Object:
        try:
            job = json.loads(body)
            name, pod = job["metadata"]["name"], job["spec"]["template"]["spec"]
            kubernetes_validate.validate(job, self.cluster.release, strict=True)
        except (ValueError, KeyError, TypeError, kubernetes_validate.ValidationError) as error:
            raise Refusal(400, "BadRequest", f"strict decoding error: {str(error)[:500]}") from error
        if namespace not in self.cluster.namespaces:
            raise Refusal(404, "NotFound", f'namespaces "{namespace}" not found')
        if not _NAME.fullmatch(name):
            raise Refusal(422, "Invalid", f'Job.batch "{name}" is invalid: metadata.name')
        if pod.get("restartPolicy") not in ("Never", "OnFailure") or pod.get("activeDeadlineSeconds", 1) < 1:
            raise Refusal(422, "Invalid", f'Job.batch "{name}" is invalid: spec.template.spec')
        if name in self.cluster.jobs:
            raise Refusal(409, "AlreadyExists", f'jobs.batch "{name}" already exists')
        if len(self.cluster.jobs) >= self.job_quota:
            why = f"exceeded quota: foedus, requested: count/jobs.batch=1, limited: {self.job_quota}"
            raise Refusal(403, "Forbidden", f'jobs.batch "{name}" is forbidden: {why}')
        return self.cluster.create(job, namespace)

    def _list(self, kind: str, objects: list[Object], query: dict[str, str]) -> Object:
        version, after = self.cluster.version, ""
        if "continue" in query:
            version, after = json.loads(base64.b64decode(query["continue"]))
            if self.expiring > 0:
                self.expiring -= 1
                raise Refusal(410, "Expired", "The provided continue parameter is too old")
        found = sorted(filter(selected(query), objects), key=lambda obj: str(obj["metadata"]["name"]))
        rest = [obj for obj in found if obj["metadata"]["name"] > after]
        page = rest[: min(int(query.get("limit", 500)), self.largest_page)]
        metadata = {"resourceVersion": str(version)}
        if len(page) < len(rest):
            token = json.dumps([version, page[-1]["metadata"]["name"]])
            metadata["continue"] = base64.b64encode(token.encode()).decode()
        return {"kind": f"{kind[:-1].title()}List", "metadata": metadata, "items": page}

    def _log(self, name: str, query: dict[str, str]) -> bytes:
        if name not in self.cluster.pods:
            raise Refusal(404, "NotFound", f'pods "{name}" not found')
        output = self.cluster.log_of(name)
        if output is None:
            raise Refusal(400, "BadRequest", f'container "task" in pod "{name}" is waiting to start')
        return b"".join(output.splitlines(keepends=True)[-int(query.get("tailLines", 1_000_000)) :])


@contextmanager
def fake_api(**options: object) -> Iterator[FakeApi]:
    """Run a fake API server before a fake cluster, whose fields `options` set."""
    cluster = FakeCluster(**options)  # type: ignore[arg-type]
    api = FakeApi(cluster)
    try:
        yield api
    finally:
        api.close()
        cluster.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._connections: set[socket.socket] = set()

    def process_request(self, request: socket.socket, address: object) -> None:  # type: ignore[override]
        self._connections.add(request)
        super().process_request(request, address)  # type: ignore[arg-type]

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        self._connections.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """End connections that clients keep open."""
        for connection in list(self._connections):
            self.shutdown_request(connection)


def _handler(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            api.requests.append(f"{self.command} {self.path}")
            fault = api.fault_for(self.command, self.path)
            if fault is not None and fault.kind != "drop":
                self._fail(fault)
                return
            try:
                if self.headers.get("Authorization") != f"Bearer {api.token}":
                    raise Refusal(401, "Unauthorized", "Unauthorized")
                status, answer = api.answer(self.command, self.path, body)
            except Refusal as refusal:
                status, answer = refusal.status, status_of(refusal.status, refusal.reason, refusal.message)
            if fault is not None:
                self.close_connection = True
            else:
                self._send(status, answer)

        do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = _serve

        def _fail(self, fault: Fault) -> None:
            if fault.kind == "hang":
                api.released.wait(60)
                self.close_connection = True
            elif fault.kind == "drip":
                self.close_connection = True
                self._write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not api.released.wait(0.05):
                    self._write(b"x")
            elif fault.kind == "body":
                self._send(200, fault.body, fault.headers)
            else:
                answer = status_of(fault.status, fault.reason, fault.message)
                self._send(fault.status, answer, fault.headers)

        def _send(self, status: int, answer: Object | bytes, headers: dict[str, str] | None = None) -> None:
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self._write(data)

        def _write(self, data: bytes) -> None:
            try:
                self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):  # the client has had enough
                self.close_connection = True

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    return Handler
