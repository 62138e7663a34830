"""Surface: the web application: its routes, its errors, and what they share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from burnish import __version__
from burnish.db.session import Database
from burnish.errors import BurnishError
from burnish.settings import Settings
from burnish.spool import Spool
from burnish.web import api, metrics, pages
from burnish.web.access import Needs, NotSignedIn
from burnish.web.context import WebContext, context_of
from burnish.web.headers import Headers
from burnish.web.live import Live
from burnish.web.problems import Problem, problem_of, problem_of_status
from burnish.web.rendering import Rendering
from burnish.web.sessions import is_still_permitted, recognize
from burnish.web.uploads import Uploads

log = structlog.get_logger(__name__)

_STATIC = Path(__file__).with_name("static")
#: Addresses that programs use: their errors are problem+json.
_FOR_PROGRAMS = ("/api/", "/healthz", "/readyz", "/metrics")
#: Errors that are answers; all others are defects.
_EXPECTED = (BurnishError, HTTPException, RequestValidationError)


def create_app(settings: Settings, database: Database, spool: Spool) -> FastAPI:
    """The application. Every route declares its permission; raises AssertionError otherwise."""
    rendering = Rendering(settings.web.language, pages.NAVIGATION)
    live = Live(database, rendering, lambda request: is_still_permitted(context, request))
    uploads = Uploads(settings, database, spool)
    context = WebContext(settings, database, spool, rendering, live, uploads)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        live.start()
        yield
        live.stop()
        uploads.close()

    app = FastAPI(
        title="Burnish",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.context = context
    for router in (*pages.ROUTERS, metrics.router, *api.ROUTERS):
        check_permissions(router)
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.add_exception_handler(BurnishError, _on_error)
    app.add_exception_handler(HTTPException, _on_error)
    app.add_exception_handler(RequestValidationError, _on_error)
    app.add_exception_handler(Exception, _on_error)
    app.add_middleware(
        Headers, recognize=lambda request: recognize(context, request), refuse=_on_error
    )
    return app


def check_permissions(router: APIRouter) -> None:
    """Raise AssertionError if a route does not declare exactly one permission."""
    for route in router.routes:
        if isinstance(route, APIRoute) and len(permissions_of(route)) != 1:
            raise AssertionError(f"{route.path} does not declare one permission with `needs`")


def permissions_of(route: APIRoute) -> list[Needs]:
    """The permission that a route declares for its visitor."""
    return [
        dependency.call
        for dependency in route.dependant.dependencies
        if isinstance(dependency.call, Needs)
    ]


async def _on_error(request: Request, error: Exception) -> Response:
    problem = _problem(request, error)
    if not isinstance(error, _EXPECTED):
        log.error("web request failed by a defect", path=_route_of(request), exc_info=error)
    if isinstance(error, NotSignedIn) and not _is_for_program(request):
        return _to_sign_in(request)
    # such as Allow, with the methods of an address
    headers = dict(getattr(error, "headers", None) or {})
    if _is_for_program(request):
        if problem.kind.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse(
            problem.as_json(),
            status_code=problem.kind.status,
            media_type="application/problem+json",
            headers=headers,
        )
    answer = _error_page(request, problem)
    answer.headers.update(headers)
    return answer


def _route_of(request: Request) -> str:
    """The path of the route, whose parameters may name patients."""
    return str(getattr(request.scope.get("route"), "path", ""))


def _problem(request: Request, error: Exception) -> Problem:
    if isinstance(error, BurnishError):
        return problem_of(error)
    if isinstance(error, HTTPException):
        return problem_of_status(error.status_code, str(error.detail))
    if isinstance(error, RequestValidationError):
        if any(fault["type"] == "json_invalid" for fault in error.errors()):
            return problem_of_status(HTTPStatus.BAD_REQUEST, "the body is not JSON")
        if _has_other_media_type(request, error):
            return problem_of_status(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body has to be application/json"
            )
        faults = (f"{fault['loc'][-1]}: {fault['msg']}" for fault in error.errors())
        return problem_of_status(422, "; ".join(faults))
    return problem_of_status(500, "an error that Burnish does not expect; its log has the details")


def _has_other_media_type(request: Request, error: RequestValidationError) -> bool:
    """Whether a body was not read as JSON because it does not say that it is."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = media_type == "application/json" or media_type.endswith("+json")
    return not is_json and any(
        fault["loc"] == ("body",) and fault["type"] != "missing" for fault in error.errors()
    )


def _is_for_program(request: Request) -> bool:
    if request.url.path.startswith(_FOR_PROGRAMS):
        return True
    accepted = request.headers.get("accept", "")
    return "json" in accepted and "html" not in accepted


def _to_sign_in(request: Request) -> Response:
    target = f"?next={quote(request.url.path)}" if request.url.path != "/" else ""
    if request.headers.get("hx-request"):
        # the script of the page goes there; the answer itself is not shown
        return Response(status_code=401, headers={"HX-Redirect": "/sign-in"})
    return RedirectResponse(f"/sign-in{target}", status_code=HTTPStatus.SEE_OTHER)


def _error_page(request: Request, problem: Problem) -> Response:
    rendering = context_of(request).rendering
    values: dict[str, Any] = {"problem": problem}
    status = problem.kind.status
    if request.headers.get("hx-request"):
        answer = rendering.page(request, "problem_message.html", status=status, **values)
        # beside the part of the page that the request was for, not in its place
        answer.headers["HX-Retarget"] = "#messages"
        answer.headers["HX-Reswap"] = "innerHTML"
        return answer
    return rendering.page(request, "problem.html", status=status, **values)
