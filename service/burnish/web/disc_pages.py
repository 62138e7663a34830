"""Surface: a page of a disc as an answer to a browser."""

from fastapi import Response

#: For pages of discs: they may have styles and pictures of their own, but no script.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
)


def page_response(page: bytes) -> Response:
    """The page, which has styles of its own, and in which nothing may reach this site."""
    return Response(
        page,
        media_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": POLICY},
    )
