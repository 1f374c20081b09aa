"""The index of the chain: its blocks and events as rows, and what follows from them about runs."""

from foedus.server.index.follow import IndexState, follow, index_state, open_chain, rebuild

__all__ = ["IndexState", "follow", "index_state", "open_chain", "rebuild"]
