"""Tables of scores as Parquet files, one row a picture; read and written a part at a time, so that memory is flat."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from latentline.base.atomic import write_text
from latentline.errors import ConfigError
from latentline.rescoring.scored_picture import FoundDefect, ScoredPicture

PART = 64  # rows, after which an interrupted run goes on
_TOGETHER = 64  # parts in a group of rows
_PLAN = "plan"
MISSING = "is not installed; install the extra `rescore`: pip install 'latentline[rescore]'"


def parquet() -> tuple[Any, Any]:
    """`pyarrow` and `pyarrow.parquet`. Raises ConfigError when pyarrow is not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ConfigError(f"pyarrow {MISSING}") from None
    return pyarrow, pyarrow.parquet


class PartedTable:
    """A table that is written in parts, and becomes one file when the last part is there.

    The parts lie beside the file, in a hidden folder. Parts of an earlier run with the same `plan` are kept.

    plan   text that is another one when the rows would be others
    facts  stored in the file's metadata
    Raises ConfigError when the folder of `path` is missing or pyarrow is not installed, and OSError for a full disk.
    """

    def __init__(self, path: Path, plan: str, facts: Mapping[str, str]) -> None:
        self._arrow, self._parquet = parquet()
        if not path.parent.is_dir():
            raise ConfigError(f"{path.parent}: there is no such folder; make it, or write somewhere else")
        if path.is_dir():
            raise ConfigError(f"{path}: is a folder; give the name of a file, such as scores.parquet")
        self._path, self._parts = path, path.with_name(f".{path.name}.parts")
        self._schema = _schema(self._arrow).with_metadata({**facts})
        if _read(self._parts / _PLAN) != plan:
            shutil.rmtree(self._parts, ignore_errors=True)
            self._parts.mkdir()
            write_text(self._parts / _PLAN, plan)
        self.kept = 0
        while self._part(self.kept).exists():
            self.kept += self._parquet.read_metadata(self._part(self.kept)).num_rows

    def append(self, rows: Sequence[ScoredPicture]) -> None:
        """Write the next part."""
        target = self._part(self.kept)
        temporary = target.with_suffix(".tmp")
        with self._named():
            self._parquet.write_table(_table(self._arrow, self._schema, rows), temporary)
            temporary.replace(target)
        self.kept += len(rows)

    def finish(self) -> None:
        """Put the parts together as the file, whole or not at all, and remove them."""
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        try:
            with self._named(), self._parquet.ParquetWriter(temporary, self._schema) as writer:
                parts = sorted(self._parts.glob("*.parquet"))
                for i in range(0, len(parts), _TOGETHER):
                    tables = [self._parquet.read_table(part) for part in parts[i : i + _TOGETHER]]
                    writer.write_table(self._arrow.concat_tables(tables))
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(self._path)
        finally:
            temporary.unlink(missing_ok=True)
        shutil.rmtree(self._parts, ignore_errors=True)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Let an error of the disk name the table."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, os.strerror(error.errno or 0), str(self._path)) from None

    def _part(self, start: int) -> Path:
        return self._parts / f"{start:012d}.parquet"


@contextmanager
def _readable(path: Path) -> Iterator[Any]:
    arrow, tables = parquet()
    try:
        yield tables.ParquetFile(path)
    except (OSError, arrow.ArrowInvalid) as error:
        raise ConfigError(f"{path}: no table of scores that can be read ({error}); score the pictures again") from None


def read_scores(path: Path) -> Iterator[ScoredPicture]:
    """The rows of a table, in order. Raises ConfigError."""
    with _readable(path) as file:
        for chunk in file.iter_batches(PART):
            for row in chunk.to_pylist():
                yield ScoredPicture(
                    row["path"],
                    row["sha256"],
                    row["threshold"],
                    row["score"],
                    row["pixels"],
                    dict(row["components"]),
                    tuple(FoundDefect(**defect) for defect in row["defects"]),
                    row["error"],
                )


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None


def _schema(arrow: Any) -> Any:
    whole = ("x", "y", "width", "height", "area")
    defect = arrow.struct([*((name, arrow.int32()) for name in whole), ("peak", arrow.float64())])
    return arrow.schema(
        [
            arrow.field("path", arrow.string(), nullable=False),
            ("sha256", arrow.string()),
            ("pixels", arrow.string()),
            ("score", arrow.float64()),
            arrow.field("threshold", arrow.float64(), nullable=False),
            ("verdict", arrow.string()),
            ("components", arrow.map_(arrow.string(), arrow.float64())),
            ("defects", arrow.list_(defect)),
            ("error", arrow.string()),
        ]
    )


def _table(arrow: Any, schema: Any, rows: Sequence[ScoredPicture]) -> Any:
    return arrow.Table.from_pylist(
        [
            {
                "path": _text(row.name),
                "sha256": row.sha256,
                "pixels": row.pixels,
                "score": row.score,
                "threshold": row.threshold,
                "verdict": row.verdict,
                "components": sorted(row.components.items()),
                "defects": [vars(defect) for defect in row.defects],
                "error": None if row.error is None else _text(row.error),
            }
            for row in rows
        ],
        schema=schema,
    )


def _text(text: str) -> str:
    """`text` as UTF-8 can hold it: bytes of a file's name that are none become escapes such as \\udc80."""
    return text.encode("utf-8", "backslashreplace").decode()
