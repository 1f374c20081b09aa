"""The contract's ABI: calls into bytes; return values, events, call data and revert reasons from bytes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from foedus.core.errors import InvalidSpec
from foedus.core.records import Value

REVERT = keccak(b"Error(string)")[:4]
WORD, ADDRESS = 32, 20
UNREADABLE = (DecodingError, OverflowError)
"""What decoding raises on bytes that are not of these types."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function of the contract: its selector, and the names and ABI types of what goes in and out."""

    name: str
    selector: bytes
    arguments: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EventType:
    """One event of the contract: names and ABI types in order, and which of them are topics."""

    name: str
    arguments: tuple[str, ...]
    types: tuple[str, ...]
    indexed: tuple[bool, ...]


def _decode(kinds: Sequence[str], data: bytes, strict: bool = True) -> tuple[Any, ...]:
    """Decode ABI values. A string may hold any bytes: what is not UTF-8 in it appears as `\\xff`."""
    raw = decode(["bytes" if kind == "string" else kind for kind in kinds], data, strict)
    return tuple(
        value.decode(errors="backslashreplace") if kind == "string" else value
        for kind, value in zip(kinds, raw, strict=True)
    )


def _types(entries: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(entry["type"] for entry in entries)


def _names(entries: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(entry["name"] for entry in entries)


def _signature(entry: Mapping[str, Any]) -> bytes:
    return keccak(f"{entry['name']}({','.join(_types(entry['inputs']))})".encode())


@lru_cache(maxsize=4096)
def checksummed(address: bytes | str) -> str:
    """Write an address with its checksum; a chain's events name the same few over and over."""
    return to_checksum_address(address)


def _value(kind: str, value: Any) -> Value:  # noqa: ANN401 — whatever eth_abi decodes
    decoded: Value = checksummed(value) if kind == "address" else value
    return decoded


def _topic(kind: str, word: bytes) -> Value:
    """Decode an indexed argument; the contract indexes numbers and accounts only."""
    return checksummed(word[12:]) if kind == "address" else int.from_bytes(word, "big")


class ContractAbi:
    """Encodes and decodes by the contract's ABI. Knows nothing of chains."""

    def __init__(self, artefact: Mapping[str, Any]) -> None:
        self.bytecode = bytes.fromhex(artefact["bytecode"][2:])
        self.functions: dict[str, Function] = {}
        self.events: dict[bytes, EventType] = {}
        for entry in artefact["abi"]:
            if entry["type"] == "function":
                self.functions[entry["name"]] = Function(
                    name=entry["name"],
                    selector=_signature(entry)[:4],
                    arguments=_names(entry["inputs"]),
                    inputs=_types(entry["inputs"]),
                    outputs=_types(entry["outputs"]),
                )
            elif entry["type"] == "event":
                inputs = entry["inputs"]
                indexed = tuple(bool(argument["indexed"]) for argument in inputs)
                self.events[_signature(entry)] = EventType(
                    entry["name"], _names(inputs), _types(inputs), indexed
                )
        self._by_selector = {function.selector: function for function in self.functions.values()}

    @classmethod
    def shipped(cls) -> "ContractAbi":
        """Load the artefact that comes with the package."""
        return cls(json.loads(files("foedus.chain.contract").joinpath("Foedus.json").read_bytes()))

    def encode_call(self, name: str, args: Sequence[Value]) -> bytes:
        """Encode a call. Raises `InvalidSpec` for an unknown function or arguments that do not fit."""
        function = self.functions.get(name)
        if function is None:
            raise InvalidSpec(
                f"the contract has no function {name!r}", f"It has {', '.join(sorted(self.functions))}."
            )
        if len(args) != len(function.inputs):
            raise InvalidSpec(f"{name} takes {len(function.inputs)} arguments, not {len(args)}")
        try:
            return function.selector + encode(function.inputs, args)
        except (EncodingError, OverflowError, TypeError) as error:
            raise InvalidSpec(f"arguments of {name} do not fit the contract: {error}") from error

    def decode_call(self, data: bytes) -> tuple[str, dict[str, Value]]:
        """Return the function's name and arguments; the name is empty when this is no call of one of ours."""
        function = self._by_selector.get(data[:4])
        if function is None:
            return "", {}
        try:
            values = _decode(function.inputs, data[4:], strict=False)  # as the contract reads it
        except UNREADABLE:
            return "", {}
        names = zip(function.arguments, function.inputs, values, strict=True)
        return function.name, {name: _value(kind, value) for name, kind, value in names}

    def decode_output(self, name: str, data: bytes) -> Value | tuple[Value, ...]:
        """Decode what a view returned: one value, or a tuple of several."""
        kinds = self.functions[name].outputs
        values = tuple(_value(kind, value) for kind, value in zip(kinds, _decode(kinds, data), strict=True))
        return values[0] if len(values) == 1 else values

    def decode_event(self, topics: Sequence[bytes], data: bytes) -> tuple[str, dict[str, Value]]:
        """Return the event's name and its arguments in the order of the contract."""
        event = self.events[topics[0]]
        plain = [kind for kind, indexed in zip(event.types, event.indexed, strict=True) if not indexed]
        from_topics = iter(topics[1:])
        from_data = iter(_decode(plain, data))
        args: dict[str, Value] = {}
        for name, kind, indexed in zip(event.arguments, event.types, event.indexed, strict=True):
            args[name] = _topic(kind, next(from_topics)) if indexed else _value(kind, next(from_data))
        return event.name, args


def revert_reason(output: bytes) -> str:
    """Return the text of a revert, or a general word when the contract gave none."""
    if output[:4] == REVERT:
        try:
            return str(_decode(["string"], output[4:])[0])
        except UNREADABLE:
            pass
    return "the contract gave no reason"
