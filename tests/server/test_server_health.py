"""Whether the platform is alive and ready, its metrics, and what the log tells of requests."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.responses import StreamingResponse
from tests.server.people import Person

from foedus.server.app import create_app
from foedus.server.db import Base, ChainHead, Worker
from foedus.server.db.engine import make_engine
from foedus.server.logs import JsonLines, redacted
from foedus.server.platform import Platform
from foedus.server.settings import ServerSection


def see_worker(platform: Platform, seconds_ago: float, state: str = "working") -> None:
    now = platform.now()
    with platform.writing() as db:
        seen = now - timedelta(seconds=seconds_ago)
        db.add(Worker(name="w", started_at=now, seen_at=seen, state=state))


def parts_of(client: TestClient) -> tuple[int, dict[str, bool]]:
    answer = client.get("/readyz")
    return answer.status_code, {part["name"]: part["is_ok"] for part in answer.json()["parts"]}


def test_it_is_alive_without_sign_in_even_with_a_foreign_token(nobody: TestClient) -> None:
    answer = nobody.get("/healthz", headers={"Authorization": "Bearer nonsense"})
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def test_it_is_ready_while_a_worker_is_seen(platform: Platform, nobody: TestClient) -> None:
    assert parts_of(nobody) == (503, {"database": True, "worker": False, "index": True, "store": True})
    see_worker(platform, 29)
    assert parts_of(nobody) == (200, {"database": True, "worker": True, "index": True, "store": True})


@pytest.mark.parametrize(("seconds_ago", "state"), [(31, "working"), (1, "stopped")])
def test_a_worker_that_is_gone_makes_it_unready(
    seconds_ago: float, state: str, platform: Platform, nobody: TestClient
) -> None:
    see_worker(platform, seconds_ago, state)
    assert parts_of(nobody)[1]["worker"] is False


def test_a_database_of_another_revision_makes_it_unready(platform: Platform, nobody: TestClient) -> None:
    with platform.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'future'")
    assert parts_of(nobody) == (503, {"database": False, "store": True})


def test_a_database_that_is_gone_is_told_and_health_still_answers(platform: Platform) -> None:
    url = "postgresql://nobody:hush@/x?host=/nowhere"
    broken = replace(platform, engine=make_engine(url))
    with TestClient(create_app(broken)) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert "hush" not in answer.text
        assert client.get("/healthz").status_code == 200


def local(app: FastAPI) -> TestClient:
    return TestClient(app, client=("127.0.0.1", 1000))


def test_metrics_count_requests_by_route_and_name_nobody(
    app: FastAPI, alice: Person, project: str, platform: Platform
) -> None:
    with platform.writing() as db:
        db.add(ChainHead(id=1, block=77))
    alice.program.get(f"/api/v1/projects/{project}")
    alice.browser.get("/no-such-page")
    text = local(app).get("/metrics").text
    wanted = 'foedus_requests_total{method="GET",route="/api/v1/projects/{slug}",status="200"} 1.0'
    assert wanted in text
    assert 'foedus_requests_total{method="GET",route="none",status="404"} 1.0' in text
    assert "foedus_index_height 77.0" in text
    assert 'foedus_runs{state="failed"} 0.0' in text
    assert "foedus_database_up 1.0" in text
    assert "lungs" not in text.lower()
    assert "alice" not in text.lower()


def test_metrics_are_for_this_machine_unless_there_is_a_token(app: FastAPI, platform: Platform) -> None:
    away = TestClient(app, client=("203.0.113.5", 1000))
    assert away.get("/metrics").status_code == 404
    file = platform.home.root / "metrics.token"
    file.write_text("let-me\n")
    settings = platform.settings.model_copy(update={"server": ServerSection(metrics_token_file=file)})
    with TestClient(create_app(replace(platform, settings=settings)), client=("203.0.113.5", 1)) as client:
        assert client.get("/metrics").status_code == 403
        assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 403
        assert client.get("/metrics", headers={"Authorization": "Bearer let-me"}).status_code == 200
        file.write_text("")
        assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 403
        file.unlink()
        assert client.get("/metrics", headers={"Authorization": "Bearer let-me"}).status_code == 503


def test_metrics_answer_without_a_database(platform: Platform) -> None:
    Base.metadata.drop_all(platform.engine)
    with TestClient(create_app(platform), client=("127.0.0.1", 1)) as client:
        assert "foedus_database_up 0.0" in client.get("/metrics").text


def test_streams_pass_as_they_come_and_are_counted(app: FastAPI) -> None:
    seen = []

    @app.get("/stream")
    def stream() -> StreamingResponse:
        def lines() -> Iterator[str]:
            seen.append(local(app).get("/metrics").text)
            yield "data: 1\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    assert local(app).get("/stream").text == "data: 1\n\n"
    assert "foedus_listeners 1.0" in seen[0]
    assert "foedus_listeners 0.0" in local(app).get("/metrics").text


def test_a_request_is_noted_by_route_and_id_without_its_address(
    alice: Person, project: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "foedus.server.logs"):
        answer = alice.program.get(
            f"/api/v1/projects/{project}?token=hush", headers={"X-Request-Id": "abcdef-12345"}
        )
    assert answer.headers["x-request-id"] == "abcdef-12345"
    line = json.loads(JsonLines().format(caplog.records[-1]))
    assert line["request"] == "abcdef-12345"
    assert line["user"] == alice.user.id
    assert line["route"] == "/api/v1/projects/{slug}"
    assert line["status"] == 200
    assert line["ms"] > 0
    assert "hush" not in json.dumps(line)
    assert "lungs" not in json.dumps(line)


def test_a_made_up_request_id_is_not_taken_over(nobody: TestClient) -> None:
    answer = nobody.get("/healthz", headers={"X-Request-Id": 'x"}{injected'})
    assert "injected" not in answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "text",
    [
        "fed_0011aabbccdd_hush",
        "Authorization: Bearer hush",
        "Cookie: __Host-foedus=hush; theme=dark",
        "foedus=hush",
        "postgresql://foedus:hush@host/db",
        "GET /sign-in/oidc?code=hush&state=hush",
        '{"password": "hush"}',
        "password=hush",
        "client_secret=hush",
    ],
)
def test_secrets_are_replaced_in_the_log(text: str) -> None:
    assert "hush" not in redacted(text)
    assert redacted("a run went on") == "a run went on"
    try:
        raise ValueError(text)
    except ValueError as error:
        exc = (type(error), error, error.__traceback__)
        record = logging.LogRecord("foedus", logging.ERROR, "f", 1, "it said %s", (text,), exc)
    line = JsonLines().format(record)
    assert "hush" not in json.dumps(json.loads(line)["message"])
    assert "ValueError: " in line
