"""saltation new FILE."""

import argparse
from collections.abc import Callable


def add_new(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command."""
    what = (
        "Look at a recording and write a commented recipe that trains at once: an .npz of events (or arrays x and "
        "y), a store, a folder of .ts series, of idx images or of .wav files, a .csv table, an .npy with its labels, "
        "or tonic:NAME. It says what it assumed; see docs/own-data.md."
    )
    parser = add("new", _new, "a first recipe for a recording of your own", description=what)
    parser.add_argument("file", metavar="FILE", help="a file, a folder, or tonic:NAME")
    parser.add_argument("--out", metavar="RECIPE", help="default: NAME.yaml in the working folder")
    parser.add_argument("--minutes", type=float, default=5.0, help="of one core that training may take (default: 5)")
    parser.add_argument("--root", metavar="DIR", help="with tonic:NAME: where its files are or shall be put")


def _new(options: argparse.Namespace) -> None:
    from saltation.new import new_recipe

    path, said = new_recipe(options.file, options.out, options.root, 60.0 * options.minutes)
    print("\n".join(said))
    print(f"wrote {path}; train it with: saltation train {path}")
