"""Run a tiny federation from Python, follow it, and check it: `python examples/python_api.py`.

Three clients train a small network on 600 real images for three rounds, in a home folder that is thrown away.
"""

import tempfile

import foedus

SPEC = foedus.parse_spec(
    {
        "name": "tiny",
        "rounds": 3,
        "model": {"name": "2nn"},
        "data": {"images": 600, "test": 60, "shared": 60},
        "partition": {"kind": "iid", "clients": 3},
        "algorithm": {"name": "fedprox", "params": {"mu": 0.1}},
        "training": {"epochs": 2, "batch_size": 16, "learning_rate": 0.1},
        "policy": {"beta": -0.2, "epsilon": 0.2},  # a client validates on 16 images only: scores are rough
    }
)


def follow(progress: foedus.Progress) -> None:
    """Print how each round ended."""
    if progress.what == "round-ended":
        print(f"round {progress.round}: {progress.values['outcome']}")


def main() -> None:
    """Run, look, verify."""
    with tempfile.TemporaryDirectory() as folder:
        home = foedus.open_home(folder)
        status = foedus.run(SPEC, home, follow)
        print(f"{status.name}: version {status.version}, test accuracy {status.accuracy:.3f}")

        summary = foedus.verify(status.name, home)
        print(f"verified: {summary.blocks} blocks, {summary.updates} updates, {summary.votes} votes")

        store = foedus.DirectoryStore(home.store)
        for cid, manifest in foedus.lineage(store, summary.current):
            print(f"version {manifest.version}: {cid}, from {len(manifest.updates)} updates")


if __name__ == "__main__":
    main()
