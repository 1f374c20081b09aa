"""A platform with people and what they have made, written straight into its database."""

import datetime
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session
from tests.browser.filled_chain import fill_chain
from tests.browser.filled_images import fill_images

from foedus.server.auth import browsers
from foedus.server.db import (
    Announcement,
    AppJob,
    Dataset,
    Decision,
    Membership,
    Metric,
    Project,
    Run,
    RunClient,
    RunEvent,
    User,
    Worker,
)
from foedus.server.platform import Platform, open_platform
from foedus.site.settings import read_settings

CANDIDATE = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
PEOPLE = {"root": True, "alice": False, "bob": False, "nora": False}
"""Their names, and whether they are administrators. Nora has an account and nothing else."""
_STATES = ("running", "waiting", "completed", "failed", "cancelled")


@dataclass(frozen=True)
class Filled:
    """Where the platform lives, and everybody's cookie."""

    home: Path
    cookies: dict[str, str]


def fill(home: Path) -> Filled:
    """Make a home folder with four people, two projects, runs in every state and a small chain."""
    data = home.parent / "data"
    (data / "alice" / "xrays").mkdir(parents=True)
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text(f'[server]\ndata_roots = ["{data}/{{user}}"]\n')
    with open_platform(read_settings(home, environ={})) as platform, platform.writing() as db:
        users = {
            name: User(name=name, display_name=name.title(), state="active", is_admin=is_admin, site="CERN")
            for name, is_admin in PEOPLE.items()
        }
        db.add_all(users.values())
        db.flush()
        now = platform.now()
        cookies = {
            name: browsers.sign_in(db, user, platform.server, now, "test", "127.0.0.1")
            for name, user in users.items()
        }
        _fill_projects(db, platform, users)
    return Filled(home, cookies)


def _fill_projects(db: Session, platform: Platform, users: dict[str, User]) -> None:
    now = platform.now()
    alice, bob = users["alice"], users["bob"]
    lungs = Project(
        slug="lungs",
        title="Lung masks from three hospitals",
        goal="Find the lungs in X-ray images.",
        task="segmentation",
        draft={},
        asks_votes=True,
        chain_project=1,
    )
    digits = Project(slug="digits", title="Digits", task="classification", draft={}, state="archived")
    lungs.memberships = [
        Membership(user_id=alice.id, role="owner", client="alice"),
        Membership(user_id=bob.id, role="member", client="bob"),
    ]
    digits.memberships = [Membership(user_id=alice.id, role="owner", client="alice")]
    db.add_all([lungs, digits])
    db.flush()
    datasets = [_dataset(alice, [500, 400, 300]), _dataset(bob, [30, 2, 800])]
    db.add_all(datasets)
    db.flush()
    for membership, dataset in zip(lungs.memberships, datasets, strict=True):
        membership.dataset_id = dataset.id
    lungs.evaluation_id = datasets[0].id
    for number, state in enumerate(_STATES, 1):
        run = Run(
            name=f"lungs-{number}",
            project_id=lungs.id,
            created_by=alice.id,
            title=f"Attempt {number}",
            spec={},
            algorithm="fedavg",
            rounds=20,
            round={"running": 7, "completed": 20}.get(state, 0),
            state=state,
            score=0.8931 if state == "completed" else None,
            chain_run=1 if state == "completed" else None,
            cause={"waiting": "3 batch jobs wait for nodes", "failed": "a task failed"}.get(state, ""),
            started_at=None if state == "waiting" else now - datetime.timedelta(hours=29 - number),
            created_at=now - datetime.timedelta(hours=30 - number),
        )
        run.clients = [
            RunClient(user_id=user.id, client=user.name, account=user.account, dataset_id=data.id)
            for user, data in zip((alice, bob), datasets, strict=True)
        ]
        db.add(run)
    db.flush()
    running = run.id - len(_STATES) + 1
    db.add(
        Decision(
            run_id=running,
            round=7,
            user_id=alice.id,
            candidate=CANDIDATE,
            score=0.91,
            base_score=0.9,
            deadline=int(now.timestamp()) + 900,
        )
    )
    voted = Decision(run_id=running + 2, round=2, user_id=alice.id, candidate=CANDIDATE, score=0.82)
    voted.base_score, voted.deadline, voted.advice, voted.choice = 0.7, int(now.timestamp()), 1, 1
    voted.comment = "Much better at the edges."
    said = {"kind": "train", "cause": "the loss is not finite"}
    failed = RunEvent(run_id=running + 3, kind="task-failed", round=1, client="bob", values=said)
    db.add_all([voted, failed])
    db.add_all(
        Metric(run_id=running, name="test_accuracy", client="", round=n, value=1 - 0.5**n)
        for n in range(1, 7)
    )
    db.add(Announcement(text="The cluster is down for maintenance on Sunday from 6 to 8.", level="warning"))
    fill_chain(db, 1, 1, "lungs-3", int(now.timestamp()))
    fill_images(db, datasets[0].id)
    db.add(
        AppJob(
            owner_id=alice.id,
            application="SIM_REACTION_DIFFUSION",
            parameters={"steps": 2000},
            resources={},
            folder="waves-1",
            state="failed",
            cause="the node ran out of memory",
            scheduler_id="4711",
            scheduler_state="OUT_OF_MEMORY",
        )
    )
    db.add(Worker(name="worker-1", started_at=now, seen_at=now, state="working"))


def _dataset(owner: User, counts: list[int]) -> Dataset:
    total = sum(counts)
    return Dataset(
        owner_id=owner.id,
        name=f"{owner.name}-xrays",
        kind="images",
        state="ready",
        request={"path": f"/data/{owner.name}/xrays", "recipe": [], "val": 0.1, "test": 0.1, "seed": 1},
        examples=total,
        metadata_={
            "shape": [1, 64, 64],
            "dtype": "uint8",
            "parts": {"train": total - 2 * (total // 10), "val": total // 10, "test": total // 10},
            "recipe": [],
            "recipe_hash": "5f" * 32,
            "histogram": counts,
        },
    )
