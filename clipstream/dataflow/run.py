"""Running a flow in this process: recovery and memory."""

import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import cv2
import structlog
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from clipstream.memory import keep_frame_memory

__all__ = ["run_flow"]

_log = structlog.get_logger()

_RECOVERY_PARTITIONS = 1
"""One SQLite file is enough: rows are light, and workers may change in number between runs either way."""


def run_flow(flow: Dataflow, *, workers: int, epoch_s: float, store: Path | None) -> None:
    """Run a flow to its end, or until its sources stop.

    Args:
        flow: The flow.
        workers: Worker threads.
        epoch_s: Seconds between snapshots.
        store: Folder of the recovery store; made if absent, resumed from if not, and made anew if it is damaged. `None`
            to do without.
    """
    keep_frame_memory()
    cv2.setNumThreads(1)  # its threads only wait beside the decoder's: 4 % of the processor time of a run
    recovery = None
    if store is not None:
        if store.is_dir() and not _sound(store):
            _log.warning("saved_progress_damaged", store=str(store), next="starting from the beginning")
            shutil.rmtree(store)
        if not store.is_dir():
            # Under another name first: a store that is only half made must not be taken for one.
            making = store.with_name(f".{store.name}.part")
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir(parents=True)
            init_db_dir(making, _RECOVERY_PARTITIONS)
            making.rename(store)
        recovery = RecoveryConfig(str(store))
    cli_main(
        flow,
        workers_per_process=workers,
        epoch_interval=timedelta(seconds=epoch_s),
        recovery_config=recovery,
    )


def _sound(store: Path) -> bool:
    """Say whether a recovery store can be read: Bytewax does not look before it panics."""
    try:
        for number in range(_RECOVERY_PARTITIONS):
            place = (store / f"part-{number}.sqlite3").absolute().as_uri()
            with closing(sqlite3.connect(f"{place}?mode=rw", uri=True)) as database:
                found = database.execute("PRAGMA quick_check").fetchone()
                if found != ("ok",) or not database.execute("SELECT * FROM parts").fetchone():
                    return False
    except sqlite3.Error:
        return False
    return True
