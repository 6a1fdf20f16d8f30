"""HTML is made of values, and what comes from elsewhere stays text."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from ofa_bert.report.html import Html, element, escaped, joined


class Texts(HTMLParser):
    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.tags, self.said, self.about = [], "", {}
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.about.update(attrs)

    def handle_data(self, data):
        self.said += data


@given(st.text(), st.text())
def test_a_text_comes_back_as_it_was(text, attribute):
    """But for characters that no page may hold."""
    found = Texts(element("p", text, title=attribute))
    assert found.tags == ["p"]
    for said, was in ((found.said, text), (found.about["title"], attribute)):
        assert len(said) == len(was)
        assert all(a == b or a == "\N{REPLACEMENT CHARACTER}" for a, b in zip(said, was))
        assert [a for a, b in zip(said, was) if a != b and b.isprintable()] == []


def test_what_is_html_already_stays():
    inner = element("b", "1 < 2")
    assert joined([inner, " & ", None]) == "<b>1 &lt; 2</b> &amp; "
    assert element("td", inner, class_="number", data_value="0.5", id=None) == (
        '<td class="number" data-value="0.5"><b>1 &lt; 2</b></td>'
    )
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert isinstance(joined([]), Html)
    assert escaped("'\"<>&") == "&#x27;&quot;&lt;&gt;&amp;"
