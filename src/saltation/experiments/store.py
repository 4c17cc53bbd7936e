"""Results on disk: a JSON file for each case and seed, which is there whole or not at all."""

import json
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saltation import __version__
from saltation.check import shown
from saltation.environment import package_version
from saltation.experiments.case import Case, Row
from saltation.files import make_folder, write_text


@dataclass(frozen=True)
class Store:
    """The files of one experiment, in a folder of their own."""

    folder: Path

    def path(self, case: Case, seed: int) -> Path:
        """Of one result. Raises ValueError if the name of the case is none of a file."""
        if not re.fullmatch(r"[\w.+-]+", case.name):
            raise ValueError(f"the case {shown(case.name)} must be named with letters, digits and _ . + - alone")
        return self.folder / f"{case.name}-{seed}.json"

    def read(self, case: Case, seed: int) -> Row | None:
        """The result, or None if it is not there.

        Raises ValueError if it is of other settings, or damaged.
        """
        path = self.path(case, seed)
        if not path.exists():
            return None
        try:
            content = json.loads(path.read_text("utf-8"))
            settings, result = content["settings"], dict(content["result"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged ({error}); remove it, and it is made anew") from error
        if settings != json.loads(json.dumps(case.settings)):
            raise ValueError(f"{path} was made with other settings; remove it, or choose another folder (--out)")
        return Row(case.name, seed, case.settings, result)

    def write(self, case: Case, seed: int, result: dict[str, Any], cpu_seconds: float) -> None:
        """Keep a result, with what it was made of and on."""
        versions = {"saltation": __version__, "python": platform.python_version(), "machine": platform.machine()}
        versions |= {name: package_version(name) for name in ("torch", "numba", "numpy")}
        head = {"case": case.name, "seed": seed, "settings": case.settings}
        content = {**head, "result": result, "cpu_seconds": round(cpu_seconds, 2), "versions": versions}
        make_folder(self.folder)
        write_text(self.path(case, seed), json.dumps(content, indent=1) + "\n")

    def rows(self, cases: Sequence[Case]) -> list[Row]:
        """All results that are there, case after case."""
        found = (self.read(case, seed) for case in cases for seed in range(case.seeds))
        return [row for row in found if row is not None]
