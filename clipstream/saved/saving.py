"""What `--save` keeps: a journal while a stream is read, and a table beside its manifest in the end."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clipstream.errors import OutputError, StoppedError
from clipstream.features.base import AnyFeature, Observation, SavingFeature
from clipstream.media.inputs import STATE_FOLDER
from clipstream.media.probe import MediaInfo
from clipstream.media.slices import Slice
from clipstream.report.files import write_atomically
from clipstream.report.manifest import Manifest
from clipstream.saved.journal import Journal
from clipstream.settings import Settings, options

__all__ = ["JOURNALS", "Saving", "table_name"]

JOURNALS = "saved"
"""Folder in the state folder that holds the journals, a folder a stream."""

_KINDS = next(option.choices for option in options() if option.name == "save")

_ROW_GROUP_BYTES = 1 << 23
"""So much of a table is in memory while it is written, and at a time while it is searched."""


class Saving:
    """Keeps what the features of a run can save, as far as its settings ask for that.

    Two work together, and need not be in one process: the sink begins the journals of the streams it is to write, and
    the extracting worker appends to the journals that were begun. So nothing is kept that nobody would write.

    Args:
        settings: The run's.
        features: Those in use.
    """

    def __init__(self, settings: Settings, features: Sequence[AnyFeature]) -> None:
        able = (cast("SavingFeature", feature) for feature in features if hasattr(feature, "saves"))
        self._features = {feature.name: feature for feature in able if feature.saves in settings.save}
        self._settings = settings
        self._folder = Path(settings.out) / STATE_FOLDER / JOURNALS
        self._journals: dict[tuple[str, str], Journal] = {}

    def begin(self, stream: str, source_fingerprint: str) -> None:
        """Begin the stream's journals, or go on with those of the same file, settings and models.

        Raises:
            OutputError: One cannot be written.
        """
        for feature in self._features.values():
            self._journal(stream, feature).begin(self._identity(feature, source_fingerprint))

    def keep(self, feature_name: str, item: Slice, observation: Observation) -> None:
        """Append what a feature observed in a slice, if that is to be saved; as `Extractor` calls it.

        Raises:
            OutputError: It cannot be written.
        """
        feature = self._features.get(feature_name)
        if feature is None:
            return
        journal = self._journals.setdefault((item.stream, feature_name), self._journal(item.stream, feature))
        if journal.begun:
            journal.append(item.n, observation)

    def write(
        self, folder: Path, manifest: Manifest, slices: int, media: MediaInfo | None, stopped: Callable[[], bool]
    ) -> tuple[str, ...]:
        """Write the tables of a stream that has ended into its folder and return their names.

        A table of other footage that is not written again is removed; one of the same footage stays, and says itself
        what it is of.

        Args:
            folder: The stream's.
            manifest: What was found in the stream.
            slices: How many it had.
            media: What its file holds.
            stopped: Asked often; once true, nothing half-done stays.

        Raises:
            OutputError: A table cannot be written, or not all of what it needs was kept.
            StoppedError: `stopped` said so.
        """
        video, source = media.video if media else None, manifest.source
        width_px, height_px = (video.display_width_px, video.display_height_px) if video else (0, 0)
        names = []
        for feature in self._features.values():
            path = folder / table_name(feature.saves)
            identity = self._identity(feature, source.fingerprint)
            about = {
                "schema": f"clipstream/{feature.saves}/1",
                "stream": manifest.stream,
                "source": source.path,
                "fingerprint": source.fingerprint,
                "identity": identity,
            }
            try:
                kept = _complete(self._journal(manifest.stream, feature), slices, path)
                _write(path, feature.table(kept, width_px, height_px), _stored_schema(feature.schema, about), stopped)
            except _IncompleteError:
                if _said_in(path).get(b"identity") != identity.encode():
                    raise
                # Written before an interruption; the journal had served and was gone.
            names.append(path.name)
        for kind in _KINDS:
            other = folder / table_name(kind)
            if other.name in names or not other.is_file():
                continue
            if _said_in(other).get(b"fingerprint") != source.fingerprint.encode():
                other.unlink(missing_ok=True)
        return tuple(names)

    def discard(self, stream: str) -> None:
        """Remove the stream's journals."""
        shutil.rmtree(self._folder / stream, ignore_errors=True)

    def _journal(self, stream: str, feature: SavingFeature) -> Journal:
        return Journal(self._folder / stream / f"{feature.saves}.journal")

    def _identity(self, feature: SavingFeature, source_fingerprint: str) -> str:
        schema = feature.schema.serialize().to_pybytes()
        parts = (source_fingerprint, self._settings.fingerprint(), feature.name, version("clipstream"), schema.hex())
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def table_name(kind: str) -> str:
    """Return the file name of what `--save` calls `kind`."""
    return f"{kind}.parquet"


class _IncompleteError(OutputError):
    """A journal lacks slices."""


def _complete(journal: Journal, slices: int, path: Path) -> Iterator[tuple[int, Observation]]:
    seen = 0
    for n, observation in journal.observations() if journal.begun else ():
        if observation is None or n >= slices:
            break
        yield n, observation
        seen = n + 1
    if seen < slices:
        raise _IncompleteError(
            f"{path}: cannot be made, because what was seen from {seen / 2:g}s on was lost, as when power fails; run "
            "the same command again."
        )


def _write(path: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema, stopped: Callable[[], bool]) -> None:
    plain = [field.name for field in schema if pa.types.is_fixed_size_binary(field.type)]
    others = [field.name for field in schema if field.name not in plain]
    layout: dict[str, Any] = {
        # Vectors are noise to a compressor (a tenth smaller), and plain ones are read at the speed of memory.
        "compression": dict.fromkeys(plain, "none") | dict.fromkeys(others, "zstd") if plain else "zstd",
        "use_dictionary": others if plain else True,
        "write_statistics": others if plain else True,
    }
    with write_atomically(path) as temporary, pq.ParquetWriter(temporary, schema, **layout) as writer:
        for group in _groups(batches):
            if stopped():
                raise StoppedError("stopped while a table was written; run the same command again to go on.")
            columns = [_stored_column(column) for column in group.columns]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=group.num_rows)


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    waiting_bytes = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        waiting.append(batch)
        waiting_bytes += batch.nbytes
        if waiting_bytes >= _ROW_GROUP_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting, waiting_bytes = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def _stored_schema(schema: pa.Schema, about: Mapping[str, str]) -> pa.Schema:
    """Return the schema as it is stored: a vector of halves as its bytes, which are read ten times as fast as lists."""
    fields = [_stored_vector(field) if _is_vector_type(field.type) else field for field in schema]
    return pa.schema(fields, metadata={**(schema.metadata or {}), **about})


def _stored_vector(field: pa.Field) -> pa.Field:
    count = field.type.list_size
    about = {"type": f"float16[{count}]", **(field.metadata or {})}
    return pa.field(field.name, pa.binary(2 * count), nullable=False, metadata=about)


def _stored_column(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    if not _is_vector_type(column.type):
        return column
    numbers = np.concatenate([chunk.flatten().to_numpy() for chunk in column.chunks])
    layout = pa.binary(2 * column.type.list_size)
    return pa.FixedSizeBinaryArray.from_buffers(layout, len(column), [None, pa.py_buffer(numbers)])


def _is_vector_type(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind) and pa.types.is_float16(kind.value_type))


def _said_in(path: Path) -> dict[bytes, bytes]:
    """Return what a table says about itself; nothing where there is none that can be read."""
    try:
        return pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return {}
