"""Jobs and pods as API servers write them, cut to what matters; what the launcher makes of them."""

import time
from typing import Any

from foedus.launch.cluster import Sight
from foedus.launch.kubernetes._json import time_of
from foedus.launch.kubernetes.states import seen

NOW = time_of({"t": "2026-11-01T12:00:00Z"}, "t") or 0.0


def ago(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - seconds))


def job(status: Any = None, **metadata: object) -> Any:  # noqa: ANN401 - JSON
    return {
        "metadata": {"name": "j", "uid": "u-1", **metadata},
        "spec": {},
        "status": status or {"active": 1},
    }


def ended(kind: str, reason: str = "") -> Any:  # noqa: ANN401 - JSON
    return job({"conditions": [{"type": kind, "status": "True", "reason": reason}]})


def pod(phase: str, container: Any = None, *conditions: Any, **more: Any) -> Any:  # noqa: ANN401 - JSON
    made = {
        "name": "j-abcde",
        "uid": "p",
        "creationTimestamp": more.pop("made", ago(60)),
        **more.pop("about", {}),
    }
    limits = {"containers": [{"resources": {"limits": {"memory": "500Mi"}}}]}
    states = [{"name": "task", "state": container}] if container else []
    status = {"phase": phase, "conditions": list(conditions), "containerStatuses": states, **more}
    return {"metadata": made, "spec": limits, "status": status}


def condition(kind: str, status: str, reason: str = "", message: str = "") -> Any:  # noqa: ANN401 - JSON
    return {"type": kind, "status": status, "reason": reason, "message": message}


PLACED = condition("PodScheduled", "True")


def sight(the_job: Any, *pods: Any, warnings: Any = ()) -> Sight:  # noqa: ANN401 - JSON
    found = seen(the_job, pods, warnings, NOW)
    assert found is not None
    return found


def waiting(reason: str, message: str = "") -> Any:  # noqa: ANN401 - JSON
    return pod("Pending", {"waiting": {"reason": reason, "message": message}}, PLACED)


def terminated(**how: object) -> Any:  # noqa: ANN401 - JSON
    return pod("Failed", {"terminated": how}, PLACED)


def event(reason: str, message: str) -> Any:  # noqa: ANN401 - JSON
    return {"reason": reason, "message": message}
