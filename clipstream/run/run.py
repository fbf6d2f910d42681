"""A run over files, from checked inputs to outcomes: what the command line and scripts call."""

import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from threading import Event, Lock

import structlog

from clipstream.errors import InputError, OutputError, StoppedError, UsageError
from clipstream.features.registry import Selection, select_features
from clipstream.live import Cameras
from clipstream.log import traceback_of
from clipstream.media.inputs import STATE_FOLDER, Input
from clipstream.media.live.address import LiveInput
from clipstream.media.live.connection_options import ConnectionOptions
from clipstream.media.probe import MediaInfo, fingerprint, probe
from clipstream.media.slices import Slice
from clipstream.output import CLIP_RECORDS, finished_manifest
from clipstream.output.context import tell
from clipstream.report.files import writing
from clipstream.report.manifest import MANIFEST_NAME, Manifest, read_manifest
from clipstream.results import Interval
from clipstream.run.fetching import Downloads, WebInput
from clipstream.run.folders import begin_run, clear_other_runs, only_run, run_folder
from clipstream.run.namesakes import claim, live_named_apart, named_apart
from clipstream.run.stopping import is_out_of_room, stop_on_signals, why_broken
from clipstream.run.telling import Telling
from clipstream.run.watchers import FetchWatcher, Outcome, OutcomeState, Watcher
from clipstream.saved.saving import JOURNALS
from clipstream.settings import Settings
from clipstream.timing import slice_start

__all__ = ["run_job"]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Ready:
    item: Input
    media: MediaInfo
    fingerprint: str


def run_job(
    inputs: Sequence[Input],
    settings: Settings,
    watcher: Watcher,
    live: Sequence[LiveInput] = (),
    web: Sequence[WebInput] = (),
) -> tuple[Outcome, ...]:
    """Find and cut the highlights of files, media on the web and live streams; return an outcome for each, in order.

    An input that cannot be used does not keep the others from being done. The same call after an interruption goes on
    where it was. What is on the web is fetched before anything else begins. With live streams it returns when it is
    interrupted or the time is up that `settings` give them.

    Raises:
        UsageError: A setting names something that is not there.
        FeatureUnavailableError: A feature that was named cannot be used.
        OutputError: The output folder cannot be written.
    """
    return _Run(inputs, settings, watcher, live, web).run()


class _Run:
    def __init__(
        self,
        inputs: Sequence[Input],
        settings: Settings,
        watcher: Watcher,
        live: Sequence[LiveInput],
        web: Sequence[WebInput],
    ) -> None:
        if live and (settings.top is not None or settings.target_duration_s is not None or settings.policy == "whole"):
            raise UsageError(
                "top, target_duration and the policy whole judge a stream as a whole, and a live one has no end: "
                "leave them out."
            )
        if live and settings.save:
            raise UsageError("what --save keeps is of files: leave it out for live streams.")
        Telling.check(settings)
        self._live, self._web = live, web
        self._inputs, self._settings, self._watcher = inputs, settings, watcher
        self._out = Path(settings.out)
        self._state, self._downloads = self._out / STATE_FOLDER, Downloads(self._out)
        self._outcomes: dict[str, Outcome] = {}
        self._started: set[str] = set()
        self._slices_read: Counter[str] = Counter()
        self._media: dict[str, _Ready] = {}
        self._selection: Selection
        self._lock = Lock()

    def run(self) -> tuple[Outcome, ...]:
        self._inputs = named_apart(self._out, self._inputs)
        taken = {item.stream for item in self._inputs}
        self._web = live_named_apart(self._out, self._web, taken)
        self._live = live_named_apart(self._out, self._live, taken | {item.stream for item in self._web})
        files = self._checked(self._inputs)
        if files or self._web or self._live:
            self._selection = select_features(self._settings)  # not before: models take seconds to load
            self._prepare_output()
            fetched, stopped = self._fetch()
            if not stopped:
                self._work_on([*files, *self._checked(fetched)])
        everything: list[Input | LiveInput | WebInput] = [*self._inputs, *self._web, *self._live]
        for item in everything:
            if item.stream not in self._outcomes:
                manifest = read_manifest(self._out / item.stream) if isinstance(item, LiveInput) else None
                self._report(self._outcome(item, "stopped", "stopped; run the same command again to go on.", manifest))
        return tuple(self._outcomes[item.stream] for item in everything)

    def _work_on(self, ready: list[_Ready]) -> None:
        self._media = {item.item.stream: item for item in ready}
        todo = [item for item in ready if not self._already_done(item.item, item.fingerprint)]
        if todo or self._live:
            self._work(ready, todo)
        else:
            self._tidy(ready)

    def _fetch(self) -> tuple[list[Input], bool]:
        """Fetch what is on the web and not finished; return what came, and whether the run was stopped over it."""
        fetched, stop = [], Event()
        with stop_on_signals(stop):
            for item in self._web:
                known = self._downloads.fingerprint_of(item)
                if stop.is_set() or (known is not None and self._already_done(item, known)):
                    continue
                tell = partial(self._watcher.fetching, item.stream) if isinstance(self._watcher, FetchWatcher) else None
                options = ConnectionOptions(stall_s=self._settings.stall_s, check=item.check)
                try:
                    with only_run(self._state, [item.stream]):
                        fetched.append(self._downloads.get(item, tell or (lambda _: None), stop, options))
                except StoppedError:
                    pass
                except InputError as error:
                    self._report(self._outcome(item, "bad_input", str(error)))
                except OutputError as error:
                    self._report(self._outcome(item, "failed", str(error)))
        return fetched, stop.is_set()

    def _prepare_output(self) -> None:
        with writing(self._out):
            self._state.mkdir(parents=True, exist_ok=True)
            note = self._state / "README"
            if not note.exists():
                note.write_text("What an unfinished run needs to go on. Safe to delete when none is.\n", "utf-8")

    def _checked(self, items: Sequence[Input]) -> list[_Ready]:
        """Return those that can be used, and report the others."""
        ready = []
        for item in items:
            try:
                ready.append(_Ready(item, probe(item.path), fingerprint(item.path)))
            except InputError as error:
                self._report(self._outcome(item, "bad_input", str(error).replace(str(item.path), item.source)))
                self._downloads.drop(item)
        return ready

    def _already_done(self, item: Input | WebInput, fingerprint: str) -> bool:
        if self._settings.force:
            return False
        manifest = self._finished(item, fingerprint)
        if manifest is None:
            return False
        message = "already finished with these settings; --force does it again."
        self._report(self._outcome(item, "already_done", message, manifest))
        return True

    def _finished(self, item: Input | WebInput, fingerprint: str) -> Manifest | None:
        return finished_manifest(self._out, item.stream, fingerprint, self._settings, self._selection.infos)

    def _work(self, ready: list[_Ready], todo: list[_Ready]) -> None:
        folder = self._run_folder(ready)
        resumed = folder.is_dir()
        with only_run(self._state, [*(item.item.stream for item in todo), *(item.stream for item in self._live)]):
            for item in todo:
                claim(self._out, item.item, item.fingerprint)
            anew = clear_other_runs(folder, [item.stream for item in self._live])
            if anew and not resumed:
                _log.warning(
                    "detection_begins_anew",
                    streams=sorted(anew),
                    reason="other settings or streams than before: what was found is finished, the rest is forgotten",
                )
            again = self._attempt(folder, ready, todo, resumed=resumed)
            if again:
                # They ended before an interruption, and what they left was taken away since: from the beginning, then.
                shutil.rmtree(folder, ignore_errors=True)
                self._attempt(folder, ready, again, resumed=False)

    def _attempt(self, folder: Path, ready: list[_Ready], todo: list[_Ready], *, resumed: bool) -> list[_Ready]:
        """Run the flow; return the inputs that a resumed run had nothing to say of."""
        # Imported late, so that a run with nothing to do answers without it.
        from clipstream.dataflow.flow import highlights_flow  # noqa: PLC0415
        from clipstream.dataflow.run import run_flow  # noqa: PLC0415

        with writing(self._out):
            begin_run(folder, [item.stream for item in self._live])
            for item in todo:  # what is there is of other settings, or was asked to be done again
                if resumed and self._finished(item.item, item.fingerprint):
                    continue  # by this very run, before it was interrupted
                with suppress(OSError):  # what stands in the way there is told when something is written
                    (self._out / item.item.stream / MANIFEST_NAME).unlink()
        stop = Event()
        cameras = Cameras(self._live, self._settings, self._selection.needs) if self._live else None
        failure = None
        with Telling(self._settings, cameras, self._watcher) as telling, stop_on_signals(stop):
            flow = highlights_flow(
                [item.item for item in ready],
                self._settings,
                selection=self._selection,
                cameras=cameras,
                skip=frozenset(self._outcomes),
                stop=stop,
                decoded=partial(self._on_slice, telling),
                clip_written=partial(self._on_clip, telling),
                stream_written=self._on_manifest,
                tally=telling.tally,
                shelf=folder / "shelf",
                warming=telling.warming_up,
            )
            try:
                run_flow(flow, workers=self._settings.workers, epoch_s=self._settings.epoch_s, store=folder / "store")
            except KeyboardInterrupt:
                stop.set()
            except BaseException as error:  # noqa: BLE001 - a panic of the engine is no Exception
                stop.set()
                failure = error
                _log.debug("run_failed", error=str(error), exc_info=traceback_of(error))
        if cameras is not None:
            cameras.close()
        silent = self._settle(todo, failure, stopped=stop.is_set(), resumed=resumed)
        self._forget_records_of_finished(ready)
        if not stop.is_set() or (failure is not None and resumed and not is_out_of_room(failure)):
            # What made a run fail twice may be what was saved of it: the next begins from the beginning.
            shutil.rmtree(folder, ignore_errors=True)
        return silent

    def _settle(
        self, todo: list[_Ready], failure: BaseException | None, *, stopped: bool, resumed: bool
    ) -> list[_Ready]:
        silent = []
        for item in todo:
            stream = item.item.stream
            if stream in self._outcomes:
                continue
            # Perhaps finished before an interruption, so that this run had nothing left to do for it.
            manifest = self._finished(item.item, item.fingerprint)
            if manifest is not None:
                self._report(self._outcome(item.item, "done", None, manifest))
            elif failure is not None:
                self._report(self._outcome(item.item, "failed", why_broken(failure)))
            elif not stopped and resumed:
                silent.append(item)
            elif not stopped:
                self._report(self._outcome(item.item, "failed", "the run ended without a result; try --force."))
        for camera in self._live:
            if failure is not None and camera.stream not in self._outcomes:
                self._report(self._outcome(camera, "failed", why_broken(failure)))
        return silent

    def _forget_records_of_finished(self, ready: list[_Ready]) -> None:
        for item in ready:
            outcome = self._outcomes.get(item.item.stream)
            if outcome is not None and outcome.state in {"done", "already_done"}:
                for records in (CLIP_RECORDS, JOURNALS):
                    shutil.rmtree(self._state / records / item.item.stream, ignore_errors=True)
                self._downloads.drop(item.item)

    def _tidy(self, ready: list[_Ready]) -> None:
        """Take away what a run left that was killed between its last result and its own tidying."""
        folder = self._run_folder(ready)
        records = (self._state / name for name in (CLIP_RECORDS, JOURNALS))
        leftovers = [folder, *(each / item.item.stream for each in records for item in ready)]
        if any(path.exists() for path in leftovers):
            with suppress(UsageError), only_run(self._state, [item.item.stream for item in ready]):
                self._forget_records_of_finished(ready)
                shutil.rmtree(folder, ignore_errors=True)

    def _run_folder(self, ready: list[_Ready]) -> Path:
        """Name the folder after everything that its recovery store depends on."""
        parts = [
            [[item.item.stream, item.fingerprint] for item in sorted(ready, key=lambda one: one.item.stream)],
            [[item.stream, str(item.address)] for item in sorted(self._live, key=lambda one: one.stream)],
            self._settings.fingerprint(),
            [[info.name, info.about] for info in self._selection.infos],
            version("clipstream"),
            self._settings.force,
        ]
        return run_folder(self._state, parts)

    def _on_clip(self, telling: Telling, stream: str, interval: Interval, path: Path) -> None:
        telling.clip_written(stream, interval, path)
        self._watcher.clip_written(stream, interval, path)

    def _on_slice(self, telling: Telling, item: Slice) -> None:
        telling.slice_taken(item)
        with self._lock:
            first = item.stream not in self._started
            self._started.add(item.stream)
            self._slices_read[item.stream] += item.frame_count > 0 or item.audio is not None
        if first:
            file = self._media.get(item.stream)
            tell(self._watcher.started, item.stream, file.media.duration_s if file else None)
        tell(self._watcher.progressed, item.stream, item.end.duration_s if item.end else slice_start(item.n + 1))

    def _on_manifest(self, stream: str, manifest: Manifest) -> None:
        live = next((one for one in self._live if one.stream == stream), None)
        item = live or self._media[stream].item
        if manifest.status == "failed" and not manifest.source.duration_s and not manifest.highlights:
            problem = manifest.error or "nothing in it could be read."
            source = str(_source(item))
            problem = problem.replace(str(item.path), source) if isinstance(item, Input) else problem
            said = problem if problem.startswith(source) else f"{source}: {problem}"
            self._report(self._outcome(item, "bad_input", said, manifest))
        elif manifest.status == "failed":
            self._report(self._outcome(item, "failed", manifest.error, manifest))
        else:
            self._report(self._outcome(item, "done", manifest.source.problem, manifest))

    def _outcome(
        self,
        item: Input | LiveInput | WebInput,
        state: OutcomeState,
        message: str | None = None,
        manifest: Manifest | None = None,
    ) -> Outcome:
        read_s = slice_start(self._slices_read[item.stream]) if isinstance(item, LiveInput) else None
        return Outcome(item.stream, _source(item), self._out / item.stream, state, message, manifest, read_s)

    def _report(self, outcome: Outcome) -> None:
        with self._lock:
            self._outcomes[outcome.stream] = outcome
        self._watcher.finished(outcome)


def _source(item: Input | LiveInput | WebInput) -> Path | str:
    if isinstance(item, Input):
        return item.origin or item.path
    return str(item.address)
