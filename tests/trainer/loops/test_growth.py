"""Progressive growing follows its schedule."""

from hypothesis import given
from hypothesis import strategies as st

from trainer.loops.growth import growth_at, total_images
from trainer.settings.schedule import ScheduleConfig

schedules = st.builds(
    ScheduleConfig,
    fade_images=st.integers(1, 500),
    stable_images=st.integers(0, 500),
    final_images=st.integers(1, 500),
)


@given(schedules, st.integers(0, 6), st.data())
def test_growth_never_goes_back_and_ends_at_full_resolution(
    schedule: ScheduleConfig, last_stage: int, data: st.DataObject
) -> None:
    """(stage, alpha) is monotone; alpha lies in (0, 1]; at the end the last stage stands alone."""
    total = total_images(schedule, last_stage)
    first = data.draw(st.integers(0, total - 1))
    second = data.draw(st.integers(first, total - 1))
    a, b = growth_at(first, schedule, last_stage, 1), growth_at(second, schedule, last_stage, 1)
    assert 0 < a.alpha <= 1 and (a.stage < b.stage or (a.stage == b.stage and a.alpha <= b.alpha))
    end = growth_at(total - 1, schedule, last_stage, 1)
    assert (end.stage, end.alpha) == (last_stage, 1.0)


def test_stages_start_where_their_images_begin() -> None:
    """Stable at 4 px, then fade and stable for each stage, and the batch of its resolution."""
    schedule = ScheduleConfig(fade_images=10, stable_images=5, final_images=100, batch=24, batch_per_resolution={4: 64})
    stages = [growth_at(i, schedule, 2, 1).stage for i in (0, 4, 5, 19, 20, 119)]
    assert stages == [0, 0, 1, 1, 2, 2]
    assert [growth_at(i, schedule, 2, 1).alpha for i in (4, 5, 14, 15)] == [1.0, 0.1, 1.0, 1.0]
    assert (growth_at(0, schedule, 2, 1).batch, growth_at(5, schedule, 2, 1).batch) == (64, 24)
