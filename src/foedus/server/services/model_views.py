"""Models as the API gives them, and as charts and tables show what they are made of."""

from typing import Final

from foedus.core.canonical import Json
from foedus.server.services.models import Model

DRAWN: Final = 8
"""Versions of a lineage in its picture: of more, nobody could read the names."""


def as_json(model: Model) -> dict[str, Json]:
    """Return a version as the API gives it."""
    scores: list[Json] = [
        {"client": s.client, "score": s.score, "base_score": s.base_score, "vote": s.choice, "tx": s.tx}
        for s in model.scores
    ]
    ballot = model.ballot
    return {
        "cid": model.row.cid,
        "project": model.project.slug,
        "run": model.run or model.chain_run.name,
        "chain_run": model.row.run,
        "version": model.row.version,
        "round": model.row.round,
        "score": model.score,
        "alias": model.note.alias if model.note else "",
        "description": model.note.description if model.note else "",
        "limits": model.note.limits if model.note else "",
        "weights": model.manifest.weights if model.manifest else model.row.weights,
        "size_bytes": model.row.size_bytes,
        "manifest": model.manifest.to_json() if model.manifest else None,
        "trouble": model.trouble,
        "lineage": [{"cid": cid, "version": version} for cid, version in model.ancestors],
        "scores": scores,
        "ballot": None
        if ballot is None
        else {
            "yes": ballot.yes,
            "no": ballot.no,
            "abstain": ballot.abstain,
            "electorate": ballot.electorate,
            "quorum": ballot.quorum,
        },
    }


def graph_of(model: Model) -> dict[str, Json]:
    """Return the last versions and the updates as nodes and links of a chart."""
    manifest = model.manifest
    nodes: list[Json] = [_node(model.row.cid, f"v{model.row.version}", f"/models/{model.row.cid}")]
    links: list[Json] = []
    below = model.row.cid
    for cid, version in model.ancestors[: DRAWN - 1]:
        nodes.append(_node(cid, f"v{version}", f"/models/{cid}"))
        links.append({"from": cid, "to": below})
        below = cid
    for used in manifest.updates if manifest else ():
        name = f"update-{used.client}"
        nodes.append({"id": name, "name": str(used.client), "kind": "update"})
        links.append({"from": name, "to": model.row.cid})
    return {"nodes": nodes, "links": links}


def lineage_in_words(model: Model) -> str:
    """Say what the picture of the lineage shows, and what not."""
    updates = len(model.manifest.updates) if model.manifest else 0
    if len(model.ancestors) < DRAWN:
        return f"Updates: {updates}; earlier versions: {len(model.ancestors)}."
    return f"Updates: {updates}; of the earlier versions, the last {DRAWN - 1} are drawn."


def parts_of(model: Model) -> list[tuple[str, str]]:
    """Return the same parts as names and CIDs."""
    updates = model.manifest.updates if model.manifest else ()
    earlier = [(f"version {version}", cid) for cid, version in model.ancestors]
    return [*((f"update of {used.client}", str(used.cid)) for used in updates), *earlier]


def _node(cid: str, name: str, href: str) -> Json:
    return {"id": cid, "name": name, "kind": "model", "href": href}
