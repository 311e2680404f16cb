"""What reaches a terminal, a file name or an XML file is harmless and visible."""

import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from tcfuzz.escape import markup, slug, visible, visible_lines, xml

NASTY = st.text(st.one_of(st.characters(), st.integers(0xD800, 0xDFFF).map(chr), st.sampled_from("\x1b\x00\n[]\u202e")))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("a\nb\tc\x1b[31m", "a␊b␉c␛[31m"),
        ("\x7f\x9b", "␡\\x9b"),
        ("a\xa0b\u2028", "a\\xa0b\\u2028"),
        ("\u202eabc\u200b\ufeff", "\\u202eabc\\u200b\\ufeff"),
        ("\ud83d", "\\ud83d"),
        ("e\u0301", "e\\u0301"),
        ("é 漢字 😀", "é 漢字 😀"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_visible(text, shown):
    assert visible(text) == shown


@given(NASTY)
def test_visible_is_printable_and_encodable(text):
    assert visible(text).isprintable()
    visible(text).encode("utf-8")
    assert visible(text, ascii_only=True).isascii()
    assert visible(text, ascii_only=True).isprintable()


def test_lines_keep_their_ends_visible():
    assert visible_lines("a\r\nb\n") == ["a␍␊", "b␊"]
    assert visible_lines("") == [""]


@given(NASTY)
def test_markup_is_taken_literally(text):
    assert Text.from_markup(markup(text)).plain == visible(text)


@given(NASTY)
def test_xml_is_well_formed(text):
    element = ElementTree.Element("a", {"b": xml(text)})
    element.text = xml(text)
    back = ElementTree.fromstring(ElementTree.tostring(element, encoding="utf-8"))
    assert (back.text or "") == xml(text)
    assert back.get("b") == xml(text)


@given(NASTY)
def test_slug_is_a_safe_name(text):
    name = slug(text)
    assert 1 <= len(name) <= 61
    assert name.isascii() and not set(name) & set('/\\:*?"<>| \x00')
    assert name not in (".", "..") and not name.startswith(("-", ".")) and not name.endswith(".")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("python:examples/naive_gemma4.py", "python-examples-naive_gemma4.py"),
        ("type:boolean→string", "type-boolean-string"),
        ("../../etc/passwd", "etc-passwd"),
        ("CON", "_CON"),
        ("\x00", "x"),
    ],
)
def test_slugs(text, name):
    assert slug(text) == name
