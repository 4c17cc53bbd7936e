"""Networks and spikes to and from NIR, the Neuromorphic Intermediate Representation (docs/nir.md).

Nothing here imports the package `nir` before a function is called.
"""

from .events import from_nir_events, to_nir_events
from .read import from_nir
from .write import to_nir

__all__ = ["from_nir", "from_nir_events", "to_nir", "to_nir_events"]
