"""A project to look at: three members with handwritten digits of their own federate while one watches.

Its members are accounts that nobody can sign in to. Administrators become its owners, and whoever joins it
without data of his own is given some of the images, so that he takes part in its next run. One image of each
digit is there to be seen, with what the model looks at in it.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from foedus.apps.datasets.catalogue import dataset_names, find_dataset
from foedus.apps.datasets.loading import register
from foedus.core.canonical import derive_seed
from foedus.learn.datasets import ImageSet, mnist
from foedus.learn.partitions import partition
from foedus.rounds.home import make_folder
from foedus.rounds.spec import parse_spec
from foedus.server.db import Dataset, ImageRequest, Membership, Project, Run, RunClient, User
from foedus.server.db.accounts import DEMO_SITES
from foedus.server.platform import Platform

SLUG: Final = "digits"
_GUESTS: Final = 5  # who may be given images
_NAME: Final = "digits"
_ROUNDS: Final = 200
_SHOWN: Final = 1  # images of each digit that members see


def make_demo(platform: Platform) -> None:
    """Make the demo project with its members, their datasets and a run; again, it changes nothing.

    Raises `InvalidData` when no images can be had.
    """
    with platform.reading() as db:
        if db.scalar(select(Project.id).where(Project.slug == SLUG)) is not None:
            return
    _write_images(platform)
    with platform.writing() as db:
        project = Project(
            slug=SLUG,
            title="Handwritten digits",
            goal="See a federation at work: three sites with images of their own train one model together.",
            draft=_spec(len(DEMO_SITES)),
        )
        for name in DEMO_SITES:
            user = User(name=name, display_name=f"Demo {name}", state="active", site=name)
            dataset = _given(platform, user, platform.home.root / "demo" / f"{name}.npz")
            member = Membership(user=user, role="member", client=name, dataset=dataset)
            project.memberships.append(member)
        db.add(project)
        db.flush()
        evaluation = _given(
            platform,
            project.memberships[0].user,
            platform.home.root / "demo" / "evaluation.npz",
            "evaluation",
        )
        db.add(evaluation)
        db.flush()
        project.evaluation_id = evaluation.id
        db.add(ImageRequest(dataset_id=evaluation.id, places=[], per_label=_SHOWN))
        _start(db, project)


def welcome(platform: Platform) -> None:
    """Make administrators owners of the demo project, and give images to members who bring none."""
    wanted = select(Project).where(Project.slug == SLUG)
    with platform.reading() as db:  # a worker asks twice a second: most platforms have no demo
        if db.scalar(wanted) is None:
            return
    with platform.writing() as db:
        project = db.scalars(wanted).one()
        known = {one.user_id for one in project.memberships}
        for user in db.scalars(select(User).where(User.is_admin, User.state == "active")):
            if user.id not in known:
                project.memberships.append(Membership(user=user, role="owner", client=user.name))
        guests = [one for one in project.memberships if one.user.name not in DEMO_SITES]
        for number, one in enumerate(sorted(guests, key=lambda one: one.id or 0)[:_GUESTS]):
            has_own = db.scalar(select(Dataset.id).where(Dataset.owner_id == one.user_id).limit(1))
            if one.state == "active" and one.role != "auditor" and has_own is None:
                path = platform.home.root / "demo" / f"guest-{number + 1}.npz"
                one.dataset = _given(platform, one.user, path)


def _spec(clients: int) -> dict[str, Any]:
    return {
        "rounds": _ROUNDS,
        "model": {"name": "cnn"},
        "data": {"name": "members"},
        "partition": {"clients": clients},
        "algorithm": {"name": "fedprox", "params": {}},
        "training": {"learning_rate": 0.05},
        "policy": {"vote_s": 600, "deadline_s": 600, "beta": -0.1, "epsilon": 0.1},  # small skewed sets
    }


def _start(db: Session, project: Project) -> None:
    spec = parse_spec({**_spec(len(project.memberships)), "name": f"{SLUG}-1"})
    run = Run(
        name=f"{SLUG}-1",
        project_id=project.id,
        created_by=project.memberships[0].user_id,
        title="The demo",
        spec=spec.model_dump(mode="json"),
        algorithm=spec.algorithm.name,
        rounds=spec.rounds,
    )
    for one in project.memberships:
        assert one.dataset_id is not None, "each demo member has a dataset"
        client = RunClient(
            user_id=one.user_id, client=one.client, account=one.user.account, dataset_id=one.dataset_id
        )
        run.clients.append(client)
    db.add(run)


def _write_images(platform: Platform) -> None:
    """Deal the images out: an evaluation set, and a skewed part for each site and guest."""
    folder = platform.home.root / "demo"
    make_folder(folder)
    images = mnist("auto", platform.site.data, platform.home.data)
    images = images if len(images) <= 5000 else images.take(5000, derive_seed("demo"))
    order = np.random.default_rng(derive_seed("demo", "order")).permutation(len(images))
    evaluation, rest = order[:800], order[800:]
    _save(folder / "evaluation.npz", images, evaluation)
    guests = [f"guest-{number + 1}" for number in range(_GUESTS)]
    dealt = partition(
        "dirichlet", images.labels[rest], [*DEMO_SITES, *guests], derive_seed("demo", "deal"), {"alpha": 2.0}
    )
    for name, rows in dealt.items():
        _save(folder / f"{name}.npz", images, rest[rows])


def _save(path: Path, images: ImageSet, rows: "np.ndarray[Any, Any]") -> None:
    np.savez(path, images=images.images[rows], labels=images.labels[rows])


def _given(platform: Platform, user: User, path: Path, name: str = _NAME) -> Dataset:
    home = platform.user_home(user.name)
    found = find_dataset(home, name) if name in dataset_names(home) else register(home, name, "arrays", path)
    return Dataset(
        owner=user,
        name=name,
        kind="arrays",
        licence="of the MNIST database",
        state="ready",
        request={"path": str(path)},
        metadata_=dict(found.public_metadata()),
        examples=found.examples,
    )
