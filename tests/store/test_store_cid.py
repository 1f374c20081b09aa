import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foedus.core.errors import ObjectMissing
from foedus.store.cid import (
    DAG_PB,
    RAW,
    InvalidCid,
    check_cid,
    cid_bytes,
    cid_text,
    codec_of,
    digest_of,
    parse_cid,
)

HELLO = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


def test_text_of_hello_world() -> None:
    assert cid_text(cid_bytes(RAW, hashlib.sha256(b"hello world").digest())) == HELLO


@given(st.sampled_from([RAW, DAG_PB]), st.binary(min_size=32, max_size=32))
def test_text_and_bytes_are_inverse(codec: int, digest: bytes) -> None:
    cid = parse_cid(cid_text(cid_bytes(codec, digest)))
    assert (codec_of(cid), digest_of(cid)) == (codec, digest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        HELLO.upper(),
        HELLO + "\n",
        HELLO + "=",
        HELLO[:-1],
        HELLO[:-1] + "f",  # same bytes, other padding bits
        "f01551220" + "00" * 32,
        "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD",
        "bafyrei" + HELLO[7:],  # dag-cbor
        "../../etc/passwd",
        "bafkrei" + "ａ" * 52,
        "\x00" * 59,
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(InvalidCid):
        check_cid(text)


@given(st.text(max_size=70))
@pytest.mark.slow
def test_any_text_is_a_cid_or_refused(text: str) -> None:
    with pytest.raises(ObjectMissing):
        check_cid(text)
