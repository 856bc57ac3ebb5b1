"""The time that a training still needs, counted in work instead of images."""

import pytest
import torch

from latentline.base.strict_yaml import parse
from trainer.config import TrainConfig
from trainer.loops.workload import StageCosts, Stretch, Workload, gan_workload, measure_workload

SCHEDULE = {"fade_images": 40, "stable_images": 20, "final_images": 240, "encoder_images": 100}


def config(kind: str, **schedule: int) -> TrainConfig:
    """A GAN with three stages, or an autoencoder."""
    return parse(
        {
            "data": {"root": "images", "known_abnormal_fraction": 0.1},
            "method": {"kind": kind},
            "network": {"resolution": 64, "patch_size": 4, "latent_size": 8, "fmap_base": 64, "fmap_max": 8},
            "schedule": {**SCHEDULE, **schedule} if kind.endswith("anogan") else {"final_images": 30},
            "search": {"gamma": 1.0},
        },
        TrainConfig,
        "my.yaml",
    )


def test_work_is_counted_stretch_by_stretch() -> None:
    """Images of a dear stretch count more; nothing is done at the start, and all at the end and beyond."""
    workload = Workload((Stretch(10, 1.0), Stretch(5, 4.0)))
    assert [workload.done(images) for images in (0, 10, 12, 15, 16)] == [0, 10, 18, 30, 30] and workload.total == 30


def test_late_stages_and_phases_have_their_own_costs() -> None:
    """Every image of the schedule is in one stretch; stages are dearer one by one, and D alone costs no generator."""
    costs = StageCosts([1.0, 2.0, 4.0], [1.0, 2.0, 4.0], 1.0)
    workload = gan_workload(config("noisy_anogan", discriminator_images=50), costs)
    assert [stretch.images for stretch in workload.stretches] == [20, 60, 280, 100, 50]
    game = [stretch.cost for stretch in workload.stretches[:3]]
    assert game == pytest.approx([game[0], 2 * game[0], 4 * game[0]])
    alone = gan_workload(config("anogan"), costs)
    assert alone.stretches[2].cost < workload.stretches[2].cost  # it is shown nothing abnormal
    assert alone.stretches[4].images == 0


def test_measuring_changes_no_random_state() -> None:
    """A run with a bar and one without draw the same numbers; each part of the schedule has a cost."""
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    workload = measure_workload(config("f_anogan"), 460, torch.device("cpu"))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(stretch.cost > 0 for stretch in workload.stretches[:4])


def test_an_autoencoder_costs_the_same_all_the_time() -> None:
    """Half of the images are half of the work."""
    workload = measure_workload(config("autoencoder"), 30, torch.device("cpu"))
    assert workload.done(15) == workload.total / 2
