"""What a page says once after a form was done; a cookie carries it there, and lasts a minute at most."""

from enum import StrEnum
from typing import Final

from fastapi import Request
from fastapi.responses import Response

_COOKIE: Final = "notice"
_KEPT_S: Final = 60


class Notice(StrEnum):
    """All that may be said. The cookie holds a name, so nobody can have a page say anything else."""

    SAVED = "Saved."
    PASSWORD_CHANGED = "The password is changed; all other browsers are signed out."  # noqa: S105 - a sentence, no secret
    SESSION_ENDED = "That browser is signed out."
    TOKEN_REVOKED = "The token is revoked."  # noqa: S105 - a sentence, no secret
    IDENTITY_LINKED = "The identity is linked: you may sign in by it."
    IDENTITY_UNLINKED = "The identity is unlinked."
    KEY_ASKED = "A worker makes another key soon."
    VOTED = "Your vote is cast."
    INVITED = "The invitation is made; it waits for an answer."
    LINK_WITHDRAWN = "The link leads nowhere any more."
    JOINED = "You are a member of this project now."
    DECLINED = "The invitation is declined."
    LET_IN = "They are members of this project now."
    TURNED_AWAY = "They were not let in."
    ROLE_CHANGED = "The role is changed."
    MEMBER_REMOVED = "The member is removed."
    LEFT = "You have left the project."
    FOUNDED = "The project is founded."
    FROZEN = "The policy stays as it is from now on."
    ARCHIVED = "The project is archived."
    REOPENED = "The project is open again."
    EVALUATION_REMOVED = "The project has no evaluation dataset any more."
    SHARING = "A worker publishes the examples soon."
    DATASET_NOTED = "The dataset is noted; a worker reads it soon."
    DATASET_WITHDRAWN = "The dataset is withdrawn."
    IMAGES_ASKED = "A worker copies the images soon; then others see them."
    IMAGES_WITHDRAWN = "The images are taken back."
    DRAFT_KEPT = "The draft is kept: a new run begins with it."
    RUN_STARTED = "The run is noted; a worker starts it soon."
    RUN_CANCELLED = "The run ends soon: a worker is asked to cancel it."
    JOB_SUBMITTED = "The batch job is noted; a worker submits it soon."
    JOB_CANCELLED = "The batch job ends soon: a worker is asked to cancel it."
    ACCOUNTS_APPROVED = "The accounts are approved."
    ACCOUNT_CHANGED = "The account is changed."
    ANNOUNCED = "Everybody is told."
    ANNOUNCEMENT_WITHDRAWN = "The announcement is withdrawn."
    LEASE_RELEASED = "The claim is released."
    COUNTS_FORGOTTEN = "The counts are forgotten."


def give(answer: Response, notice: Notice) -> None:
    """Have the browser's next page say something."""
    answer.set_cookie(_COOKIE, notice.name, _KEPT_S, httponly=True, samesite="strict")


def notice_in(request: Request) -> Notice | None:
    """Return what this request's page is to say."""
    return Notice.__members__.get(request.cookies.get(_COOKIE, ""))


def take_back(answer: Response) -> None:
    """Have the browser forget what it was to say: it is said now."""
    answer.delete_cookie(_COOKIE, httponly=True, samesite="strict")
