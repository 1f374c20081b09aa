import json
import math

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from foedus.core.errors import UnsupportedModel
from foedus.store.codec import DTYPES, Array, Schema, TensorSpec, encode
from foedus.store.tensorfile import decode

KINDS = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "?"]
arrays = st.sampled_from(KINDS).flatmap(
    lambda kind: npst.arrays(kind, npst.array_shapes(min_dims=0, min_side=0))
)
models = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), arrays, max_size=5)


def packed(tensors: dict[str, Array]) -> bytes:
    return b"".join(encode(tensors))


def test_a_file_by_hand() -> None:
    data = packed({"b": np.array([1, -1], np.int8), "a": np.array([[1.0]], np.float32)})
    text = (
        b'{"a":{"data_offsets":[0,4],"dtype":"F32","shape":[1,1]},'
        b'"b":{"data_offsets":[4,6],"dtype":"I8","shape":[2]}}'
    )
    text += b" " * (-len(text) % 8)
    assert data == len(text).to_bytes(8, "little") + text + b"\x00\x00\x80\x3f\x01\xff"


@given(models)
@settings(deadline=None)
@pytest.mark.slow
def test_round_trip(tensors: dict[str, Array]) -> None:
    found = decode(packed(tensors), Schema.of(tensors))
    assert list(found) == sorted(tensors)
    for name, array in tensors.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


@given(st.dictionaries(st.text("abc.", min_size=1, max_size=8), arrays, max_size=5))
@settings(deadline=None)
@pytest.mark.slow
def test_the_safetensors_library_reads_what_we_write(tensors: dict[str, Array]) -> None:
    found = safetensors.numpy.load(packed(tensors))
    assert found.keys() == tensors.keys()
    for name, array in tensors.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_order_of_insertion_and_memory_do_not_matter() -> None:
    a, b = np.arange(6.0).reshape(2, 3), np.arange(4, dtype=np.int16)
    expected = packed({"a": a, "b": b})
    assert packed({"b": b, "a": np.asfortranarray(a)}) == expected
    assert packed({"a": a.astype(">f8"), "b": b.astype(">i2")}) == expected
    assert packed({"a": np.hstack([a, a])[:, :3], "b": np.repeat(b, 2)[::2]}) == expected


def test_tensors_are_not_copied() -> None:
    array = np.zeros(1000, np.float32)
    view = encode({"a": array})[1]
    array[0] = 1
    assert bytes(view[:4]) == b"\x00\x00\x80\x3f"


def test_every_type_has_the_name_of_the_format() -> None:
    assert {name: dtype.itemsize for name, dtype in DTYPES.items()} == {
        "F64": 8, "F32": 4, "F16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
    }  # fmt: skip


@pytest.mark.parametrize("dtype", ["c8", "u2", "U3", "O", "M8[s]"])
def test_other_types_are_refused(dtype: str) -> None:
    with pytest.raises(UnsupportedModel, match="cannot be stored"):
        encode({"a": np.zeros(1, dtype)})


def test_the_reserved_name_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="__metadata__"):
        encode({"__metadata__": np.zeros(1)})


def test_a_schema_is_a_mapping_in_order_of_names() -> None:
    schema = Schema.of({"b": np.zeros((2, 3), np.float32), "a": np.zeros((), np.bool_)})
    assert list(schema) == ["a", "b"]
    assert schema["b"] == TensorSpec("F32", (2, 3))
    assert len(schema) == 2
    assert schema.data_bytes == 25
    assert "F32" in repr(schema)
    assert schema == Schema({"a": TensorSpec("BOOL", ()), "b": TensorSpec("F32", (2, 3))})


@given(models)
@settings(deadline=None)
@pytest.mark.slow
def test_headers_are_canonical_json_of_a_multiple_of_eight(tensors: dict[str, Array]) -> None:
    header = Schema.of(tensors).header()
    assert len(header) % 8 == 0
    assert int.from_bytes(header[:8], "little") == len(header) - 8
    entries = json.loads(header[8:])
    assert list(entries) == sorted(tensors)
    ends = [0, *(entry["data_offsets"][1] for entry in entries.values())]
    assert ends[:-1] == [entry["data_offsets"][0] for entry in entries.values()]
    assert ends[-1] == sum(math.prod(array.shape) * array.itemsize for array in tensors.values())
