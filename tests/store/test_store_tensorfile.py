"""Files of hostile clients. `refusal` also shows that no tensor was read before the header was accepted."""

import io
import json
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.core.canonical import canonical_json
from foedus.core.errors import ObjectDamaged, UpdateRefused
from foedus.store import DirectoryStore
from foedus.store.codec import Schema, TensorSpec, encode
from foedus.store.tensorfile import TensorFile, decode, require_finite

MODEL = {"bias": np.arange(3, dtype=np.float32), "weight": np.ones((3, 4), np.float32)}
SCHEMA = Schema.of(MODEL)
GOOD = b"".join(encode(MODEL))
ENTRIES = json.loads(SCHEMA.header()[8:])


def file_of(text: bytes, data: bytes = b"") -> bytes:
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def with_header(change: Callable[[dict[str, Any]], None]) -> bytes:
    entries = json.loads(json.dumps(ENTRIES))
    change(entries)
    return file_of(canonical_json(entries).strip(), GOOD[-60:])


def entry(start: int, end: int, dtype: str = "F32", *shape: int) -> dict[str, Any]:
    return {"data_offsets": [start, end], "dtype": dtype, "shape": list(shape)}


def refusal(data: bytes, schema: Schema | None = None) -> str:
    stream = io.BytesIO(data)
    with pytest.raises(UpdateRefused) as caught:
        TensorFile(stream, schema)
    header_bytes = 8 + int.from_bytes(data[:8], "little")
    assert stream.tell() <= min(header_bytes, len(data))
    assert len(caught.value.message) < 500
    return caught.value.code


def test_a_good_file_is_read() -> None:
    file = TensorFile(io.BytesIO(GOOD), SCHEMA)
    assert file.names() == ("bias", "weight")
    assert file.spec("weight") == TensorSpec("F32", (3, 4))
    np.testing.assert_array_equal(file.read("weight"), MODEL["weight"])
    np.testing.assert_array_equal(file.read("bias"), MODEL["bias"])
    assert file.read_all().keys() == MODEL.keys()
    assert file.schema == SCHEMA
    file.check_finite()


def test_arrays_that_are_read_may_be_changed() -> None:
    decode(GOOD)["bias"] += 1


HEADERS = {
    "nothing": b"",
    "half a length": GOOD[:5],
    "no header": bytes(8),
    "huge length": b"\xff" * 8 + GOOD[8:],
    "length beyond the file": (1 << 16).to_bytes(8, "little") + GOOD[8:],
    "odd length": (9).to_bytes(8, "little") + b'{       "',
    "not JSON": file_of(b"{"),
    "not UTF-8": file_of(b'{"\xff":1}'),
    "UTF-16": file_of("{}".encode("utf-16")),
    "half a character": file_of(b'{"\\ud800":{"data_offsets":[0,0],"dtype":"F32","shape":[0]}}'),
    "a list": file_of(b"[]"),
    "deep": file_of(b"[" * 100_000),
    "a huge number": file_of(b"1" * 10_000),
    "duplicate keys": file_of(
        b'{"a":{"data_offsets":[0,0],"dtype":"F32","shape":[0]},"a":{"data_offsets":[0,0],"dtype":"F32","shape":[0]}}'
    ),
    "duplicate keys inside": file_of(b'{"a":{"data_offsets":[0,0],"dtype":"F32","dtype":"F32","shape":[0]}}'),
    "white space": file_of(b'{"a": {"data_offsets":[0,0],"dtype":"F32","shape":[0]}}'),
    "spaces first": file_of(b" " + SCHEMA.header()[8:], GOOD[-60:]),
    "too much padding": file_of(SCHEMA.header()[8:] + b" " * 8, GOOD[-60:]),
    "padding of zeros": file_of(b"{}\x00\x00\x00\x00\x00\x00"),
    "a newline at the end": file_of(b"{}\n     "),
    "metadata": with_header(lambda entries: entries.update({"__metadata__": {"a": "b"}})),
    "metadata as tensor": file_of(canonical_json({"__metadata__": entry(0, 0, "F32", 0)}).strip()),
    "an entry that is none": with_header(lambda entries: entries.update(bias=1)),
    "an unknown field": with_header(lambda entries: entries["bias"].update(more=1)),
    "a missing field": with_header(lambda entries: entries["bias"].pop("dtype")),
    "overlap": with_header(lambda entries: entries["weight"].update(data_offsets=[8, 56])),
    "a hole": with_header(lambda entries: entries["weight"].update(data_offsets=[16, 64])),
    "swapped offsets": with_header(lambda entries: entries["weight"].update(data_offsets=[60, 12])),
    "negative offsets": with_header(lambda entries: entries["bias"].update(data_offsets=[-12, 0])),
    "fractions": with_header(lambda entries: entries["bias"].update(data_offsets=[0.0, 12.0])),
    "offsets in words": with_header(lambda entries: entries["bias"].update(data_offsets="0,12")),
    "NaN as offset": file_of(b'{"a":{"data_offsets":[0,NaN],"dtype":"F32","shape":[0]}}'),
    "other order": file_of(
        b'{"b":{"data_offsets":[0,4],"dtype":"F32","shape":[1]},"a":{"data_offsets":[4,8],"dtype":"F32","shape":[1]}}',
        bytes(8),
    ),
    "300,000 empty tensors": file_of(
        canonical_json({f"t{n:06}": entry(0, 0, "F32", 0) for n in range(300_000)}).strip()
    ),
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("schema", [None, SCHEMA], ids=["any", "schema"])
def test_bad_headers_are_refused(name: str, schema: Schema | None) -> None:
    assert refusal(HEADERS[name], schema) == "header"


SHAPES = [[-1], [3.0], [True], ["3"], 3, None, {}, [0, 1 << 62], [1 << 62, 1 << 62], [10**400], [1] * 33]


@pytest.mark.parametrize("shape", SHAPES, ids=[str(number) for number in range(len(SHAPES))])
def test_impossible_shapes_are_refused(shape: object) -> None:
    assert refusal(with_header(lambda entries: entries["bias"].update(shape=shape))) == "shape"


@pytest.mark.parametrize("dtype", ["F8", "BF16", "f32", "", 4, None, ["F32"]])
def test_unknown_types_are_refused(dtype: object) -> None:
    assert refusal(with_header(lambda entries: entries["bias"].update(dtype=dtype))) == "dtype"


@pytest.mark.parametrize(
    ("tensors", "code"),
    [
        ({"bias": MODEL["bias"]}, "keys"),
        (MODEL | {"more": np.zeros(1, np.float32)}, "keys"),
        ({"bias": MODEL["bias"], "Weight": MODEL["weight"]}, "keys"),
        ({"x" * 200: MODEL["bias"], "weight": MODEL["weight"]}, "keys"),
        (MODEL | {"weight": np.ones((4, 3), np.float32)}, "shape"),
        (MODEL | {"weight": np.ones(12, np.float32)}, "shape"),
        (MODEL | {"weight": np.ones((3, 1 << 19), np.float32)}, "shape"),
        (MODEL | {"weight": np.ones((3, 4), np.int32)}, "dtype"),
        (MODEL | {"weight": np.ones((3, 4), np.float64)}, "dtype"),
        ({}, "keys"),
    ],
)
def test_other_models_are_refused(tensors: dict[str, Any], code: str) -> None:
    assert refusal(b"".join(encode(tensors)), SCHEMA) == code


@pytest.mark.parametrize("schema", [None, SCHEMA], ids=["any", "schema"])
def test_missing_and_trailing_bytes_are_refused(schema: Schema | None) -> None:
    for data in (GOOD + b"\x00", GOOD[:-1], GOOD[:-60], GOOD + GOOD):
        assert refusal(data, schema) == "size"


def test_a_given_size_counts() -> None:
    with pytest.raises(UpdateRefused) as caught:
        TensorFile(io.BytesIO(GOOD), SCHEMA, len(GOOD) - 1)
    assert caught.value.code == "size"
    TensorFile(io.BytesIO(GOOD), SCHEMA, len(GOOD))


def test_a_file_that_ends_early_is_refused() -> None:
    file = TensorFile(io.BytesIO(GOOD[:-1]), SCHEMA, len(GOOD))
    with pytest.raises(UpdateRefused) as caught:
        file.read("weight")
    assert caught.value.code == "size"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_numbers_that_are_not_finite_are_refused(value: float, kind: str) -> None:
    array = np.zeros(300_000, kind)
    file = TensorFile(io.BytesIO(b"".join(encode({"a": array, "n": np.arange(3)}))))
    file.check_finite()
    array[-1] = value
    file = TensorFile(io.BytesIO(b"".join(encode({"a": array}))))
    for check in (file.check_finite, lambda: require_finite("a", array)):
        with pytest.raises(UpdateRefused) as caught:
            check()
        assert caught.value.code == "nonfinite"


def test_truth_values_other_than_0_and_1_are_refused() -> None:
    good = b"".join(encode({"a": np.array([False, True]), "b": np.array([], np.bool_)}))
    assert decode(good)["a"].tolist() == [False, True]
    with pytest.raises(UpdateRefused) as caught:
        decode(good[:-1] + b"\x02")
    assert caught.value.code == "dtype"


@given(st.integers(0, len(SCHEMA.header()) - 1), st.integers(1, 255))
def test_any_changed_byte_of_the_header_is_found(position: int, mask: int) -> None:
    data = bytearray(GOOD)
    data[position] ^= mask
    with pytest.raises(UpdateRefused):
        TensorFile(io.BytesIO(data), SCHEMA)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
hostile_entries = st.fixed_dictionaries(
    {
        "data_offsets": st.lists(st.integers(-5, 100), max_size=3) | json_values,
        "dtype": st.sampled_from(["F32", "BOOL", "F64"]) | json_values,
        "shape": st.lists(st.integers(-1, 1 << 70), max_size=4) | json_values,
    }
)


@given(
    st.dictionaries(st.text(max_size=6), hostile_entries | json_values, max_size=3), st.binary(max_size=64)
)
@settings(deadline=None)
@pytest.mark.slow
def test_hostile_headers_raise_only_our_errors(entries: dict[str, Any], data: bytes) -> None:
    text = json.dumps(entries, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    with suppress(UpdateRefused):
        decode(file_of(text.encode(errors="surrogatepass"), data))


@given(st.binary(max_size=200))
def test_garbage_raises_only_our_errors(garbage: bytes) -> None:
    for data in (garbage, file_of(garbage, garbage)):
        with pytest.raises(UpdateRefused):
            TensorFile(io.BytesIO(data), SCHEMA)


def test_a_hostile_header_costs_little_memory() -> None:
    data = HEADERS["300,000 empty tensors"]
    tracemalloc.start()
    refusal(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def test_reading_from_a_store_checks_the_blocks(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    tensors = {"a": np.arange(600_000, dtype=np.float32), "b": np.ones((7, 11))}
    cid = store.put(encode(tensors))
    with store.open(cid) as stream:
        found = TensorFile(stream, Schema.of(tensors)).read_all()
    assert all((found[name] == array).all() for name, array in tensors.items())
    path = store.root / "objects" / cid[-2:] / f"{cid}.car"
    data = bytearray(path.read_bytes())
    data[1_500_000] ^= 1
    path.write_bytes(data)
    with store.open(cid) as stream, pytest.raises(ObjectDamaged):
        TensorFile(stream, Schema.of(tensors)).read_all()
