"""The package `nir`, imported when it is needed."""

from typing import Any

from saltation.extras import need


def nir_package() -> Any:
    """The module `nir`. Raises MissingPackageError, saying how to get it, or ValueError if it is older than 1.0.8."""
    need("nir", "NIR")
    import nir

    if not hasattr(nir, "EventData"):
        version = getattr(nir, "__version__", "unknown")
        raise ValueError(f"nir is of version {version}, and must be 1.0.8 or later: pip install 'saltation[nir]'")
    return nir
