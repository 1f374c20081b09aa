"""One job of a cluster's launcher: what is known of it, and what that makes of its state."""

from contextlib import suppress
from dataclasses import dataclass, field, replace

from foedus.core.errors import TaskFailed
from foedus.core.ids import NativeId
from foedus.core.records import JobSpec, JobState, JobStatus
from foedus.launch._attempts import attempt_order
from foedus.launch._failure import printable
from foedus.launch.cluster.ended import Outcome, attempt_with_result, newest_attempt, newest_outcome
from foedus.launch.cluster.journal import Journal
from foedus.launch.cluster.scheduler import Sight
from foedus.launch.folder import CHECKPOINT, JobFolder

_LINES, _LINES_CHARACTERS, _CHARACTERS = 5, 1000, 8000
_CANCELLED, _BY_COMMAND = "cancelled", "cancelled by `foedus job cancel`"
BATCH_LOG = "batch.log"  # what scheduler and start script print, beside the task's own out.log


@dataclass(frozen=True, slots=True)
class Times:
    """How patient a launcher is: seconds, and how often a job is submitted again."""

    poll_s: float = 2.0  # at least this long between two questions to the scheduler
    slow_poll_s: float = 15.0  # so long once nothing changes any more
    settle_s: float = 10.0  # a shared file system may show the last files so much later
    lost_s: float = 120.0  # a job that the scheduler does not know is lost after this
    retries: int = 2  # after failures of the cluster
    continuations: int = 50  # from checkpoints, when the time limit ended an attempt


@dataclass(eq=False, slots=True)
class ClusterJob:
    """What the launcher knows of a job. `is_unsent`: whether the scheduler has it is not known.

    `is_guessed`: the journal was damaged, so submissions may have been made that it does not tell of.
    """

    spec: JobSpec
    folder: JobFolder
    journal: Journal
    status: JobStatus = field(init=False)
    is_unsent: bool = field(init=False)
    is_guessed: bool = False
    is_resumed: bool = False  # an earlier process submitted it, and all that was told since is that it ended
    missed: int = 0  # answers in a row that did not name it
    missing_since: float | None = None
    ended_since: float | None = None
    _adopted_as: int = 0  # which of the attempts, counted from 1, gave the result
    _cancelled_how: str = _CANCELLED

    def __post_init__(self) -> None:
        self.is_unsent = not self.journal.scheduler_id
        self.status = JobStatus(self.native_id, JobState.UNKNOWN, "asking the scheduler")

    @property
    def native_id(self) -> NativeId:
        """The id that the launcher gave it."""
        return NativeId(self.journal.name)

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status.state.is_final

    @property
    def has_begun(self) -> bool:
        """Whether an attempt of the present submission has begun: then the scheduler got it."""
        return newest_attempt(self.folder, self.journal.number) is not None

    def becomes(self, state: JobState, cause: str = "", native: str = "") -> None:
        """Change the state; a final one is noted, so that a later process does not wait for it."""
        status = JobStatus(
            self.native_id,
            state,
            printable(cause)[:_CHARACTERS],
            self.journal.scheduler_id,
            printable(native) or self.status.scheduler_state,
            max(1, len(self.folder.attempts()), self._adopted_as),
        )
        if status == self.status:
            return
        self.status = status
        self.folder.write_status(status)
        if state.is_final and not self.journal.is_settled:
            self.note(is_settled=True)

    def is_cancelled_now(self) -> None:
        """Note that it is to be stopped, and not to be done afresh then."""
        self.is_resumed = False
        self.note(is_cancelled=True)

    def is_to_end(self) -> bool:
        """Whether it is, or was, to be stopped: another process notes that in the journal, too."""
        noted = None if self.journal.is_cancelled else Journal.read(self.folder)
        if noted is not None and noted.is_cancelled and noted.full_name == self.journal.full_name:
            self.journal = replace(self.journal, is_cancelled=True)
            self._cancelled_how = _BY_COMMAND
        return self.journal.is_cancelled

    def turn_to(self, journal: Journal) -> None:
        """Write down the journal of a submission, before that is made; clear the folder for one afresh.

        Raises OSError, and ValueError for a folder that is not fit.
        """
        if journal.is_afresh:
            self.folder.begin(journal.key, self.spec.resources)
        journal.write(self.folder)
        self.journal = journal

    def note(self, **changes: str | bool) -> None:
        """Change the journal, and write that down where the folder allows it: a later process can do without.

        One folder that was taken away, or a full disk, must not keep the launcher from following other jobs.
        """
        self.is_to_end()  # else what another process noted would be overwritten
        self.journal = replace(self.journal, **changes)  # type: ignore[arg-type]  # fields have many types
        with suppress(OSError):
            self.journal.write(self.folder)

    def is_sent_again(self) -> None:
        """Begin anew to find out whether the scheduler has it."""
        self.is_unsent, self.is_resumed, self.missed = True, False, 0
        self.missing_since = self.ended_since = None

    # --- what the folder says ---

    def take_up(self) -> None:
        """Go on with a job that an earlier process submitted: with its result, if it has one."""
        self.is_resumed = not self.journal.is_settled
        if self.journal.adopted:
            self._adopt(self.journal.adopted)
        elif self.folder.has_result_of(self.journal.key):
            self.becomes(JobState.COMPLETED)
        if not self.is_final:
            self.look_at_folder()

    def look_at_folder(self) -> None:
        """Take over a result that an attempt has left, or the error that the newest one ended with."""
        attempt = attempt_with_result(self.folder)
        if attempt is not None:
            attempts = self.folder.attempts()
            number, _ = attempt_order(attempt) or (0, 0)
            has_rivals = attempt != attempts[-1] or number != self.journal.number
            self._adopted_as = attempts.index(attempt) + 1
            self.note(adopted=attempt, has_rivals=has_rivals)
            self._adopt(attempt)
            return
        outcome = self._outcome()
        if outcome is None or outcome.failure is None or outcome.is_interrupted or self.is_to_end():
            return
        with suppress(OSError):
            self.folder.keep_failure(outcome.failure)
        self.becomes(JobState.FAILED, str(outcome.failure))

    def _adopt(self, attempt: str) -> None:
        try:
            self.folder.adopt(attempt)
            has_result = self.folder.read_result() is not None
        except (OSError, TaskFailed) as error:
            self.becomes(JobState.FAILED, f"its result cannot be taken over: {error}")
            return
        if has_result:
            self.becomes(JobState.COMPLETED)
        else:  # the journal is wrong
            self.note(adopted="")

    # --- what the scheduler says ---

    def follow(self, sight: Sight) -> None:
        """The scheduler still works on it."""
        self.missing_since = self.ended_since = None
        if self.is_resumed and self.journal.is_cancelled:
            self.becomes(JobState.UNKNOWN, "it was cancelled; it is submitted again once it has ended")
            return
        self.is_resumed = False
        self.becomes(sight.state, sight.cause, sight.native)

    def settles(self, sight: Sight, times: Times, now: float) -> Journal | None:
        """The scheduler is done with it: find out what that means.

        Returns the journal of the next submission, where there is to be one.
        """
        self.look_at_folder()
        if self.is_final:
            return None
        outcome = self._outcome()
        if self.is_to_end() or (sight.state is JobState.CANCELLED and not sight.is_passing):
            own = self._cancelled_how if self.journal.is_cancelled else ""
            return self.was_cancelled(own or sight.cause or "cancelled by somebody else", sight.native)
        again = self._continuation(outcome, times, sight.out_of_time)
        if again is not None:
            return again
        if sight.is_passing and self.journal.retried < times.retries:
            self.becomes(JobState.QUEUED, f"next attempt: {sight.cause}", sight.native)
            return self.journal.retry()
        if outcome is None and self._may_files_be_late(sight, times, now):
            self.becomes(JobState.RUNNING, "it has ended; waiting for its last files", sight.native)
        else:
            self.becomes(JobState.FAILED, self._cause(sight, outcome), sight.native)
        return None

    def misses(self, times: Times, now: float) -> Journal | None:
        """The scheduler does not know the job any more: it ended, but how? Returns what `settles` does."""
        self.look_at_folder()
        if self.is_final:
            return None
        self.missing_since = now if self.missing_since is None else self.missing_since
        outcome = self._outcome()
        if self.is_to_end():
            return self.was_cancelled(self._cancelled_how)
        if (again := self._continuation(outcome, times)) is not None:
            return again
        if outcome is not None:
            self.becomes(JobState.FAILED, outcome.words or str(outcome.failure))
        elif now - self.missing_since < times.lost_s:
            self.becomes(
                JobState.UNKNOWN, "the scheduler does not know the batch job, and it left no result yet"
            )
        elif self.is_resumed:
            return self._afresh()
        else:
            self.becomes(JobState.LOST, "the scheduler has forgotten the batch job, and it left no result")
        return None

    def was_cancelled(self, cause: str, native: str = "") -> Journal | None:
        """It has ended because it was cancelled. Returns what `settles` does.

        Whoever takes up one that had been cancelled before wants it done.
        """
        if self.is_resumed:
            return self._afresh()
        self.becomes(JobState.CANCELLED, cause, native)
        return None

    def _afresh(self) -> Journal:
        """Return the journal of its submission in place of one that ended while nobody looked."""
        self.becomes(JobState.QUEUED, "it had ended without a result; it is submitted again")
        return self.journal.afresh()

    def _continuation(
        self, outcome: Outcome | None, times: Times, is_out_of_time: bool = False
    ) -> Journal | None:
        """Return the journal of a submission that goes on from a checkpoint, where that is worth it."""
        is_out_of_time = is_out_of_time or (outcome is not None and outcome.is_out_of_time)
        is_interrupted = outcome is not None and outcome.is_interrupted
        if not is_interrupted and not (is_out_of_time and self._has_newest_checkpoint()):
            return None
        if self.journal.continued >= times.continuations:
            return None
        self.becomes(JobState.QUEUED, "its time was over; it goes on from its checkpoint")
        return self.journal.continuation()

    def _may_files_be_late(self, sight: Sight, times: Times, now: float) -> bool:
        if sight.cause or not (sight.state is JobState.COMPLETED or self.has_begun):
            return False
        self.ended_since = now if self.ended_since is None else self.ended_since
        return now - self.ended_since < times.settle_s

    def _cause(self, sight: Sight, outcome: Outcome | None) -> str:
        if outcome is not None:
            own = outcome.words or str(outcome.failure)
            return f"{sight.cause}; {own}" if sight.cause else own
        words = sight.cause or sight.ended or "the batch job ended without a result"
        tail = "\n".join(self.folder.read_tail(BATCH_LOG).splitlines()[-_LINES:])[-_LINES_CHARACTERS:]
        return f"{words}; its log ends:\n{tail}" if tail else words

    def _outcome(self) -> Outcome | None:
        return newest_outcome(self.folder, self.spec.resources, self.journal.number)

    def _has_newest_checkpoint(self) -> bool:
        attempt = newest_attempt(self.folder, self.journal.number)
        return attempt is not None and (self.folder.path / attempt / CHECKPOINT).is_file()
