"""Networks on chips: quantisation, device mismatch and noise, and the published limits of some chips."""

from saltation.chips.changes import changes
from saltation.chips.chip import Chip
from saltation.chips.mismatch import Mismatch, disturbed, draw_device
from saltation.chips.on_chip import OnChip
from saltation.chips.profiles import Profile, profile, profile_names
from saltation.chips.quantise import quantise

__all__ = [
    "Chip",
    "Mismatch",
    "OnChip",
    "Profile",
    "changes",
    "disturbed",
    "draw_device",
    "profile",
    "profile_names",
    "quantise",
]
