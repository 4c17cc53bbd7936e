"""The pages of the documentation, and what they hold."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(p for p in (ROOT / "docs").rglob("*.md") if "_build" not in p.parts)])
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    """A page as tests call it."""
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks in one language; those in comments of HTML count, and are not shown to a reader."""
    found = []
    for indent, kind, text in FENCE.findall(page.read_text(encoding="utf-8")):
        if kind == language:
            found.append("".join(line.removeprefix(indent) for line in text.splitlines(keepends=True)))
    return found


def commands(page: Path) -> Iterator[str]:
    """The lines of its blocks, indented or fenced, that call saltation, python or make; a backslash joins lines."""
    shown = FENCE.sub(_indented_if_shell, page.read_text(encoding="utf-8"))
    for line in shown.replace("\\\n", " ").splitlines():
        command = line.strip().removeprefix("$ ")
        if line.startswith("    ") and re.match(r"(saltation|make|python \S+\.py|python -m \S+)( |$)", command):
            yield command


def _indented_if_shell(fence: re.Match[str]) -> str:
    return re.sub("^", "    ", fence[3], flags=re.MULTILINE) if fence[2] in ("sh", "bash", "console") else ""
