"""Packages that only a part of saltation needs, the extras that bring them, and what is said where they are missing."""

from importlib.util import find_spec

EXTRAS = {  # by extra: packages by the modules that are imported; as in pyproject.toml
    "cli": {"filelock": "filelock", "omegaconf": "omegaconf", "rich": "rich", "yaml": "pyyaml"},
    "data": {"h5py": "h5py", "scipy": "scipy"},
    "digits": {"sklearn": "scikit-learn"},
    "experiments": {"scipy": "scipy", "threadpoolctl": "threadpoolctl"},
    "nir": {"nir": "nir", "scipy": "scipy"},
    "plots": {"matplotlib": "matplotlib"},
    "tensorboard": {"tensorboard": "tensorboard"},
    "tune": {"optuna": "optuna"},
}


class MissingPackageError(ImportError):
    """A package that an extra brings is not installed; the message says which one and how to get it."""


def missing(extra: str) -> list[str]:
    """The packages of an extra that are not installed. Nothing is imported."""
    return [package for module, package in EXTRAS[extra].items() if find_spec(module) is None]


def need(extra: str, what: str, hint: str = "") -> None:
    """Raise MissingPackageError unless the packages of an extra are installed. Nothing is imported.

    what  needs them, as the subject of a sentence; hint: what else can be done
    """
    packages = missing(extra)
    if packages:
        some = "packages" if packages[1:] else "package"
        raise MissingPackageError(
            f"{what} needs the {some} {', '.join(packages)}: pip install 'saltation[{extra}]'{hint}"
        )
