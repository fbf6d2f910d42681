"""`main` with `JOB_MESSAGE` set, or `main job`: one batch job, and what becomes of it in its `status.json`."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from clipstream.batch import JobMessage, JobStatus, now_text, only_job, read_status, write_status
from clipstream.cli.documents import print_document, run_document
from clipstream.cli.options import Presentation
from clipstream.cli.run import exit_status, signals_received
from clipstream.cli.summary import print_summary
from clipstream.cli.watching import print_error, watching
from clipstream.errors import ClipstreamError, InputError, UsageError
from clipstream.log import configure_logging
from clipstream.media.live.address import AddressCheck, Credentials, LiveAddress, LiveInput, check_public, scrub
from clipstream.media.live.connection import LiveConnection, check_protocol
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.web.web_media import find_media
from clipstream.report.manifest import MANIFEST_NAME, read_manifest
from clipstream.report.page import REPORT_NAME
from clipstream.run.fetching import WebInput
from clipstream.run.run import run_job
from clipstream.run.watchers import Outcome
from clipstream.settings import Settings
from clipstream.settings.option import JOB_VARIABLE

__all__ = ["run_batch_job"]

_STOPPED = "stopped; the same message goes on where it was."


class _Terminated(KeyboardInterrupt):
    """SIGTERM came while nobody else listened for it."""


def run_batch_job(environment: Mapping[str, str], settings: Settings, presentation: Presentation) -> int:
    """Do the job that `JOB_MESSAGE` describes, keep its `status.json` true, and return the exit status.

    Raises:
        UsageError: There is no message, it cannot be understood, its id is another job's, or another process has it.
        OutputError: The output folder cannot be written.
    """
    configure_logging(settings, debug=presentation.debug)
    message = JobMessage.parse(environment.get(JOB_VARIABLE, ""))
    with only_job(Path(settings.out), message.name):
        return _Batch(message, settings, presentation).run()


class _Batch:
    def __init__(self, message: JobMessage, settings: Settings, presentation: Presentation) -> None:
        self._message, self._settings, self._presentation = message, settings, presentation
        self._out = Path(settings.out)
        self._folder = self._out / message.name
        self._before = before = read_status(self._folder)
        if before is not None and before.stream_id != message.stream_id:
            raise UsageError(
                f"{message.stream_id}: its folder {self._folder} is that of {before.stream_id}; "
                "choose another stream_id."
            )
        self._status = JobStatus(message.stream_id, "SUBMITTED", "taken up; not begun yet.", submitted_at=now_text())
        if before is not None:
            said = "taken up again: it was broken off." if before.status == "IN_PROGRESS" else "taken up again."
            self._status = replace(
                self._status, message=said, submitted_at=before.submitted_at, attempts=before.attempts + 1
            )

    def run(self) -> int:
        outcomes: tuple[Outcome, ...] = ()
        try:
            with signals_received() as received, _sigterm_raises():
                outcomes = self._answered() or self._work()
        except KeyboardInterrupt as stopped:
            number = signal.SIGTERM if isinstance(stopped, _Terminated) else signal.SIGINT
            return self._fail(_STOPPED, 128 + number)
        except Exception as error:
            known = isinstance(error, ClipstreamError)
            said = scrub(str(error)) if known else f"internal error: {type(error).__name__}; --debug shows more."
            status = self._fail(said, 2 if isinstance(error, UsageError | InputError) else 1)
            if known:
                return status
            raise
        status = exit_status(outcomes, (), received)
        if outcomes[0].state != "already_done" or self._status.for_s is None:
            self._conclude(outcomes[0], status)
        if self._presentation.as_json:
            print_document(run_document(outcomes, ()))
        elif not self._presentation.quiet:
            print_summary(outcomes)
        return status

    def _answered(self) -> tuple[Outcome, ...] | None:
        """Return what is known of a live stream that was read for as long, with these settings; `None` without that."""
        settings, before, manifest = self._settings, self._before, read_manifest(self._folder)
        if (
            before is None
            or before.status != "COMPLETED"
            or before.for_s is None
            or before.for_s != settings.for_s
            or before.source != str(LiveAddress.parse(self._message.stream_url))
            or settings.force
            or manifest is None
            or manifest.status != "complete"
            or manifest.settings_fingerprint != settings.fingerprint()
            or not all((self._folder / name).is_file() for name in manifest.files)
        ):
            return None
        self._status = before
        self._note(attempts=before.attempts + 1)
        said = "already finished with these settings; --force does it again."
        return (Outcome(self._message.name, before.source, self._folder, "already_done", said, manifest),)

    def _work(self) -> tuple[Outcome, ...]:
        self._note()
        item = self._looked_up()
        self._note(status="IN_PROGRESS", message="at work.", started_at=now_text())
        with watching(quiet=self._presentation.quiet) as watcher:
            if isinstance(item, WebInput):
                return run_job((), self._settings, watcher, web=[item])
            return run_job((), self._settings, watcher, live=[item])

    def _looked_up(self) -> WebInput | LiveInput:
        settings, name = self._settings, self._message.name
        credentials = Credentials.of_option(settings.credentials) if settings.credentials else Credentials()
        address = LiveAddress.parse(self._message.stream_url).joined(credentials)
        self._status = replace(self._status, source=str(address))
        if address.listens:
            raise InputError(f"{address}: a job waits for nobody to call; let it call the sender, srt://HOST:PORT.")
        check: AddressCheck | None = None
        if not settings.allow_private:
            check = check_public
            check(address)
        check_protocol(address)
        options = ConnectionOptions(udp=settings.rtsp_transport == "udp", stall_s=settings.stall_s, check=check)
        if address.scheme in {"http", "https"} and (media := find_media(address, options)) is not None:
            return WebInput(name, address, media, check)
        if settings.for_s is None:
            raise UsageError(
                f"{address}: this stream has no end, and a job needs one; set --for or CLIPSTREAM_FOR, say to 1h."
            )
        LiveConnection(address, options).close()  # what is dead now is a bad job, and nothing to wait for
        self._status = replace(self._status, for_s=settings.for_s)
        return LiveInput(name, address, check=check)

    def _conclude(self, outcome: Outcome, status: int) -> None:
        manifest = outcome.manifest
        if manifest is not None:
            where = outcome.folder.relative_to(self._out)
            report = where / REPORT_NAME
            self._status = replace(
                self._status,
                highlights=len(manifest.highlights),
                clips=sum(one.clip is not None for one in manifest.highlights),
                duration_s=float(manifest.source.duration_s if outcome.read_s is None else outcome.read_s),
                problem=manifest.source.problem,
                manifest=str(where / MANIFEST_NAME) if (outcome.folder / MANIFEST_NAME).exists() else None,
                report=str(report) if (self._out / report).exists() else None,
            )
        if status:
            said = _STOPPED if outcome.state == "stopped" else scrub(outcome.message or "failed.")
            self._note(status="FAILED", message=said, exit_status=status, finished_at=now_text())
            if outcome.state == "stopped":
                print_error(_STOPPED)
            return
        found = f"{self._status.highlights or 'no'} highlight{'' if self._status.highlights == 1 else 's'} found."
        self._note(status="COMPLETED", message=found, exit_status=0, finished_at=now_text())

    def _fail(self, said: str, status: int) -> int:
        self._note(status="FAILED", message=said, exit_status=status, finished_at=now_text())
        print_error(said)
        return status

    def _note(self, **changes: object) -> None:
        self._status = replace(self._status, **changes)  # type: ignore[arg-type]  # fields by name
        write_status(self._folder, self._status)


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Make SIGTERM end what does not listen for it, so that the status still says how it went."""

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
