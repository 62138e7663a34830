"""Craft: text that is safe within XHTML and SVG."""

from html import escape


def escaped(value: object) -> str:
    """Any value as text within XHTML; what cannot be printed is left out."""
    return escape("".join(filter(str.isprintable, str(value))))
