"""Brings people and projects onto the chain: keys, projects, and who is a client of them.

Nothing is remembered here: what is wanted stands in the database, what is so on the chain, and the difference
is sent. So it may be done again at any time, by any worker.
"""

import logging
from collections.abc import Collection

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from foedus.core.errors import Reverted
from foedus.core.protocols import Ledger
from foedus.core.records import Call, Role
from foedus.rounds.documents import ProjectDocument, publish
from foedus.server.db import Membership, Project, User
from foedus.server.platform import Platform

_log = logging.getLogger(__name__)


def bring_up_to_date(platform: Platform, ledger: Ledger) -> None:
    """Make missing keys, found new projects, and end the memberships of those who have left."""
    with platform.reading() as db:
        keyless = db.scalars(select(User).where(User.address.is_(None), User.state == "active")).all()
        unfounded = db.scalars(select(Project).where(Project.chain_project.is_(None))).all()
        is_gone = or_(Membership.state != "active", Membership.role == "auditor")
        gone = db.scalars(
            select(Membership.id).where(is_gone, Membership.chain_role >= int(Role.MEMBER))
        ).all()
    for user in keyless:
        _note_address(platform, user.id, ledger.address_of(user.account))
    for project in unfounded:
        _found(platform, ledger, project)
    for membership in gone:
        with platform.writing() as db:
            _set_role(db, ledger, db.get_one(Membership, membership), Role.NONE)


def enrol_clients(platform: Platform, ledger: Ledger, project_id: int, clients: Collection[int]) -> None:
    """Make just these users the clients of a project: a run that begins has the clients it was given.

    Raises `Reverted` when the contract refuses one.
    """
    with platform.writing() as db:
        project = db.get_one(Project, project_id)
        for membership in sorted(project.memberships, key=lambda one: one.client):
            is_client = membership.user_id in clients and membership.state == "active"
            if is_client:
                _set_role(db, ledger, membership, Role.MEMBER)
            elif membership.chain_role >= int(Role.MEMBER):
                _set_role(db, ledger, membership, Role.AUDITOR)


def _note_address(platform: Platform, user: int, address: str) -> None:
    with platform.writing() as db:
        db.get_one(User, user).address = address


def _found(platform: Platform, ledger: Ledger, project: Project) -> None:
    lead = ledger.address_of(project.account)
    for event in ledger.events():
        if event.name == "ProjectCreated" and (event.args["name"], event.args["lead"]) == (
            project.slug,
            lead,
        ):
            number = int(event.args["project"])
            break
    else:
        about = publish(platform.store, ProjectDocument(name=project.slug))
        (receipt,) = ledger.send([Call(project.account, "create_project", (project.slug, about))])
        if receipt.error is not None:
            raise Reverted(receipt.error, f"The project {project.slug} was to be founded on the chain.")
        number = int(receipt.events[0].args["project"])
    with platform.writing() as db:
        db.get_one(Project, project.id).chain_project = number
    _log.info("project %s is number %d on the chain", project.slug, number)


def _set_role(db: Session, ledger: Ledger, membership: Membership, role: Role) -> None:
    """Give a membership its role on the chain. After a change of key, the old account loses its own first."""
    project, user = membership.project, membership.user
    address = ledger.address_of(user.account)
    assert project.chain_project is not None, "projects are founded before anybody is enrolled"
    if membership.chain_address not in (None, address):
        _send_role(ledger, project, str(membership.chain_address), membership.client, Role.NONE)
        membership.client = f"{user.name}-{user.key_number}"[:32]  # the contract keeps a name for its account
    _send_role(ledger, project, address, membership.client, role)
    membership.chain_address, membership.chain_role = address, int(role)


def _send_role(ledger: Ledger, project: Project, address: str, client: str, role: Role) -> None:
    if int(str(ledger.call("role_of", int(project.chain_project or 0), address))) == int(role):
        return
    call = Call(project.account, "set_member", (int(project.chain_project or 0), address, client, int(role)))
    (receipt,) = ledger.send([call])
    if receipt.error is not None:
        raise Reverted(receipt.error, f"{client} was to become {role.name.lower()} of {project.slug}.")
