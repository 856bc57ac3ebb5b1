"""The filters of the review, as they stand in an address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from edge_runtime.archive.reader import FrameQuery, LabelFilter, Order
from edge_runtime.spelling import spelled
from latentline.base.strict_yaml import StrictModel, parse


class ReviewFilter(StrictModel):
    """What an operator wants to see. An empty text is no filter.

    show  queue: what waits for a label; wrong: label and verdict contradict each other; all
    """

    show: Literal["queue", "wrong", "disputed", "all"] = "queue"
    camera: str = Field(default="", max_length=64)
    day: Annotated[str, spelled(r"(\d{4}-\d\d-\d\d)?", "a day such as 2026-11-28")] = ""
    verdict: Literal["", "abnormal", "normal"] = ""
    label: Literal["", "none", "good", "defect", "skip", "any"] = ""
    kind: str = Field(default="", max_length=64)
    low: float | None = None
    high: float | None = None
    order: Order = "queue"
    offset: int = Field(default=0, ge=0)

    def query(self) -> FrameQuery:
        """For the archive."""
        scores = None
        if self.low is not None or self.high is not None:
            scores = (-1e300 if self.low is None else self.low, 1e300 if self.high is None else self.high)
        label: LabelFilter | None = self.label or None
        return FrameQuery(
            camera=self.camera or None,
            day=self.day or None,
            abnormal=None if not self.verdict else self.verdict == "abnormal",
            label=label,
            kind=self.kind or None,
            wrong=self.show == "wrong",
            disputed=self.show == "disputed",
            open=self.show == "queue",
            scores=scores,
        )


def read_filter(parameters: Mapping[str, str]) -> ReviewFilter:
    """The filter in the parameters of an address. Raises ConfigError for one that is no such thing."""
    numbers = {"low": float, "high": float, "offset": int}
    values: dict[str, object] = {}
    for name, text in parameters.items():
        try:
            if name in numbers and not text:
                continue
            values[name] = numbers.get(name, str)(text)
        except ValueError:
            values[name] = text
    return parse(values, ReviewFilter, "the filter")
