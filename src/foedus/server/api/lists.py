"""Lists as the API gives them."""

from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session

from foedus.server.listing import Listing, Query, find


def list_json(request: Request, db: Session, listing: Listing) -> dict[str, Any]:
    """Return one page of a list: `items`, `total`, and in `next` what `after` is to be for the next page.

    Parameters are those of the page: `q`, `sort`, `size`, `after` and the filters.
    """
    return find(db, listing, Query.of(dict(request.query_params), listing)).to_json()
