"""Craft: the frame of a page in XHTML 1.0 Strict, and text that is safe within it."""

from importlib import resources

from burnish.content.languages import Catalogue
from burnish.content.xhtml_text import escaped

_PAGE = """\
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" \
"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="{language}" lang="{language}" \
dir="{direction}">
<head>
<meta http-equiv="Content-Type" content="text/html; charset=utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<title>{title}</title>
<link rel="stylesheet" type="text/css" href="{style}" />
{head}</head>
<body>
<div id="page">
{body}
</div>
</body>
</html>
"""


def page(title: str, body: str, style: str, catalogue: Catalogue, head: str = "") -> bytes:
    """A whole page; `style` is the path of the style sheet from there, `body` is XHTML.

    `head` are further elements of its head.
    """
    return _PAGE.format(
        language=catalogue.code,
        direction=catalogue.direction,
        title=text(title),
        style=style,
        head=head,
        body=body,
    ).encode()


def text(value: object) -> str:
    """Any value as text within XHTML; what cannot be printed is left out."""
    return escaped(value)


def lines(value: str) -> str:
    """Text of several lines."""
    return "<br />".join(text(line) for line in value.strip().splitlines())


def paragraph(value: str, style: str = "") -> str:
    """A paragraph of text; "" without any."""
    if not value:
        return ""
    return f"<p{_class(style)}>{text(value)}</p>\n"


def foreign(value: str) -> str:
    """Text that was written in any language, as a name: its direction is its own."""
    return f'<span class="t">{text(value)}</span>' if value else ""


def _class(style: str) -> str:
    return f' class="{style}"' if style else ""


def style_sheet() -> bytes:
    """The style sheet of all pages."""
    return (resources.files(__package__) / "style.css").read_bytes()
