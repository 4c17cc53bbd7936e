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
        "--profile",
        metavar="NAME",
        help="first quantise it to the published limits of a chip: loihi_2, spinnaker_2 or brainscales_2; prints what "
        "is clipped and rounded, and the accuracy before and after; see docs/chips.md",
    )
    parser.add_argument(
        "--time-step", type=float, metavar="S", help="time step of that chip in seconds, where it has one"
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
    model, config, samples = load_run(options.run_folder, options.which)
    if options.profile is not None:
        model = _quantised(model, config, samples, options)
    elif options.time_step is not None:
        raise ValueError("--time-step is that of the chip of a --profile; name one, or leave it out (see also --dt)")
    graph = to_nir(model, options.convention, time_unit=options.time_unit, dt=options.dt, lossy=options.lossy)
    content = BytesIO()
    nir.write(content, graph)
    path = Path(options.out) if options.out else Path(options.run_folder) / "network.nir"
    write_bytes(path, content.getvalue())
    print(f"{path}: {_summary(graph)}")
    about: dict[str, Any] = graph.metadata["saltation"]
    step = f", dt {about['dt']:g} s" if "dt" in about else ""
    print(f"convention {about['convention']}{step}; a unit of time is {about['time_unit']:g} s")


def _quantised(model: Any, config: Any, samples: Any, options: argparse.Namespace) -> Any:
    """The network as the chip of a profile holds it; says what that changes."""
    from saltation.chips import OnChip, changes, profile
    from saltation.train import evaluate
    from saltation.train.objective import Objective
    from saltation.train.result import with_error

    if not options.time_unit > 0:
        raise ValueError(f"--time-unit is {options.time_unit}; it must be > 0 seconds")
    limits = profile(options.profile)
    step = options.time_step
    chip = limits.chip(None if step is None else step / options.time_unit)
    on_chip = OnChip(model, chip).as_network()
    print(f"{limits.title}, {options.profile}; not limited, for want of public figures: {limits.missing}")
    for line in changes(model, chip):
        print(f"  {line}")
    split = next((split for split in ("test", "validation") if len(samples.subset(split))), None)
    if split is None:  # only with train.refit
        print(f"no accuracy before and after: it was trained on all samples of {samples.source}")
        return on_chip
    for when, network in (("before", model), ("after", on_chip)):
        found = evaluate(network, Objective(config), samples.subset(split), config.train.batch_size)
        print(f"{split} accuracy {when}: {with_error(found['accuracy'], found['standard_error'])}")
    return on_chip


def _summary(graph: Any) -> str:
    """How many nodes of each kind."""
    kinds: dict[str, int] = {}
    for node in graph.nodes.values():
        kinds[type(node).__name__] = kinds.get(type(node).__name__, 0) + 1
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())
