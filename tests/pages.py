"""Reading of pages, to test what they show."""

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "hr", "img", "input", "col", "path", "use"}


class Outline(HTMLParser):
    """Checks that elements nest, and collects tags, attributes, ids and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.ids, self.text = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    @property
    def shown(self):
        """All text, with single spaces."""
        return " ".join(" ".join(self.text).replace("\N{NO-BREAK SPACE}", " ").split())

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
