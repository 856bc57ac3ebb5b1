"""Tables of results: Markdown for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.conditions import conditions
from latentline.base.atomic import write_text
from trainer.evaluation.intervals import Estimate

Cell = Estimate | float | str | None
INTERVALS = "Brackets: 95 % intervals over test images (bootstrap). Another seed is not covered."


@dataclass
class Table:
    """Rows of cells by column. None is shown as a dash: there is no such figure."""

    title: str
    rows: dict[str, dict[str, Cell]] = field(default_factory=dict)

    def add(self, row: str, cells: Mapping[str, Cell]) -> None:
        """Append a row, or append cells to it."""
        self.rows.setdefault(row, {}).update(cells)

    def to_markdown(self) -> str:
        """Title and table; columns in the order of their first appearance, without those that no row fills."""
        filled = [name for cells in self.rows.values() for name, cell in cells.items() if cell is not None]
        columns = [name for name in dict.fromkeys(n for cells in self.rows.values() for n in cells) if name in filled]
        lines = [f"## {self.title}", "", f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
        lines += [
            f"| {row} | {' | '.join(cell_text(cells.get(c)) for c in columns)} |" for row, cells in self.rows.items()
        ]
        return "\n".join(lines)

    def to_json(self) -> dict[str, object]:
        """Title and rows; an estimate becomes {value, low, high}."""
        rows = {
            row: {c: cell.model_dump() if isinstance(cell, Estimate) else cell for c, cell in cells.items()}
            for row, cells in self.rows.items()
        }
        return {"title": self.title, "rows": rows}


def cell_text(cell: Cell) -> str:
    """A cell as text."""
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"
    return str(cell)


def write_tables(
    folder: Path, headline: str, notes: Mapping[str, str], tables: list[Table], legend: str = INTERVALS
) -> str:
    """Write results.md and results.json into `folder`, and return the Markdown.

    notes   what a reader must know besides date, machine, versions and command: seeds, budgets, what was left out
    legend  how to read a cell
    """
    facts = {**conditions(), **notes}
    lines = [f"# {headline}", "", *(f"- {name}: {text}" for name, text in facts.items()), ""]
    text = "\n".join([*lines, legend, "", "\n\n".join(table.to_markdown() for table in tables), ""])
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "results.md", text)
    content = {"headline": headline, **facts, "tables": [table.to_json() for table in tables]}
    write_text(folder / "results.json", json.dumps(content, indent=1, ensure_ascii=False))
    return text
