"""Compile the contract into `Foedus.json`: `python -m foedus.chain.contract.compile` (`dev` extra)."""

import hashlib
import json
import sys
from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).parent
ARTEFACT = FOLDER / "Foedus.json"


def source_hash(folder: Path = FOLDER) -> str:
    """Return the SHA-256 over the names and bytes of all Vyper files, in order of name."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.vy")):
        data = path.read_bytes()
        digest.update(f"{path.name} {len(data)}\n".encode() + data)
    return digest.hexdigest()


def compile_contract(folder: Path = FOLDER) -> bytes:
    """Compile `Foedus.vy` and return the artefact's bytes; the same sources give the same bytes."""
    vyper = import_module("vyper")  # a development tool that users do not have, and without type hints
    bundle = import_module("vyper.compiler.input_bundle").FilesystemInputBundle([folder])
    with bundle.search_path(folder):
        file = bundle.load_file("Foedus.vy")
        out = vyper.compile_from_file_input(file, input_bundle=bundle, output_formats=["abi", "bytecode"])
    artefact = {
        "abi": out["abi"],
        "bytecode": out["bytecode"],
        "compiler": f"vyper {vyper.__version__}",
        "evm_version": "paris",
        "source_sha256": source_hash(folder),
    }
    return json.dumps(artefact, indent=1, sort_keys=True).encode() + b"\n"


def main() -> None:
    """Write the artefact beside its sources."""
    ARTEFACT.write_bytes(compile_contract())
    sys.stdout.write(f"wrote {ARTEFACT.name}\n")


if __name__ == "__main__":
    main()
