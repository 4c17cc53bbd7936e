"""A page as a browser would take it apart."""

from html.parser import HTMLParser

VOID = {"meta", "img", "input", "br"}


class Page(HTMLParser):
    """tags: (name, attributes) of all elements; sections: the text of each by its id; rows: the cells of table rows, by
    section; captions: of the figures of a section.
    """

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.section = ""
        self.sections: dict[str, str] = {}
        self.rows: dict[str, list[list[str]]] = {}
        self.captions: dict[str, list[str]] = {}
        self.feed(content)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self.section = dict(attributes)["id"]
            self.sections[self.section], self.rows[self.section], self.captions[self.section] = "", [], []
        elif tag == "tr":
            self.rows[self.section].append([])
        elif tag in ("td", "th"):
            self.rows[self.section][-1].append("")
        elif tag == "figcaption":
            self.captions[self.section].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag
        if tag == "section":
            self.section = ""

    def handle_data(self, data):
        if not self.section:
            return
        self.sections[self.section] += data
        if self.open[-1] in ("td", "th"):
            self.rows[self.section][-1][-1] += data
        elif self.open[-1] == "figcaption":
            self.captions[self.section][-1] += data

    def cells(self, section: str, first: str) -> list[str]:
        """The other cells of the row that begins with `first`."""
        return next(row[1:] for row in self.rows[section] if row and row[0] == first)
