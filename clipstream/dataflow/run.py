"""Running a flow in this process: recovery and memory."""

from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import cv2
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main

from clipstream.dataflow.store import log_reserved, prepare_store
from clipstream.memory import keep_frame_memory

__all__ = ["run_flow"]


def run_flow(flow: Dataflow, *, workers: int, epoch_s: float, store: Path | None) -> None:
    """Run a flow to its end, or until its sources stop.

    Args:
        flow: The flow.
        workers: Worker threads.
        epoch_s: Seconds between snapshots.
        store: Folder of the recovery store; made if absent, resumed from if not, and made anew if it is damaged. `None`
            to do without.

    Raises:
        OutputError: There is no room to open the store; it stays as it is.
    """
    keep_frame_memory()
    cv2.setNumThreads(1)  # its threads only wait beside the decoder's: 4 % of the processor time of a run
    recovery = None
    if store is not None:
        prepare_store(store)
        recovery = RecoveryConfig(str(store))
    with nullcontext() if store is None else log_reserved(store):
        cli_main(
            flow,
            workers_per_process=workers,
            epoch_interval=timedelta(seconds=epoch_s),
            recovery_config=recovery,
        )
