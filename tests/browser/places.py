"""The pages that the browser walks. Whoever adds a page with parameters adds its address here.

Pages without parameters are found by themselves. Of what `filled.py` makes there are the projects `lungs` and
`digits`, and the runs `lungs-1` (running), `lungs-2` (waiting), `lungs-3` (completed), `lungs-4` (failed) and
`lungs-5` (cancelled). `lungs-3` is on the chain, see `filled_chain.py`.
"""

from fastapi.routing import APIRoute
from tests.browser.filled_chain import address, cid, tx

from foedus.server.app import PAGES

SIGNED_OUT: tuple[str, ...] = ("/sign-in", "/sign-up")
"""Pages for whoever is not signed in."""

FOR_PROGRAMS = ("/healthz", "/readyz", "/metrics", "/favicon.ico", "/news/stream")
"""What is no page."""

LEAD_ELSEWHERE = ("/welcome", "/sign-in/provider", "/sign-in/provider/back")
"""What shows no page of its own once there is an account, or without a provider."""

WITH_PARAMETERS: tuple[str, ...] = (
    "/projects?q=nothing-like-it",
    "/projects?sort=-created_at&state=active",
    "/chain/blocks/2",
    f"/chain/transactions/{tx(2)}",
    f"/chain/addresses/{address('alice')}",
    f"/models/{cid(102)}",
    f"/models/{cid(102)}/project",
    f"/models/compare?a={cid(101)}&b={cid(102)}",
    "/projects/lungs",
    "/projects/lungs/data",
    "/projects/lungs/settings",
    "/projects/lungs/members",
    "/projects/lungs/members/alice",
    "/datasets/1",
    "/datasets/1/images",
    "/projects/lungs/rewards",
    "/search?q=lungs",
    "/applications/SIM_REACTION_DIFFUSION",
    "/applications/FL_PREDICT",
    "/jobs/1",
    "/admin/users/alice",
    "/projects/lungs/runs",
    "/projects/lungs/runs/new",
    "/projects/lungs/runs/new?from=lungs-3",
    "/runs/lungs-1",
    "/runs/lungs-3",
    "/runs/lungs-3/curves",
    "/runs/lungs-3/rounds",
    "/runs/lungs-3/logs",
    "/runs/lungs-3/numbers",
    "/runs/lungs-3/rounds/1",
    "/runs/lungs-3/rounds/2",
    "/runs/lungs-3/chain",
    "/projects/lungs/rewards?run=lungs-3",
    "/runs/lungs-3/explain",
    "/runs/lungs-3/explain?image=2",
    "/runs/lungs-3/explain?image=3&round=1",
    "/runs/lungs-4",
)
"""Pages that need a name, as Alice sees them."""


def plain_pages() -> list[str]:
    """Return the addresses of all pages without parameters."""
    found = [route for router in PAGES for route in router.routes if isinstance(route, APIRoute)]
    return sorted(
        {route.path for route in found if "GET" in route.methods and "{" not in route.path}
        - {*SIGNED_OUT, *FOR_PROGRAMS, *LEAD_ELSEWHERE}
    )
