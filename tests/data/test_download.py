"""Downloads, from an opener that never leaves the machine."""

import hashlib
import io
import urllib.request
from urllib.error import URLError

import pytest

from saltation.data.download import FILES, RemoteFile, fetch

CONTENT = bytes(range(256)) * 20_000  # several chunks
FILE = RemoteFile("https://example.org/a/file.gz", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "set")


@pytest.fixture
def serve(monkeypatch):
    asked = []

    def start(content):
        def urlopen(url, timeout):
            asked.append(url)
            if isinstance(content, Exception):
                raise content
            return io.BytesIO(content)

        monkeypatch.setattr(urllib.request, "urlopen", urlopen)
        return asked

    return start


def test_a_file_is_fetched_once(serve, tmp_path):
    asked = serve(CONTENT)
    for _ in range(2):
        assert fetch(FILE, tmp_path).read_bytes() == CONTENT
    assert asked == [FILE.url] and [path.name for path in (tmp_path / "set").iterdir()] == ["file.gz"]
    (tmp_path / "set" / "file.gz").write_bytes(b"damaged")
    assert fetch(FILE, tmp_path).read_bytes() == CONTENT and len(asked) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CONTENT[:-1], "has 5119999 bytes .* instead of 5120000"),
        (CONTENT * 2, "bytes .or more. .* instead of 5120000"),
        (CONTENT[:-1] + b"\0", f"instead of 5120000 and {FILE.sha256}"),
        (
            URLError("no network"),
            r"no network.*get https://example.org/a/file.gz elsewhere and put it at .*set/file.gz",
        ),
    ],
)
def test_what_is_wrong_is_not_kept(serve, tmp_path, content, message):
    serve(content)
    with pytest.raises((ValueError, OSError), match=message):
        fetch(FILE, tmp_path)
    assert list((tmp_path / "set").iterdir()) == []


def test_only_https(tmp_path):
    with pytest.raises(ValueError, match="not an https address"):
        fetch(FILE._replace(url="http://example.org/a/file.gz"), tmp_path)
    assert all(file.url.startswith("https://") and len(file.sha256) == 64 for files in FILES.values() for file in files)
