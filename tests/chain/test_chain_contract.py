"""The compiled contract is that of its sources, fits every network, and its ABI decodes what it encodes."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.shared import missing

import foedus.chain
from foedus.chain.abi import ContractAbi, revert_reason
from foedus.chain.contract import compile as contract_compile

PUBLIC = {
    "AuditReport",
    "ChainReader",
    "EmbeddedLedger",
    "KeyRing",
    "RewardBook",
    "Transaction",
    "audit_chain",
    "optimal_rate",
    "reward",
    "reward_wad",
    "wrong_rewards",
}


@pytest.mark.slow
def test_the_artefact_is_what_the_sources_compile_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if find_spec("vyper") is None:
        missing("the package vyper")
    monkeypatch.setattr(contract_compile, "ARTEFACT", tmp_path / "Foedus.json")
    contract_compile.main()
    shipped = Path(contract_compile.FOLDER / "Foedus.json").read_bytes()
    assert (tmp_path / "Foedus.json").read_bytes() == shipped, "run python -m foedus.chain.contract.compile"
    assert capsys.readouterr().out == "wrote Foedus.json\n"


def test_the_artefact_names_its_sources_and_compiler() -> None:
    artefact = json.loads(contract_compile.ARTEFACT.read_bytes())
    assert artefact["source_sha256"] == contract_compile.source_hash()
    assert artefact["compiler"] == "vyper 0.4.3"
    assert artefact["evm_version"] == "paris"


def test_the_contract_fits_the_networks_size_limit() -> None:
    assert len(ContractAbi.shipped().bytecode) < 24_576


def test_every_function_is_documented() -> None:
    for path in contract_compile.FOLDER.glob("*.vy"):
        lines = path.read_text().splitlines()
        for index, line in enumerate(lines):
            if line.startswith("def "):
                end = next(i for i in range(index, len(lines)) if lines[i].endswith(":"))
                assert '"""' in lines[end + 1], f"{path.name}: {line}"


def test_every_function_and_event_is_in_the_reference() -> None:
    text = (Path(__file__).parents[2] / "docs/reference/contract.md").read_text()
    abi = ContractAbi.shipped()
    missing = [name for name in abi.functions if f"`{name}(" not in text]
    missing += [event.name for event in abi.events.values() if f"| `{event.name}` |" not in text]
    assert missing == []


def test_importing_the_package_does_not_load_the_evm() -> None:
    script = "import sys, foedus.chain; sys.exit('eth' in sys.modules or 'rlp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_calls_decode_to_what_was_encoded() -> None:
    abi = ContractAbi.shipped()
    data = abi.encode_call("propose", (1, 2, 3, "bafy"))
    assert abi.decode_call(data) == ("propose", {"run": 1, "round": 2, "step": 3, "cid": "bafy"})
    assert abi.decode_call(b"\0\0\0\0rest") == ("", {})


def test_reverts_without_a_text_have_a_word() -> None:
    assert revert_reason(b"") == "the contract gave no reason"
    assert revert_reason(bytes.fromhex("08c379a0") + b"junk") == "the contract gave no reason"


def test_the_public_names_are_these() -> None:
    assert set(foedus.chain.__all__) == PUBLIC
    assert all(getattr(foedus.chain, name) for name in PUBLIC)
    with pytest.raises(AttributeError, match="nonsense"):
        foedus.chain.nonsense  # noqa: B018 — the access is the test
