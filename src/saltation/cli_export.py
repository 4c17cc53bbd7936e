"""saltation export RUN --to nir."""

import argparse
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

FORMATS = ("nir",)


def add_export(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command."""
    what = (
        "Write the network of a run to a file of another format. nir: a graph of NIR, the Neuromorphic Intermediate "
        "Representation, that nir.read and the frameworks named by --convention read; see docs/nir.md."
    )
    parser = add("export", _export, "write the network of a run for other software", description=what)
    parser.add_argument("run_folder", metavar="RUN", help="a run folder")
    parser.add_argument("--to", required=True, choices=FORMATS, help="the format")
    parser.add_argument("--out", metavar="FILE", help="default: network.nir in the run folder")
    parser.add_argument(
        "--which", choices=("best", "last", "initial"), help="which parameters (default: those that the run reports)"
    )
    parser.add_argument(
        "--convention",
        default="nir",
        metavar="NAME",
        help="who reads it: nir (by the letter, default), unit, snntorch, spikingjelly, norse, lava, rockpool, jaxsnn",
    )
    parser.add_argument(
        "--time-unit", type=float, default=1.0, metavar="S", help="seconds of a unit of time of the data (default: 1)"
    )
    parser.add_argument(
        "--dt", type=float, metavar="S", help="time step in seconds, for conventions that have one (default: its own)"
    )
    parser.add_argument(
        "--lossy",
        action="store_true",
        help="keep what NIR cannot say (adaptive threshold, refractory period, QIF) as metadata for saltation alone",
    )


def _export(options: argparse.Namespace) -> None:
    from saltation.files import write_bytes
    from saltation.nir import to_nir
    from saltation.nir.library import nir_package
    from saltation.train.run import load_run

    nir = nir_package()
    model, _, _ = load_run(options.run_folder, options.which)
    graph = to_nir(model, options.convention, time_unit=options.time_unit, dt=options.dt, lossy=options.lossy)
    content = BytesIO()
    nir.write(content, graph)
    path = Path(options.out) if options.out else Path(options.run_folder) / "network.nir"
    write_bytes(path, content.getvalue())
    print(f"{path}: {_summary(graph)}")
    about: dict[str, Any] = graph.metadata["saltation"]
    step = f", dt {about['dt']:g} s" if "dt" in about else ""
    print(f"convention {about['convention']}{step}; a unit of time is {about['time_unit']:g} s")


def _summary(graph: Any) -> str:
    """How many nodes of each kind."""
    kinds: dict[str, int] = {}
    for node in graph.nodes.values():
        kinds[type(node).__name__] = kinds.get(type(node).__name__, 0) + 1
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())
