"""What people said about pictures, in the order in which they said it: entries, and what follows from them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge_runtime.archive.label import FrameLabel


@dataclass(frozen=True)
class LabelEntry:
    """One act of one person. Entries are never changed.

    id      unique
    frame   id of the picture
    at      UTC in ISO 8601 with milliseconds
    who     name of the person
    label   what they said; None: they took back the entry `undoes`
    """

    id: str
    frame: str
    at: str
    who: str
    label: FrameLabel | None
    undoes: str | None = None

    def to_json(self) -> str:
        """One line."""
        label = None if self.label is None else self.label.model_dump(exclude_none=True)
        content: dict[str, Any] = {"id": self.id, "frame": self.frame, "at": self.at, "who": self.who, "label": label}
        return json.dumps({**content, "undoes": self.undoes}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> LabelEntry:
        """Raises ValueError for anything that `to_json` did not write."""
        content = json.loads(text)
        if not isinstance(content, dict) or set(content) != {"id", "frame", "at", "who", "label", "undoes"}:
            raise ValueError("it is not a label entry")
        label = content.pop("label")
        return cls(**content, label=None if label is None else FrameLabel.model_validate(label))


@dataclass(frozen=True)
class LabelChange:
    """One act as people read it. old, new: the picture's label before and after; None: none."""

    entry: LabelEntry
    old: FrameLabel | None
    new: FrameLabel | None


def entries_of(database: sqlite3.Connection, frame: str) -> list[LabelEntry]:
    """All entries about one picture, the oldest first."""
    rows = database.execute("SELECT content FROM label WHERE frame = ? ORDER BY seq", (frame,))
    return [LabelEntry.from_json(content) for (content,) in rows]


def standing_entries(database: sqlite3.Connection, frame: str) -> list[LabelEntry]:
    """The entries about one picture that nobody took back, the oldest first."""
    return _standing(entries_of(database, frame))


def label_of(standing: Sequence[LabelEntry]) -> FrameLabel | None:
    """The label that follows from the standing entries: the last one wins."""
    return standing[-1].label if standing else None


def is_disputed(standing: Sequence[LabelEntry]) -> bool:
    """Whether people disagree: the last words of one are `good`, of another `defect`."""
    last = {entry.who: entry.label.verdict for entry in standing if entry.label is not None}
    return {"good", "defect"} <= set(last.values())


def changes(entries: Sequence[LabelEntry]) -> list[LabelChange]:
    """The history of a picture, with the label before and after each entry."""
    told: list[LabelChange] = []
    for count, entry in enumerate(entries, 1):
        old = told[-1].new if told else None
        told.append(LabelChange(entry, old, label_of(_standing(entries[:count]))))
    return told


def store_entry(transaction: sqlite3.Connection, entry: LabelEntry) -> None:
    """Write an entry, and what follows for its picture, within a transaction of the caller."""
    transaction.execute("INSERT INTO label (frame, content) VALUES (?, ?)", (entry.frame, entry.to_json()))
    apply_entries(transaction, entry.frame)


def apply_entries(transaction: sqlite3.Connection, frame: str) -> None:
    """Write what follows from the entries about a picture into its row, within a transaction of the caller."""
    standing = standing_entries(transaction, frame)
    label = label_of(standing)
    queue = 0 if is_disputed(standing) else 1 if label is None else 2
    transaction.execute(
        "UPDATE frame SET label = ?, kind = ?, queue = ? WHERE id = ?",
        ("" if label is None else label.verdict, None if label is None else label.kind, queue, frame),
    )


def _standing(entries: Sequence[LabelEntry]) -> list[LabelEntry]:
    undone = {entry.undoes for entry in entries}
    return [entry for entry in entries if entry.label is not None and entry.id not in undone]
