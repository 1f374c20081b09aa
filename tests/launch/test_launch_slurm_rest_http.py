"""One question to slurmrestd, against fakes that behave badly: bounded, and to nobody else."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.launch.fake_slurmrestd import FakeSlurmrestd, fake_slurmrestd, refused

from foedus.core.errors import InvalidSpec
from foedus.launch.cluster import Unreachable
from foedus.launch.slurm import SlurmRest
from foedus.launch.slurm.rest_http import RestClient


@pytest.fixture
def fake() -> Iterator[FakeSlurmrestd]:
    with fake_slurmrestd() as running:
        yield running


@pytest.fixture
def rest(fake: FakeSlurmrestd, tmp_path: Path) -> SlurmRest:
    return fake.site(tmp_path)


# --- where it goes ---

URLS = [
    "",
    "slurm.example",
    "ftp://slurm.example",
    "file:///etc/passwd",
    "http://",
    "http://user:word@slurm.example",
    "http://slurm.example:0",
    "http://slurm.example:99999",
    "http://slurm.example/?a=b",
    "http://slurm.example/#a",
    "http://slurm.example\nX: y",
    "http://slurm.example/a b",
    "http://slurm.example@other",
    "unix:relative",
    "unix:/a\nb",
    "http://" + "x" * 1_000_000,
]


@pytest.mark.parametrize("url", URLS, ids=lambda url: repr(url[:30]))
def test_unfit_addresses_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidSpec, match=r"rest\.url") as caught:
        RestClient(SlurmRest(url, tmp_path / "token"), 1.0)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "url", ["http://h:6820", "https://h.example/slurm/", "http://[::1]:6820", "unix:/run/s", "unix:///run/s"]
)
def test_fit_addresses_are_taken(tmp_path: Path, url: str) -> None:
    RestClient(SlurmRest(url, tmp_path / "token"), 1.0)


@pytest.mark.parametrize(
    "change",
    [
        {"version": "v0.0.39"},
        {"version": "v0.0.38/../.."},
        {"version": ""},
        {"user": "a b"},
        {"user": "a\r\nX-SLURM-USER-NAME: root"},
        {"token_file": Path("relative")},
    ],
)
def test_unfit_settings_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    good = SlurmRest("http://h", tmp_path / "token")
    RestClient(good, 1.0)
    with pytest.raises(InvalidSpec, match="rest"):
        RestClient(replace(good, **change), 1.0)  # type: ignore[arg-type]


def test_redirects_and_proxies_are_not_followed(
    fake: FakeSlurmrestd, rest: SlurmRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(stream: BinaryIO) -> None:
        stream.write(
            f"HTTP/1.1 302 Found\r\nLocation: {fake.url}/other\r\nContent-Length: 0\r\n\r\n".encode()
        )

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    fake.says["GET jobs"] = elsewhere
    assert "302" in refused(rest)
    assert [asked.path for asked in fake.asked] == ["/slurm/v0.0.38/jobs"]


def test_a_path_of_the_site_comes_first(fake: FakeSlurmrestd, rest: SlurmRest) -> None:
    RestClient(replace(rest, url=f"{fake.url}/site-a/"), 2.0).ask("GET", "jobs")
    assert [asked.path for asked in fake.asked] == ["/site-a/slurm/v0.0.38/jobs"]


def test_a_socket_on_this_machine_will_do(rest: SlurmRest, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()

        def answer() -> None:
            with listening.accept()[0] as one:
                one.recv(1 << 16)
                one.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"jobs":5}')

        thread = threading.Thread(target=answer)
        thread.start()
        client = RestClient(replace(rest, url=f"unix:{tmp_path}/s"), 2.0)
        with pytest.raises(Unreachable, match="nothing that can be read"):  # 9 of 10 bytes
            client.ask("GET", "jobs")
        thread.join()


# --- TLS ---


def certificate_for(name: str, file: Path) -> Path:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    encoding = serialization.Encoding.PEM
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(secret + certificate.public_bytes(encoding))
    return file


@pytest.mark.parametrize(("name", "is_known"), [("localhost", True), ("localhost", False), ("other", True)])
def test_a_server_must_prove_its_name_before_it_is_told_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_known: bool
) -> None:
    file = certificate_for(name, tmp_path / "pem")
    if is_known:
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with fake_slurmrestd(file) as fake:
        fake.jobs()
        rest = fake.site(tmp_path)
        if is_known and name == "localhost":
            assert RestClient(rest, 5.0).ask("GET", "jobs").status == 200
        else:
            refused(rest, 5.0)
            assert fake.asked == []


# --- what comes back ---


def endless(stream: BinaryIO) -> None:
    stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
    while stream.write(b" " * (1 << 20)):
        pass


def nothing(stream: BinaryIO) -> None:
    """Hang up."""


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ((200, b"<html>"), "nothing that can be read"),
        ((200, b""), "nothing that can be read"),
        ((200, b"[]"), "nothing that can be read"),
        ((200, b"[" * 100_000), "nothing that can be read"),
        ((500, b"Segmentation fault"), "answers 500"),
        ((404, b"Unable find requested URL."), "does not speak v0.0.38"),
        ((401, b"Authentication failure"), "does not accept the token in"),
        ((403, {"errors": []}), "does not accept the token in"),
        (lambda stream: stream.write(b"\0\0\0\0\n\n"), "BadStatusLine"),
        (lambda stream: stream.write(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"), "HTTPException"),
        (nothing, "cannot be reached"),
    ],
)
def test_odd_answers_are_errors(
    fake: FakeSlurmrestd, rest: SlurmRest, said: tuple[int, object], words: str
) -> None:
    fake.says["GET jobs"] = said
    assert words in refused(rest)


@pytest.mark.slow
def test_an_answer_without_end_is_cut_off(
    fake: FakeSlurmrestd, rest: SlurmRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.says["GET jobs"] = endless
    assert "more than 67,108,864 bytes" in refused(rest, 30.0)


def test_whoever_answers_byte_by_byte_is_given_up(fake: FakeSlurmrestd, rest: SlurmRest) -> None:
    fake.says["GET jobs"] = fake.drip
    began = time.monotonic()
    assert "within 0.2 s" in refused(rest, 0.2)
    assert time.monotonic() - began < 2
    deadline = time.monotonic() + 5
    while any(thread.name == "foedus-rest" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "the thread is still waiting"
        time.sleep(0.01)


def test_nobody_there_is_an_error_soon(fake: FakeSlurmrestd, rest: SlurmRest) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # not listening
        port = free.getsockname()[1]
        assert "Connection refused" in refused(replace(rest, url=f"http://127.0.0.1:{port}"))
    assert "cannot be reached" in refused(replace(rest, url="http://does-not-exist.invalid"))
    assert "No such file" in refused(replace(rest, url="unix:/does/not/exist"))
