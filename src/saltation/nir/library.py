"""The package `nir`, imported when it is needed."""

from typing import Any


def nir_package() -> Any:
    """The module `nir`. Raises ValueError, saying how to get it, if it is not installed or older than 1.0.8."""
    try:
        import nir
    except ImportError as error:
        raise ValueError("NIR needs the package nir, version 1.0.8 or later: pip install 'saltation[nir]'") from error
    if not hasattr(nir, "EventData"):
        version = getattr(nir, "__version__", "unknown")
        raise ValueError(f"nir is of version {version}, and must be 1.0.8 or later: pip install 'saltation[nir]'")
    return nir
