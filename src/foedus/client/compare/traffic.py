"""How many bytes the clients of a run sent and fetched, from the sizes of the objects on the chain.

Counted are the registered updates, each once, and for each member the weights of every model that was
proposed, also in exchanges inside a round. Where the algorithm has a state, its document counts with them,
and those of its parts that the state of the model's base does not have. Transactions are not counted.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from foedus.core.errors import FoedusError
from foedus.core.ids import Cid
from foedus.core.records import Event
from foedus.rounds.documents import StateDocument, fetch
from foedus.rounds.home import Home
from foedus.store import DirectoryStore, get_manifest


class Traffic:
    """Sizes of stored objects, each looked up once."""

    def __init__(self, store: DirectoryStore | None) -> None:
        self._store = store
        self._sizes: dict[Cid, int | None] = {}
        self._models: dict[Cid, int | None] = {}  # of manifests

    @classmethod
    def of(cls, home: Home) -> "Traffic":
        """Read the store of a home folder; without one nothing is known."""
        has_store = (home.store / "objects").is_dir()  # opening a store would create it
        return cls(DirectoryStore(home.store) if has_store else None)

    def by_round(self, events: Sequence[Event], run: int) -> dict[int, int | None]:
        """Return the bytes of each round of a run; None where the store does not hold an object."""
        sums: Counter[int] = Counter()
        unknown = set()
        for event in events:
            if event.args.get("run") != run or event.name not in ("Registered", "Proposed"):
                continue
            number, size = int(event.args["round"]), self._size_of(event)
            if size is None:
                unknown.add(number)
            else:
                sums[number] += size
        return {**sums, **dict.fromkeys(unknown)}

    def _size_of(self, event: Event) -> int | None:
        cid = Cid(str(event.args["cid"]))
        if event.name == "Registered":
            return self._size(cid)
        model = self._model_size(cid)
        return None if model is None else model * int(event.args["electorate"])

    def _model_size(self, manifest: Cid) -> int | None:
        """Return the bytes of a model that a member who has its base does not have yet."""
        if manifest not in self._models:
            self._models[manifest] = None
            with suppress(FoedusError, OSError):
                if self._store is not None:
                    parts = [self._size(cid) for cid in _new_objects(self._store, manifest)]
                    known = [size for size in parts if size is not None]
                    self._models[manifest] = sum(known) if len(known) == len(parts) else None
        return self._models[manifest]

    def _size(self, cid: Cid) -> int | None:
        if cid not in self._sizes:
            self._sizes[cid] = None
            with suppress(FoedusError, OSError):
                self._sizes[cid] = None if self._store is None else self._store.size(cid)
        return self._sizes[cid]


def _new_objects(store: DirectoryStore, manifest: Cid) -> list[Cid]:
    """List the weights, the state's document, and the parts that differ from those of the base."""
    found = get_manifest(store, manifest)
    if found.state is None:
        return [found.weights]
    before = get_manifest(store, found.base).state if found.base else None
    known = fetch(store, before, StateDocument).parts if before else {}
    parts = fetch(store, found.state, StateDocument).parts
    changed = {Cid(cid) for name, cid in parts.items() if known.get(name) != cid}
    return [found.weights, found.state, *sorted(changed)]
