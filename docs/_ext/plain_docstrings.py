"""Docstrings of saltation are written to be read as they are; this turns what reStructuredText would garble.

An indented paragraph, an equation, becomes a literal block, and a table of names such as

    path       the file
    split_key  which array holds the split

becomes a list. What comes from the first section on (Args:, Returns:, ...) is left to napoleon.
"""

import re

SECTION = re.compile(r"(Args|Attributes|Returns|Raises|Example|Examples|Yields|Note):$")
ROW = re.compile(r"(\S+(?:, \S+)*) {2,}(\S.*)")


def plain(lines: list[str]) -> list[str]:
    """The same docstring as reStructuredText."""
    stop = next((k for k, line in enumerate(lines) if SECTION.match(line)), len(lines))
    made: list[str] = []
    for paragraph in _paragraphs(lines[:stop]):
        if all(line.startswith("    ") for line in paragraph):
            made += ["::", "", *paragraph, ""]
        elif ROW.match(paragraph[0]) and all(ROW.match(line) or line.startswith("  ") for line in paragraph):
            made += [_entry(line) for line in paragraph] + [""]
        else:
            made += [*paragraph, ""]
    return made + lines[stop:]


def _paragraphs(lines: list[str]) -> list[list[str]]:
    """What empty lines separate."""
    parts: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            parts[-1].append(line)
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]


def _entry(line: str) -> str:
    row = ROW.match(line)
    return f"* **{row[1]}**: {row[2]}" if row else f"  {line.strip()}"


def process(_app: object, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Change a docstring in place, before napoleon does."""
    lines[:] = plain(lines)


def setup(app) -> dict[str, bool]:  # type: ignore[no-untyped-def]
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", process, priority=400)
    return {"parallel_read_safe": True}
