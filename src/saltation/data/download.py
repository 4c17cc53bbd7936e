"""Files of published sets over HTTPS, checked against their SHA-256."""

import hashlib
import os
import urllib.request
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError

from saltation.files import make_folder, replacing

CHUNK = 1 << 20
TIMEOUT = 30.0


class RemoteFile(NamedTuple):
    """One file: where it is, what it must be, and the folder under the data root that it goes to."""

    url: str
    size: int  # bytes
    sha256: str
    folder: str

    @property
    def place(self) -> str:
        """Where it goes under the data root."""
        return f"{self.folder}/{self.url.rsplit('/', 1)[1]}"


_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FILES = {
    "mnist": tuple(
        RemoteFile(_MNIST + name, size, digest, "mnist")
        for name, size, digest in (
            ("train-images-idx3-ubyte.gz", 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            ("train-labels-idx1-ubyte.gz", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            ("t10k-images-idx3-ubyte.gz", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            ("t10k-labels-idx1-ubyte.gz", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        )
    )
}


def fetch(file: RemoteFile, root: Path) -> Path:
    """Download one file to its place under the data root, unless it is there already; returns that place.

    What arrives is written beside it and takes its name only when size and SHA-256 are right.
    Raises ValueError for an address that is not https, for a file that is longer or shorter than announced or has
    another checksum; OSError without a network. Both say where to put the file by hand.
    """
    place = root / file.place
    if os.path.isfile(place) and _digest(place) == file.sha256:
        return place
    if not file.url.startswith("https://"):
        raise ValueError(f"{file.url} is not an https address; nothing was downloaded")
    by_hand = f"get {file.url} elsewhere and put it at {place}"
    make_folder(place.parent)
    try:
        with replacing(place) as partial:
            with urllib.request.urlopen(file.url, timeout=TIMEOUT) as answer, partial.open("wb") as out:
                while out.tell() <= file.size and (chunk := answer.read(CHUNK)):  # never more than a chunk too much
                    out.write(chunk)
            found = partial.stat().st_size, _digest(partial)
            if found != (file.size, file.sha256):
                raise ValueError(
                    f"{file.url} has {found[0]} bytes (or more) and the SHA-256 {found[1]} instead of {file.size} and "
                    f"{file.sha256}; nothing was kept; {by_hand}"
                )
    except (URLError, TimeoutError, ConnectionError) as error:
        raise OSError(f"could not download {file.url} ({error}); {by_hand}") from error
    return place


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
