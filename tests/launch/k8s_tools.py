"""What tests of the Kubernetes launcher share."""

from dataclasses import replace

from foedus.core.records import Resources
from foedus.launch.cluster import Order
from foedus.launch.kubernetes import KubernetesSite, Volume

NAME = f"foedus-{'0' * 24}-0"
FOLDER = "/shared/shared/jobs/a b"
PLAIN = Order(NAME, ("python3", "-m", "program", FOLDER, "0"), FOLDER, Resources(walltime_s=600.0), "app:run")
SITE = KubernetesSite("registry.example.org/foedus:1.0", Volume("work", "/shared"), user=1234, group=100)
HOSTILE = [
    "a b",
    "a\nb",
    "a\n",
    "a;id",
    "$(id)",
    "`id`",
    "a'b",
    'a"b',
    "-n",
    "--dry-run",
    "a: b",
    "{}",
    "ä",
    "a\0b",
    "\ud800",
    "../a",
    "x" * 1_000_000,
]


def order(**resources: object) -> Order:
    """Return an order that asks for this."""
    return replace(PLAIN, resources=Resources(**resources))  # type: ignore[arg-type]


def site(**settings: object) -> KubernetesSite:
    """Return the plain site with other settings."""
    return replace(SITE, **settings)  # type: ignore[arg-type]
