"""A network of timm, with weights from the local cache of the Hugging Face hub. Nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from latentline.errors import BackendError, ConfigError
from trainer.trunk.levels import PretrainedLevels, sha256_of

STRIDES = (8, 16, 32)
FILES = ("model.safetensors", "pytorch_model.bin")  # in this order


def timm_weights(name: str) -> Path:
    """The file with the weights of a network in the local cache.

    Raises BackendError when timm is not installed or the cache has no weights, ConfigError for an unknown network.
    """
    timm = _timm()
    settings = _settings(timm, name)
    from huggingface_hub import constants, try_to_load_from_cache

    for file in FILES:
        found = try_to_load_from_cache(settings.hf_hub_id, file) if settings.hf_hub_id else None
        if isinstance(found, str):
            return Path(found)
    raise BackendError(
        f"trunk.network timm:{name}: no weights of {settings.hf_hub_id or name} in {constants.HF_HUB_CACHE}; on a "
        f"machine with a network run: hf download {settings.hf_hub_id or name}, and copy that cache here"
    )


def timm_levels(name: str) -> PretrainedLevels:
    """The levels of the strides 8, 16 and 32 that the network has.

    Raises as `timm_weights`, and ConfigError for a network without a level of stride 16.
    """
    path = timm_weights(name)
    timm = _timm()
    settings = _settings(timm, name)
    overlay = {"file": str(path)}  # so timm asks no hub
    try:
        network = timm.create_model(name, pretrained=True, features_only=True, pretrained_cfg_overlay=overlay)
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"trunk.network timm:{name}: timm cannot make a trunk of it ({reason}); take another"
        ) from None
    strides, widths = list(network.feature_info.reduction()), list(network.feature_info.channels())
    chosen = [i for i, stride in enumerate(strides) if stride in STRIDES]
    if 16 not in strides:
        raise ConfigError(
            f"trunk.network timm:{name}: it has no level of stride 16, and a trunk needs one; take another"
        )
    channels = int(settings.input_size[0])
    mean, std = ([255 * float(v) for v in values][:channels] for values in (settings.mean, settings.std))
    return PretrainedLevels(
        module=_Chosen(network.eval().requires_grad_(False), chosen).eval(),
        strides=tuple(strides[i] for i in chosen),
        widths=tuple(widths[i] for i in chosen),
        input_channels=channels,
        mean=tuple(mean),
        std=tuple(std),
        licence=str(settings.license or "unknown"),
        weights_sha256=sha256_of(path),
    )


class _Chosen(nn.Module):
    def __init__(self, network: nn.Module, chosen: list[int]) -> None:
        super().__init__()
        self.network, self._chosen = network, chosen

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = self.network(x)
        return tuple(maps[i] for i in self._chosen)


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise BackendError("trunk.network timm:NAME needs timm; run pip install 'latentline[timm]'") from None
    except RuntimeError as error:  # a torchvision made for another torch
        reason = " ".join(str(error).split())[:200]
        raise BackendError(f"timm cannot be imported ({reason}); install the torchvision of this torch") from None
    return timm


def _settings(timm: Any, name: str) -> Any:
    """What timm knows about the pretrained network. Raises ConfigError for an unknown one."""
    settings = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if settings is None:
        raise ConfigError(f"trunk.network timm:{name}: timm {timm.__version__} has no pretrained network of this name")
    return settings
