"""Surface: what the routes for programs share: JSON of views, pages of lists, documentation."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from burnish.request.views import to_json
from burnish.web.access import Permission, may, visitor_of
from burnish.web.problems import PROBLEMS

Limit = Annotated[int, Query(ge=1, le=500, description="The most items of the answer.")]
#: The name of the schema of problems in the OpenAPI document.
PROBLEM_SCHEMA = "Problem"
#: Statuses that every route may answer with.
_ALWAYS = (401, 403, 422, 503)


class Body(BaseModel):
    """What a program sends. A member that a route does not know is an error."""

    model_config = ConfigDict(extra="forbid")


def sees_patients(request: Request) -> bool:
    """Whether the answer may tell of patients."""
    return may(visitor_of(request).role, Permission.SEE_PATIENTS)


def answer(
    request: Request, view: object, *, status: int = 200, location: str = ""
) -> JSONResponse:
    """A view as JSON, without patients for those who must not see them."""
    headers = {"Location": location} if location else None
    content = to_json(view, patients=sees_patients(request))
    return JSONResponse(content, status_code=status, headers=headers)


def page(request: Request, items: Sequence[Any], limit: int, cursor: str) -> JSONResponse:
    """One page of a list that was asked for one item more than `limit`.

    `cursor` is the field of an item by which the next page is asked for.
    """
    shown = items[:limit]
    more = len(items) > limit
    return answer(
        request,
        {"items": list(shown), "next": str(getattr(shown[-1], cursor)) if more else None},
    )


def documented(
    schema: dict[str, Any] | None,
    *problems: int,
    status: int = 200,
    text: str = "Done.",
    media_type: str = "application/json",
) -> dict[int | str, dict[str, Any]]:
    """The answers of a route for the OpenAPI document: the good one, and the problems."""
    good: dict[str, Any] = {"description": text}
    if schema is not None:
        good["content"] = {media_type: {"schema": schema}}
    answers: dict[int | str, dict[str, Any]] = {status: good}
    for number in sorted({*_ALWAYS, *problems}):
        titles = dict.fromkeys(kind.title for kind in PROBLEMS.values() if kind.status == number)
        answers[number] = {
            "description": "; ".join(titles) or "A problem",
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": f"#/components/schemas/{PROBLEM_SCHEMA}"}
                }
            },
        }
    return answers
