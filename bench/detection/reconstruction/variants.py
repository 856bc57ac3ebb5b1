"""The ways to search that are compared. Another way is another class here, and a case in `chosen_variants`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from latentline.errors import ConfigError
from latentline.search.searcher import Searcher
from trainer.checkpoint import Checkpoint
from trainer.config import TrainConfig
from trainer.reference.searcher import ReferenceSearcher


class SearchVariant(Protocol):
    """One way to find z for a tile. It is pickled on its way to its process."""

    @property
    def name(self) -> str:
        """Names it in tables, results and folders."""
        ...

    @property
    def iterations(self) -> int:
        """Search steps, by which its tiles are budgeted."""
        ...

    def fits(self, config: TrainConfig) -> bool:
        """Whether a model of this configuration can be searched so."""
        ...

    def open(self, checkpoint: Checkpoint) -> Searcher:
        """The searcher."""
        ...


@dataclass(frozen=True)
class Iterations:
    """`SearchVariant`: the reference search with this number of steps from the encoder's z, else from one seeded z."""

    iterations: int

    @property
    def name(self) -> str:
        """As `SearchVariant.name`."""
        return f"n = {self.iterations}"

    def fits(self, config: TrainConfig) -> bool:
        """Only a GAN searches in steps; without an encoder it has to."""
        if not config.method.is_gan:
            return not self.iterations
        return bool(self.iterations or config.schedule.encoder_images)

    def open(self, checkpoint: Checkpoint) -> Searcher:
        """As `SearchVariant.open`."""
        return ReferenceSearcher(checkpoint, checkpoint.config.search, self.iterations)


def chosen_variants(config: TrainConfig, iterations: Sequence[int] | None) -> tuple[SearchVariant, ...]:
    """The variants with these numbers of steps that fit; None: 0, and the configuration's own number, 10 for auto.

    Raises ConfigError when none fits.
    """
    own = config.search.iterations
    counts = [0, 10 if own == "auto" else own] if iterations is None else iterations
    fitting = tuple(variant for variant in map(Iterations, dict.fromkeys(counts)) if variant.fits(config))
    if not fitting:
        raise ConfigError(
            f"--iterations {' '.join(map(str, counts))}: a model of method {config.method.kind} cannot be searched so; "
            "add 0, or 10 where the search starts without an encoder"
        )
    return fitting
