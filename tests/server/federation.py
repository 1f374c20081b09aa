"""A project of two members with small private datasets, and a worker that works until something is so."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from foedus.apps.datasets.loading import register
from foedus.server.db import Dataset, Membership, Project, Run, RunClient, User
from foedus.server.platform import Platform
from foedus.server.worker.loop import PlatformWorker

LIMIT_S = 90.0


def found_project(platform: Platform, folder: Path, asks_votes: bool = False) -> None:
    """Make the project `digits` with Ada, who owns it, and Bob; each contributes data."""
    with platform.writing() as db:
        project = Project(slug="digits", title="Digits", draft={}, asks_votes=asks_votes)
        db.add(project)
        for number, name in enumerate(("ada", "bob")):
            dataset = _dataset(platform, folder, name, number)
            role = "member" if number else "owner"
            project.memberships.append(
                Membership(user=dataset.owner, role=role, client=name, dataset=dataset)
            )
        db.flush()
        project.evaluation_id = project.memberships[0].dataset_id


def federation(
    platform: Platform, folder: Path, rounds: int, asks_votes: bool = False, model: str = "cnn"
) -> None:
    """Make that project, and a run of it that waits for a worker."""
    found_project(platform, folder, asks_votes)
    with platform.writing() as db:
        project = db.scalars(select(Project)).one()
        values = {
            "model": {"name": model},
            "data": {"name": "members"},
            "partition": {"clients": 2},
            "rounds": rounds,
            "policy": {"beta": -1.0, "floor_ratio": 0.0, "epsilon": 1.0},
        }
        run = Run(
            name="digits-1",
            project_id=project.id,
            created_by=project.memberships[0].user_id,
            spec=values,
            algorithm="fedprox",
            rounds=rounds,
        )
        for one in project.memberships:
            client = RunClient(
                user_id=one.user_id, client=one.client, account=one.user.account, dataset_id=one.dataset_id
            )
            run.clients.append(client)
        db.add(run)


def worker_until(platform: Platform, met: Callable[[Session], bool]) -> None:
    """Let a worker work until it is so; it is stopped in order then."""
    stop = threading.Event()
    thread = threading.Thread(target=PlatformWorker(platform, stop).run)
    thread.start()
    try:
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            with platform.reading() as db:
                if met(db):
                    return
            stop.wait(0.1)
        raise AssertionError("it did not happen in time")
    finally:
        stop.set()
        thread.join()


def _dataset(platform: Platform, folder: Path, name: str, seed: int) -> Dataset:
    random = np.random.default_rng(seed)
    labels = np.arange(60) % 3
    images = random.integers(0, 40, (60, 28, 28), dtype=np.uint8)
    for row, label in enumerate(labels):
        images[row, 8 * label : 8 * label + 8] += 180  # a bar whose height tells the label
    path = folder / f"{name}.npz"
    np.savez(path, images=images, labels=labels)
    found = register(platform.user_home(name), "bars", "arrays", path)
    user = User(name=name, display_name=name.title(), state="active")
    return Dataset(
        owner=user,
        name="bars",
        kind="arrays",
        state="ready",
        request={},
        metadata_=dict(found.public_metadata()),
        examples=found.examples,
    )
