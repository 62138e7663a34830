"""Surface: what a form of a page sends, as names and values."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from burnish.errors import InvalidValue
from burnish.vocabulary import RequestPriority

#: The most bytes and fields of a form.
_LONGEST, _FIELDS = 512 * 1024, 1000


async def read_form(request: Request) -> Mapping[str, str]:
    """The fields of a form; of several of one name, the last. Raises InvalidValue."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST:
            raise InvalidValue("the form is too long")
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict"
        )
    except ValueError:
        raise InvalidValue("the form cannot be read") from None
    return dict(pairs)


def copies_of(form: Mapping[str, str]) -> int:
    """The number of copies that a form asks for; raises InvalidValue."""
    text = form.get("copies", "")
    if not (text.isascii() and text.isdigit() and len(text) < 5):
        raise InvalidValue("the number of copies is a number")
    return int(text)


def priority_of(form: Mapping[str, str]) -> RequestPriority:
    """The priority that a form asks for; raises InvalidValue."""
    try:
        return RequestPriority(form.get("priority", ""))
    except ValueError:
        raise InvalidValue("the priority is HIGH, MED or LOW") from None


Form = Annotated[Mapping[str, str], Depends(read_form)]
