"""Profiles state figures with their sources, and become limits."""

import pytest

from saltation.chips import Chip, profile, profile_names


def test_figures():
    """As the sources in the files state them."""
    loihi = profile("loihi_2").chip(time_step=2e-3)
    assert loihi == Chip(weight_bits=8, delay_step=2e-3, max_delay=0.124)
    assert profile("spinnaker_2").chip(time_step=1e-3) == Chip(weight_bits=8, delay_step=1e-3)
    assert profile("brainscales_2").chip() == Chip(weight_bits=7, fan_in=256)


@pytest.mark.parametrize("name", profile_names())
def test_every_figure_has_a_source(name):
    found = profile(name)
    assert found.figures.keys() == found.sources.keys()
    assert all(len(source) > 40 for source in found.sources.values())
    assert found.missing


def test_errors():
    with pytest.raises(ValueError, match=r"profile 'loihi': there are brainscales_2, loihi_2, spinnaker_2"):
        profile("loihi")
    with pytest.raises(ValueError, match="time_step = None: Intel Loihi 2 counts delays in time steps: say how long"):
        profile("loihi_2").chip()
    with pytest.raises(ValueError, match="time_step = 0.001: BrainScaleS-2 has no time steps: leave it out"):
        profile("brainscales_2").chip(1e-3)
