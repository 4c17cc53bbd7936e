"""Pieces of a page. Whatever is not `Html` is escaped."""

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from matplotlib.figure import Figure

from saltation.plot import png
from saltation.report.words import printable

DPI = 100


class Html(str):
    """Text that is HTML already."""


@dataclass(frozen=True)
class Section:
    """A part of the page: the name of its anchor, its title, its content."""

    anchor: str
    title: str
    content: Html


def text(value: Any) -> Html:
    """Any value as HTML: escaped, without characters that are no text, unless it is `Html`."""
    if isinstance(value, Html):
        return value
    return Html(html.escape(printable(value)))


def joined(parts: Iterable[Html]) -> Html:
    """One after the other."""
    return Html("\n".join(parts))


def paragraph(words: Any) -> Html:
    """A paragraph."""
    return Html(f"<p>{text(words)}</p>")


def table(head: Sequence[Any], rows: Iterable[Sequence[Any]]) -> Html:
    """The first column names the rows."""

    def row(cells: Sequence[Any]) -> str:
        first, *rest = cells
        return f'<tr><th scope="row">{text(first)}</th>{"".join(f"<td>{text(cell)}</td>" for cell in rest)}</tr>'

    columns = "".join(f'<th scope="col">{text(cell)}</th>' for cell in head)
    top = f"<thead><tr>{columns}</tr></thead>" if any(head) else ""
    body = "\n".join(row(cells) for cells in rows)
    return Html(f'<div class="wide"><table>{top}<tbody>{body}</tbody></table></div>')


def picture(figure: Figure, what: str, caption: str = "") -> Html:
    """A picture inside of the page. what: for those who cannot see it."""
    data = base64.b64encode(png(figure, DPI)).decode()
    below = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return Html(f'<figure><img src="data:image/png;base64,{data}" alt="{text(what)}">{below}</figure>')


def page(title: str, sections: Sequence[Section]) -> str:
    """A whole page that needs nothing from elsewhere, and says so to the browser: no other script may run in it."""
    style, script = (
        (files("saltation") / "report" / name).read_text(encoding="utf-8") for name in ("page.css", "page.js")
    )
    policy = f"default-src 'none'; img-src data:; style-src {_source(style)}; script-src {_source(script)}"
    links = "".join(f'<a href="#{section.anchor}">{text(section.title)}</a>' for section in sections)
    body = "\n".join(
        f'<section id="{section.anchor}"><h2>{text(section.title)}</h2>\n{section.content}</section>'
        for section in sections
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{style}</style></head>\n<body><h1>{text(title)}</h1>\n"
        f"<nav>{links}</nav>\n<main>{body}</main>\n<script>{script}</script></body></html>\n"
    )


def _source(content: str) -> str:
    """How a policy names this very content."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
