"""The training of method pca: the principal components of a sample of normal tiles, in one step."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
import torch

from latentline.base.counted import counted
from latentline.errors import CheckpointError, ConfigError, DatasetError
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler
from trainer.loops.training import StepReport, TileReconstructor, TrainingState, tensors_under
from trainer.networks.linear import build_linear, set_components

MEMORY = 2**30  # bytes of the tiles, float32; they are centred and decomposed in place
CHUNK = 256  # tiles drawn at a time
MIN_VARIANCE = 1e-10  # of a component, relative to the first: float32 knows nothing below it
log = logging.getLogger(__name__)


class PcaTraining:
    """Linear encoder and decoder; the one `step()` computes them on the CPU, in every process the same.

    The sample has `schedule.final_images` tiles, or as many as fit into MEMORY. Raises ConfigError when they are too
    few for `network.latent_size` components, or when there are as many components as a tile has values.
    """

    def __init__(self, config: TrainConfig, normal: CropSampler) -> None:
        self.images, self.total_images = 0, sample_size(config)
        self._config, self._normal = config, normal
        with torch.random.fork_rng(devices=[]):
            self.encoder, self.decoder = build_linear(config)
        for network in (self.encoder, self.decoder):
            network.eval().requires_grad_(False)

    def step(self) -> StepReport:
        """Draw the tiles and find their principal components. Raises DatasetError when they vary too little."""
        from sklearn.decomposition import PCA  # takes a second to load, and no other method needs it

        schedule, latent_size = self._config.schedule, self._config.network.latent_size
        tiles = self._draw()
        self._check_variation(tiles)
        pca = PCA(latent_size, copy=False, svd_solver="randomized", random_state=schedule.seed).fit(tiles)
        variances = pca.explained_variance_.astype(np.float64)
        rank = int((variances > MIN_VARIANCE * variances[0]).sum())
        if rank < latent_size:
            raise DatasetError(
                f"{self._config.data.root}: the normal tiles have too few principal components ({rank}) for "
                f"network.latent_size {latent_size}; lower it, or add images"
            )
        mean, components = torch.from_numpy(pca.mean_), torch.from_numpy(pca.components_)
        set_components(self.encoder, self.decoder, mean, components, torch.from_numpy(pca.explained_variance_).sqrt())
        explained = float(pca.explained_variance_ratio_.sum())
        explain = counted(rank, "component explains", "components explain")
        log.info("%s %.1f %% of the variance of %d tiles", explain, 100 * explained, len(tiles))
        self.images = self.total_images
        missed = float(variances.sum()) * (1 / explained - 1)
        losses = {"reconstruction": missed / tiles.shape[1], "explained": explained}
        return StepReport(self.images, self._config.network.resolution.bit_length() - 3, 1.0, losses)

    def state(self) -> TrainingState:
        """Both networks and the images shown; a finished analysis needs nothing else."""
        networks = {"generator": self.decoder, "encoder": self.encoder}
        tensors = {f"{name}.{k}": v.contiguous() for name, m in networks.items() for k, v in m.state_dict().items()}
        return TrainingState(tensors, {}, {"images": self.images})

    def restore(self, state: TrainingState) -> None:
        """Take the networks of a checkpoint of the same configuration. Raises CheckpointError."""
        try:
            self.decoder.load_state_dict(tensors_under(state.networks, "generator"))
            self.encoder.load_state_dict(tensors_under(state.networks, "encoder"))
            self.images = int(state.metadata["images"])
        except (KeyError, ValueError, TypeError, RuntimeError):
            raise CheckpointError("the checkpoint does not fit this configuration; start in a new folder") from None

    def samples(self, count: int, seed: int) -> npt.NDArray[np.float32]:
        """G(z) of latents N(0, 1), limited to [-1, 1], [count, C, R, R]; a seed fixes the latents."""
        latents = torch.Generator().manual_seed(seed)
        z = torch.randn(count, self._config.network.latent_size, generator=latents)
        images: npt.NDArray[np.float32] = self.decoder(z).clamp(-1, 1).numpy()
        return images

    def reconstructor(self) -> TileReconstructor | None:
        """Projection onto the components; None before they are found."""
        if self.images < self.total_images:
            return None
        return TileReconstructor(lambda x: self.decoder(self.encoder(x)), torch.device("cpu"), 1.0)

    def _draw(self) -> npt.NDArray[np.float32]:
        """The sample, one flattened tile a row."""
        rng = np.random.default_rng(self._config.schedule.seed)
        tiles = np.empty((self.total_images, _values(self._config)), np.float32)
        for first in range(0, len(tiles), CHUNK):
            rows = tiles[first : first + CHUNK]
            rows[:] = self._normal.draw(len(rows), rng).flatten(1).numpy()
        return tiles

    def _check_variation(self, tiles: npt.NDArray[np.float32]) -> None:
        if not np.ptp(tiles, axis=0).any():
            raise DatasetError(
                f"{self._config.data.root}: all normal tiles are equal, and there is nothing to learn from them; "
                "give images that show the product"
            )


def sample_size(config: TrainConfig) -> int:
    """How many tiles are drawn. Raises ConfigError when no such sample has `network.latent_size` components."""
    n, values = config.network, _values(config)
    if n.latent_size >= values:
        raise ConfigError(
            f"network.latent_size {n.latent_size}: a tile of {n.resolution} px has {values} values, and with as many "
            "components method pca would copy every defect; lower network.latent_size"
        )
    wanted, room = config.schedule.final_images, MEMORY // (4 * values)
    if wanted <= n.latent_size:
        raise ConfigError(
            f"schedule.final_images {wanted}: method pca needs more tiles than network.latent_size ({n.latent_size}); "
            "raise schedule.final_images or lower network.latent_size"
        )
    if room <= n.latent_size:
        raise ConfigError(
            f"method pca holds at most {room} tiles of {n.resolution} px in memory and needs more than "
            f"network.latent_size ({n.latent_size}); lower network.resolution or network.latent_size"
        )
    if wanted > room:
        log.warning("schedule.final_images %d: method pca takes %d tiles, as many as it has memory for", wanted, room)
    return min(wanted, room)


def _values(config: TrainConfig) -> int:
    return int(config.preprocessing.channels * config.network.resolution**2)
