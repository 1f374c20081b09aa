"""Files that browsers and programs take away: objects of the store, and what is made for the occasion."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from fastapi.responses import Response, StreamingResponse

from foedus.core.ids import Cid
from foedus.store import DirectoryStore

_CHUNK_BYTES: Final = 1 << 20


def download(store: DirectoryStore, cid: Cid, name: str) -> Response:
    """Send an object as a file of this name, each block checked against its hash before it is sent.

    Raises `ObjectMissing` or `ObjectDamaged` before anything is sent.
    """
    size = store.size(cid)

    def chunks() -> Iterator[bytes]:
        with store.open(cid) as stream:
            yield from iter(lambda: stream.read(_CHUNK_BYTES), b"")

    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Length": str(size),
        "X-Content-CID": cid,
    }
    return StreamingResponse(chunks(), media_type="application/octet-stream", headers=headers)


def sent(chunks: Iterator[bytes], name: str, media_type: str = "application/zip") -> Response:
    """Send chunks as a file of this name."""
    headers = {"Content-Disposition": f'attachment; filename="{quote(name)}"'}
    return StreamingResponse(chunks, media_type=media_type, headers=headers)
