"""From rows to pages: tables and pictures take their marked places in Markdown, all else there stays as it is.

<!-- table NAME.TABLE -->     what stands between these lines is made by `saltation experiment NAME`
<!-- end -->
"""

import re
from pathlib import Path

from saltation.experiments.case import Experiment, Row
from saltation.files import make_folder, write_text
from saltation.plot.style import save

MARKED = re.compile(r"(<!-- table (\w+)\.(\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str, name: str, tables: dict[str, str]) -> str:
    """`text` with the tables of an experiment in their places. Raises ValueError for one that it does not have."""

    def fill(match: re.Match[str]) -> str:
        head, experiment, table, end = match.groups()
        if experiment != name:
            return match[0]
        if table not in tables:
            raise ValueError(f"there is no table {experiment}.{table}; {name} has {', '.join(tables)}")
        return f"{head}{tables[table]}\n{end}"

    return MARKED.sub(fill, text)


def pages(docs: Path) -> list[Path]:
    """Those with tables: docs/results.md, docs/results/*.md, and the README above."""
    readme = docs.parent / "README.md"
    return [docs / "results.md", *sorted((docs / "results").glob("*.md")), *([readme] if readme.exists() else [])]


def write_pages(name: str, experiment: Experiment, rows: list[Row], docs: Path) -> list[Path]:
    """Fill the tables into the pages that have a place for them, and draw docs/images/results_*.png."""
    tables = {table: make(rows).markdown() for table, make in experiment.TABLES.items()}
    written = []
    for page in pages(docs):
        before = page.read_text("utf-8")
        after = filled(before, name, tables)
        if after != before:
            write_text(page, after)
            written.append(page)
    make_folder(docs / "images")
    for picture, drawing in experiment.PICTURES.items():
        written.append(save(drawing.figure(rows), docs / "images" / f"results_{name}_{picture}.png"))
    return written


def write_page(name: str, experiment: Experiment, rows: list[Row], folder: Path) -> Path:
    """A page of its own, for runs that are not those of the documents: all tables and pictures."""
    lines = [f"# {name}", ""]
    for table, make in experiment.TABLES.items():
        lines += [f"## {table}", "", make(rows).markdown(), ""]
    for picture, drawing in experiment.PICTURES.items():
        save(drawing.figure(rows), folder / f"{name}_{picture}.png")
        lines += [f"![{picture}]({name}_{picture}.png)", ""]
    page = folder / f"{name}.md"
    write_text(page, "\n".join(lines))
    return page
