"""saltation data list | get | info | plot | convert."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

_ROOT = "data root (default: the environment variable SALTATION_DATA)"


def add_data(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add `data` and its own commands."""
    data = commands.add_parser(
        "data",
        help="what data there are; statistics, pictures, conversion",
        description="Look at data sets and convert recordings to the generic .npz format.",
    )
    actions = data.add_subparsers(dest="action", required=True, metavar="ACTION")

    def add(name: str, run: Callable[[argparse.Namespace], None], help: str, **rest: Any) -> argparse.ArgumentParser:
        made = actions.add_parser(name, parents=[common], help=help, **rest)
        made.set_defaults(run=run)
        return made

    parser = add("list", _list, "all data sets and where they are")
    parser.add_argument("--root", metavar="DIR", help=_ROOT)
    parser = add("get", _get, "download a published set into the data root")
    parser.add_argument("name", metavar="DATA", help="for now: mnist; the others say where they are published")
    parser.add_argument("--root", metavar="DIR", help=_ROOT)
    picture = add("plot", _plot, "draw rasters of samples of different classes")
    picture.add_argument("--out", default="raster.png", metavar="FILE", help="default: raster.png")
    for parser in (add("info", _info, "samples, events, rates, duration"), picture):
        parser.add_argument("name", metavar="DATA", help="a name (see saltation data list), an .npz file or a folder")
        parser.add_argument("--root", metavar="DIR", help="data root")
        parser.add_argument("--split-key", metavar="KEY", help="which array of an .npz holds the split")
    _add_convert(add)


def _add_convert(add: Any) -> None:
    what = "Write events in the generic format, from a dense raster, a data set of Tonic or another .npz."
    convert = add("convert", _convert, "write events as an .npz or a memory-mapped folder", description=what)
    convert.add_argument("out", metavar="OUT", help="the .npz to write; without that ending a memory-mapped folder")
    source = convert.add_mutually_exclusive_group(required=True)
    source.add_argument("--dense", metavar="FILE", help="an .npz with raster (samples, steps, channels), labels, split")
    source.add_argument("--events", metavar="FILE", help="an .npz in the generic format")
    source.add_argument("--tonic", metavar="NAME", help="a data set of tonic.datasets, for example SHD or SSC")
    convert.add_argument("--dt", type=float, help="with --dense: length of a step")
    convert.add_argument(
        "--offset", type=float, default=0.0, help="with --dense: where in its step an event lies, 0 (its start) to 1"
    )
    convert.add_argument("--root", metavar="DIR", help="with --tonic: where its files are or shall be put")


def _list(options: argparse.Namespace) -> None:
    from saltation.data import available

    for name, where in available(options.root).items():
        print(f"{name:<14} {where}")


def _plot(options: argparse.Namespace) -> None:
    from saltation.data.registry import time_unit
    from saltation.plot import raster_figure, save

    print(f"wrote {save(raster_figure(_load(options), time_unit(options.name)), Path(options.out))}")


def _get(options: argparse.Namespace) -> None:
    from saltation.data.download import FILES, fetch
    from saltation.data.registry import RECORDINGS, ROOT_VARIABLE, data_root, missing

    root = data_root(options.root)
    if options.name not in RECORDINGS:
        raise ValueError(f"{options.name!r} is not a published set; there are {', '.join(RECORDINGS)}")
    if options.name not in FILES:
        raise ValueError(f"{options.name} cannot be downloaded from here: {missing(options.name)}")
    if root is None:
        raise ValueError(f"say where to: --root DIR, or set {ROOT_VARIABLE}")
    for file in FILES[options.name]:
        print(fetch(file, root))


def _load(options: argparse.Namespace) -> Any:
    from saltation.data import load

    settings = {} if options.split_key is None else {"split_key": options.split_key}
    if options.name.lower().endswith(".npz") or os.path.exists(options.name):
        return load("events", path=options.name, **settings)
    return load(options.name, root=options.root, **settings)


def _info(options: argparse.Namespace) -> None:
    from saltation.data.statistics import statistics

    for line in statistics(_load(options)):
        print(line)


def _convert(options: argparse.Namespace) -> None:
    from saltation.data import load_npz, save_npz, save_store
    from saltation.data.convert import load_dense
    from saltation.data.tonic import load_tonic

    if options.events:
        if os.path.isdir(options.events):
            raise ValueError(
                f"{options.events} is a folder; --events takes an .npz file, and a store is converted already"
            )
        dataset = load_npz(options.events)
    elif options.dense:
        if options.dt is None:
            raise ValueError("--dense needs --dt, the length of a step")
        dataset = load_dense(Path(options.dense), options.dt, options.offset)
    else:
        if options.root is None:
            raise ValueError("--tonic needs --root, the folder where its files are or shall be put")
        dataset = load_tonic(options.tonic, options.root)
    if options.out.lower().endswith(".npz"):
        save_npz(options.out, dataset)
    else:
        save_store(options.out, dataset)
    print(f"wrote {options.out}: {dataset!r}")
