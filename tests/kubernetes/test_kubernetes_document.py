"""The page for administrators tells the truth: settings, permissions, objects."""

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from tests.kubernetes.fake_api import FakeApi
from tests.kubernetes.makers import order, until

from foedus.core.records import JobState, Resources
from foedus.launch.kubernetes import KubernetesScheduler, KubernetesSite, Volume
from foedus.site.config import Common, kubernetes_site
from foedus.site.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "kubernetes.md").read_text()
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
OBJECTS = [yaml.safe_load(body) for language, body in FENCE.findall(PAGE) if language == "yaml"]


def table(title: str) -> dict[str, str]:
    """Return the rows of the table with this title: the last column by each name of the first."""
    (rows,) = re.findall(rf"^\| `\[{title}\]` \|.*\n\|[-| ]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows.splitlines()]
    return {name: row[-1].strip("| ") for row in cells for name in re.findall(r"`(\w+)`", row[0])}


def test_every_setting_is_explained_with_its_default() -> None:
    explained = table("kubernetes")
    fields = {field.name: field for field in dataclasses.fields(KubernetesSite)}
    assert explained.keys() == fields.keys() | Common.model_fields.keys()
    for name in ("grace_s", "start_s", "ttl_s", "restarts", "timeout_s", "namespace"):
        assert explained[name].strip("`") == f"{fields[name].default}".removesuffix(".0")


def test_every_wish_is_explained() -> None:
    assert table("resources").keys() == {field.name for field in dataclasses.fields(Resources)}


def test_the_settings_shown_are_settings(tmp_path: Path) -> None:
    (shown,) = (tomllib.loads(body) for language, body in FENCE.findall(PAGE) if language == "toml")
    site, common = kubernetes_site(Settings(tmp_path, sections=shown))
    assert site == KubernetesSite("registry.example.org/foedus:1.0", Volume("foedus", "/shared"))
    assert common.python == "python3"
    KubernetesScheduler(site)


@pytest.mark.parametrize("shown", OBJECTS, ids=lambda shown: str(shown["kind"]))
def test_the_objects_shown_are_valid(shown: dict[str, Any]) -> None:
    assert kubernetes_validate.validate(shown, "1.37", strict=True) == "1.37"


def test_the_permissions_shown_are_those_that_are_used(
    api: FakeApi, scheduler: KubernetesScheduler, tmp_path: Path
) -> None:
    wanted = order(tmp_path)
    for _ in range(2):
        scheduler.submit(wanted)  # the second time it is read
    until(lambda: scheduler.look([wanted.name])[wanted.name].state is JobState.RUNNING)
    scheduler.log(wanted.name, "")
    scheduler.cancel(wanted.name, "")
    api.cluster.pod_refusal = "refused"
    stuck = order(tmp_path, 1)
    scheduler.submit(stuck)
    scheduler.look([stuck.name])
    (role,) = (shown for shown in OBJECTS if shown["kind"] == "Role")
    granted = {(v, r) for rule in role["rules"] for r in rule["resources"] for v in rule["verbs"]}
    assert api.used == granted
