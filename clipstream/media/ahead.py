"""Two ways to take slices from a reader: when they are asked for, or from a thread that reads ahead.

Decoders have threads of their own, which hide light features. A model takes as long for a slice as decoding does; only
when reading goes on meanwhile does neither wait for the other. Where nothing is to be hidden, handing over costs 3 %.
"""

import os
import sys
from collections.abc import Callable
from threading import Condition, Thread

from clipstream.media.decode import SliceReader
from clipstream.media.slices import Slice

__all__ = ["ReadAhead", "ReadHere"]

_GIVES_WAY = 10
"""By so much the decoder's threads are nicer than others: half a dozen of them together then weigh less than the one
thread that runs a model, which took a fifth longer beside a dozen equals (two cores). Reading ahead can wait."""


class ReadHere:
    """Reads each slice when it is taken.

    Args:
        open_reader: Opens the reader; called when the first is taken.
    """

    def __init__(self, open_reader: Callable[[], SliceReader]) -> None:
        self._open_reader = open_reader
        self._reader: SliceReader | None = None

    def take(self) -> list[Slice]:
        """Return the next slice, alone in a list.

        Raises:
            Exception: What opening or reading raises.
        """
        if self._reader is None:
            self._reader = self._open_reader()
        return [next(self._reader)]

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()


class ReadAhead:
    """Takes the slices of a reader, which is opened and used in a thread of its own.

    Args:
        open_reader: Opens the reader; called in the thread.
        ahead: Slices kept ready; they are what one batch of a model is made of.
    """

    def __init__(self, open_reader: Callable[[], SliceReader], ahead: int) -> None:
        self._open_reader, self._ahead = open_reader, ahead
        self._ready: list[Slice] = []
        self._failure: Exception | None = None
        self._changed = Condition()
        self._closed = False
        self._thread = Thread(target=self._read, name="decode", daemon=True)
        self._thread.start()

    def take(self) -> list[Slice]:
        """Return the slices that are ready, perhaps none, in order. Never waits.

        Raises:
            Exception: What opening or reading raised, once what was read before has been taken.
        """
        with self._changed:
            ready = list(self._ready)
            self._ready.clear()
            self._changed.notify()
            if not ready and self._failure is not None:
                raise self._failure
        return ready

    def close(self) -> None:
        """Stop reading, and wait until the file is closed: at most for the slice that is being decoded."""
        with self._changed:
            self._closed = True
            self._ready.clear()
            self._changed.notify()
        self._thread.join()

    def _read(self) -> None:
        if sys.platform == "linux":  # elsewhere, threads have no niceness of their own
            os.nice(_GIVES_WAY)  # and so of the threads that the decoder starts from here
        try:
            with self._open_reader() as reader:
                for item in reader:
                    with self._changed:
                        self._changed.wait_for(lambda: self._closed or len(self._ready) < self._ahead)
                        if self._closed:
                            return
                        self._ready.append(item)
        except Exception as error:  # noqa: BLE001 - raised again where the slices are taken
            with self._changed:
                self._failure = error
