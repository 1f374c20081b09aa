"""The launcher for any cluster: submits once, follows, continues from checkpoints, takes over one outcome."""

import time
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import Self

from foedus.core.errors import FoedusError, InvalidSpec
from foedus.core.ids import NativeId
from foedus.core.records import JobSpec, JobState, JobStatus
from foedus.launch.cluster._inquiry import Answer, Inquiry
from foedus.launch.cluster._job import ClusterJob, Times
from foedus.launch.cluster.journal import Journal
from foedus.launch.cluster.scheduler import Order, Program, Refused, Scheduler, Sight, Unreachable
from foedus.launch.folder import JobFolder

_QUICKEST_S, _PER_JOB_S = 0.05, 0.003  # how often job folders are looked at: at least so long in between
_REMEMBERED = 4096  # ended jobs that can still be asked for, at least
_ANSWERS = 2  # so many that do not name a job: it could still be on its way when the first was given


class ClusterLauncher:
    """Runs batch jobs by a `Scheduler`; implements `core.protocols.Launcher`.

    An id is the job's own name, which its scheduler knows beside its own id. Jobs outlive this process:
    another one that submits the same key with the same folder finds the job again by the journal there. A
    submission whose fate is not known is looked for by name and repeated only when the scheduler does not
    have it. A job whose failure was told before is done afresh, and so is one that was cancelled before
    another process took it up, once that submission has ended.

    A result in the folder of any attempt is the job's result, whatever the scheduler says; without one a job
    is never completed. What the cluster did to a job (a failed node, pre-emption) is repaired by up to
    `times.retries` further submissions, and a job that wrote a checkpoint because its time was over goes on
    in up to `times.continuations` more. While the scheduler does not answer, states are `UNKNOWN`.

    Of the jobs that have ended, the last thousands can be asked for.

    Use it from one thread. The scheduler is asked in the background, for all jobs by one question, at most
    every `times.poll_s` seconds and less often while nothing changes or it does not answer.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        program: Program,
        times: Times | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scheduler, self._program = scheduler, program
        self._times = times or Times()
        self._clock = clock
        self._jobs: dict[NativeId, ClusterJob] = {}
        self._open: list[ClusterJob] = []  # those that have not ended
        self._rivals: list[ClusterJob] = []  # those that have ended, and are yet to be stopped
        self._reported: dict[NativeId, JobStatus] = {}
        self._inquiry = Inquiry(scheduler, self._times, clock)
        self._trouble = ""  # why the scheduler does not answer, as far as is known
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(self, spec: JobSpec, key: str) -> NativeId:
        """Submit the job, or take up the one that has this key and folder. See the class.

        Raises `InvalidSpec` when the folder is not usable, holds no `spec.json`, or asks for what cannot be
        had.
        """
        if self._is_closed:
            raise RuntimeError("the launcher was closed")
        folder = JobFolder(spec.folder)
        native_id = NativeId(Journal.new(folder, key).name)
        if native_id not in self._jobs:
            job = self._jobs[native_id] = self._admitted(spec, folder, key)
            self._open.append(job)
            self._part_with_ended()
            self._forget_the_oldest()
            self._inquiry.soon()
        return native_id

    def find(self, key: str) -> NativeId | None:
        """Return the id of the job with this key, if this launcher was given it."""
        return next((i for i, job in self._jobs.items() if job.journal.key == key), None)

    def states(self, ids: Collection[NativeId], wait_s: float = 0.0) -> Mapping[NativeId, JobStatus]:
        """Return the states; an id that this launcher was not given is `LOST`.

        With `wait_s`, block until a state differs from what this method last returned for the job, at most
        that many seconds, and not at all once every one is final.
        """
        deadline = time.monotonic() + wait_s
        self._turn()
        while not self._is_news(ids) and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _QUICKEST_S + _PER_JOB_S * len(self._open)))
            self._turn()
        current = {native_id: self._status(native_id) for native_id in ids}
        self._reported.update({i: status for i, status in current.items() if i in self._jobs})
        return current

    def cancel(self, native_id: NativeId) -> None:
        """Have the scheduler stop the job. It is `CANCELLED` once the scheduler says that it has ended."""
        job = self._jobs.get(native_id)
        if job is not None and not job.is_final:
            job.is_cancelled_now()
            if not self._stop(job):
                job.becomes(JobState.UNKNOWN, f"to be cancelled: {self._trouble}")
            self._inquiry.soon()

    def logs(self, native_id: NativeId) -> str:
        """Return the last 64 KiB of the job's output; empty for an unknown job."""
        job = self._jobs.get(native_id)
        if job is None:
            return ""
        text = job.folder.read_log()
        if text or job.is_unsent:
            return text
        try:
            return self._scheduler.log(job.journal.full_name, job.journal.scheduler_id)
        except Unreachable:
            return ""

    def close(self) -> None:
        """Stop asking. Batch jobs go on; states can still be asked for. Idempotent."""
        self._is_closed = True
        self._inquiry.close()

    # --- submitting ---

    def _admitted(self, spec: JobSpec, folder: JobFolder, key: str) -> ClusterJob:
        if not key or not spec.resources.walltime_s > 0:
            raise InvalidSpec("a job needs a key and a time limit above 0 s")
        if not folder.has_spec():
            raise InvalidSpec(
                f"{spec.folder!r} is no job folder", "It must be a folder that holds spec.json."
            )
        known = Journal.known(folder, key)
        is_guessed = known is not None and Journal.read(folder) is None
        job = ClusterJob(spec, folder, known or Journal.new(folder, key), is_guessed)
        self._scheduler.check(self._order(job))
        try:
            if known is not None or folder.has_result_of(key):
                job.take_up()
            if job.status.state is not JobState.COMPLETED and (known is None or known.is_settled):
                job.turn_to(known.afresh() if known else Journal.first(folder, key))
                self._send(job)
        except (OSError, ValueError) as error:
            raise InvalidSpec(f"the job folder {spec.folder!r} cannot be written to: {error}") from error
        return job

    def _order(self, job: ClusterJob) -> Order:
        journal, spec = job.journal, job.spec
        argv = self._program.argv(str(job.folder.path), journal.number, spec.resources.walltime_s)
        folder = str(job.folder.path)
        return Order(journal.full_name, argv, folder, spec.resources, spec.application, spec.affinity)

    def _send(self, job: ClusterJob) -> None:
        """Submit; where the answer does not come, the job stays unsent and is looked for by name first.

        While the scheduler is known not to answer, nothing is tried: each try may take many seconds.
        """
        job.is_sent_again()
        if self._trouble:
            job.becomes(JobState.UNKNOWN, f"to be queued later: {self._trouble}")
            return
        try:
            scheduler_id = self._scheduler.submit(self._order(job))
        except Unreachable as error:
            self._trouble = error.message
            job.becomes(JobState.UNKNOWN, f"not known to be queued: {error.message}")
        except Refused as error:
            job.becomes(JobState.FAILED, f"the scheduler refuses it: {error}")
        except OSError as error:
            job.becomes(JobState.FAILED, f"it cannot be submitted from its folder: {error}")
        else:
            job.is_unsent = False
            job.note(scheduler_id=scheduler_id)
            job.becomes(JobState.QUEUED)

    def _send_again(self, job: ClusterJob) -> None:
        """Submit a job that was taken on before: whatever is wrong now is told by its state."""
        try:
            self._send(job)
        except FoedusError as error:
            job.becomes(JobState.FAILED, f"it cannot be submitted again: {error}")

    def _stop(self, job: ClusterJob) -> bool:
        """Have it stopped. Tells whether that could be said to the scheduler, which is not asked in vain."""
        if not self._trouble:
            try:
                self._scheduler.cancel(job.journal.full_name, job.journal.scheduler_id)
            except Unreachable as error:
                self._trouble = error.message
        return not self._trouble

    # --- following ---

    def _turn(self) -> None:
        """Look at the folders of active jobs, and at what the scheduler says once it has answered."""
        for job in self._open:
            job.look_at_folder()
        self._part_with_ended()
        answer = self._inquiry.answer()
        if answer is not None:
            self._hear(answer)
            self._part_with_ended()
        if self._open or self._rivals:
            self._inquiry.ask([job.journal.full_name for job in (*self._open, *self._rivals)])

    def _part_with_ended(self) -> None:
        """Follow no longer what has ended; stop other attempts of it that run, or are about to."""
        self._rivals += [job for job in self._open if job.is_final and job.journal.has_rivals]
        self._open = [job for job in self._open if not job.is_final]
        for job in list(self._rivals):
            if self._stop(job):
                job.note(has_rivals=False)
                self._rivals.remove(job)

    def _forget_the_oldest(self) -> None:
        """Keep memory constant over thousands of rounds."""
        if len(self._jobs) > 2 * _REMEMBERED:
            ended = [native_id for native_id, job in self._jobs.items() if job.is_final]
            for native_id in ended[:-_REMEMBERED]:
                del self._jobs[native_id]
                self._reported.pop(native_id, None)

    def _hear(self, answer: Answer) -> None:
        before = [job.status for job in self._open]
        self._trouble = answer.error
        for job in self._open:
            if answer.error:
                job.becomes(JobState.UNKNOWN, answer.error)
                job.missing_since = None  # it was not asked for all that time
            elif job.journal.full_name in answer.asked:  # else it was submitted meanwhile
                self._apply(job, answer.sights.get(job.journal.full_name))
        self._inquiry.pace(is_quiet=[job.status for job in self._open] == before)

    def _apply(self, job: ClusterJob, sight: Sight | None) -> None:
        """Bring one job up to date with what the scheduler says of it."""
        if sight is None:
            self._miss(job)
            return
        job.is_unsent, job.missed = False, 0
        if sight.scheduler_id != job.journal.scheduler_id:
            job.note(scheduler_id=sight.scheduler_id)
        if not sight.state.is_final:
            job.follow(sight)
            if job.journal.is_cancelled:
                self._stop(job)  # it may have been queued after we said so
        else:
            self._repeat(job, job.settles(sight, self._times, self._clock()))

    def _miss(self, job: ClusterJob) -> None:
        """The scheduler does not know the job: not yet, or not any more."""
        job.missed += 1
        if job.is_unsent and not job.has_begun:
            if job.missed < _ANSWERS:
                return
            if job.is_to_end():
                self._repeat(job, job.was_cancelled("cancelled before it was queued"))
            else:
                self._send_again(job)
        else:
            self._repeat(job, job.misses(self._times, self._clock()))

    def _repeat(self, job: ClusterJob, again: Journal | None) -> None:
        """Submit the job once more, if it is to go on from its checkpoint or to start again."""
        if again is None:
            return
        cause = job.status.cause
        if not self._stop(job):  # the scheduler may still hold the submission before, to start it some time
            job.becomes(JobState.UNKNOWN, f"{cause}; to be queued later: {self._trouble}")
            return
        try:
            job.turn_to(again)
        except (OSError, ValueError) as error:
            job.becomes(JobState.FAILED, f"{cause}; but it cannot be submitted again: {error}")
            return
        if job.is_guessed:
            job.is_sent_again()  # it may have been submitted before: then it is found by its name
            job.becomes(JobState.UNKNOWN, cause)
        else:
            self._send_again(job)
        if not job.is_final:
            job.becomes(job.status.state, cause)
        self._inquiry.soon()

    def _status(self, native_id: NativeId) -> JobStatus:
        job = self._jobs.get(native_id)
        return job.status if job else JobStatus(native_id, JobState.LOST, "not a job of this launcher")

    def _is_news(self, ids: Collection[NativeId]) -> bool:
        current = {native_id: self._status(native_id) for native_id in ids}
        return all(status.state.is_final for status in current.values()) or any(
            status != self._reported.get(native_id) for native_id, status in current.items()
        )
