"""Surface: what the routes for programs share: JSON of views, pages of lists, documentation."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from burnish.hashing import digest_bytes
from burnish.request.views import list_page, to_json
from burnish.web.access import Permission, may, visitor_of
from burnish.web.problems import kinds

Limit = Annotated[int, Query(ge=1, le=500, description="The most items of the answer.")]
#: The name of the schema of problems in the OpenAPI document.
PROBLEM_SCHEMA = "Problem"
#: Statuses that every route may answer with.
_ALWAYS = (401, 403, 422, 503)


class Body(BaseModel):
    """The body that a program sends. A member that a route does not know is an error."""

    model_config = ConfigDict(extra="forbid")


def sees_patients(request: Request) -> bool:
    """Whether the answer may tell of patients."""
    return may(visitor_of(request).role, Permission.SEE_PATIENTS)


def answer(request: Request, view: object, *, status: int = 200, location: str = "") -> Response:
    """A view as JSON, without patients for those who must not see them.

    Each answer to a GET has an ETag, the digest of its bytes: a program that has them gets 304.
    """
    headers = {"Location": location} if location else {}
    content = to_json(view, patients=sees_patients(request))
    response = JSONResponse(content, status_code=status, headers=headers)
    if request.method == "GET" and status == 200:
        tag = f'"{digest_bytes(response.body).hex()[:32]}"'
        headers["ETag"] = tag
        if tag in re.split(r"\s*,\s*", request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=headers)
        response.headers.update(headers)
    return response


def page(
    request: Request, items: Sequence[Any], limit: int, cursor: Callable[[Any], object]
) -> Response:
    """One page of a list that was asked for one item more than `limit`; see `list_page`."""
    return answer(request, list_page(items, limit, cursor))


def with_zone(time: datetime | None) -> datetime | None:
    """A time that a program gives; one without an offset is in UTC."""
    if time is None or time.tzinfo is not None:
        return time
    return time.replace(tzinfo=UTC)


def documented(
    schema: dict[str, Any] | None,
    *problems: int,
    status: int = 200,
    text: str = "Done.",
    media_types: Sequence[str] = ("application/json",),
) -> dict[int | str, dict[str, Any]]:
    """The answers of a route for the OpenAPI document: the good one, and the problems."""
    good: dict[str, Any] = {"description": text}
    if schema is not None:
        good["content"] = {media_type: {"schema": schema} for media_type in media_types}
    answers: dict[int | str, dict[str, Any]] = {status: good}
    problem_answers = problem_responses(*sorted({*_ALWAYS, *problems}))
    return answers | {int(number): response for number, response in problem_answers.items()}


def problem_responses(*statuses: int) -> dict[str, dict[str, Any]]:
    """Problems for the OpenAPI document, by their statuses."""
    answers: dict[str, dict[str, Any]] = {}
    for number in statuses:
        titles = dict.fromkeys(kind.title for kind in kinds() if kind.status == number)
        answers[str(number)] = {
            "description": "; ".join(titles) or "A problem",
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": f"#/components/schemas/{PROBLEM_SCHEMA}"}
                }
            },
        }
    return answers
