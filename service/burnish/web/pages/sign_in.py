"""Surface: signing in and out, and the first password of a user."""

from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from burnish import accounts
from burnish.web.access import Permission, needs, visitor_of
from burnish.web.context import context_of
from burnish.web.forms import Form
from burnish.web.sessions import delete_cookie, set_cookie
from burnish.web.texts import languages

router = APIRouter()


@router.get("/sign-in", dependencies=[needs(Permission.OPEN)])
def sign_in_page(request: Request, next: str = "/") -> Response:
    """The form to sign in."""
    if visitor_of(request).role is not None:
        return RedirectResponse(_own_path(next), status_code=303)
    context = context_of(request)
    with context.database.reading() as session:
        has_administrator = accounts.has_administrator(session)
    return context.rendering.page(
        request, "sign_in.html", next=_own_path(next), has_administrator=has_administrator
    )


@router.post("/sign-in", dependencies=[needs(Permission.OPEN)])
def sign_in(request: Request, form: Form) -> Response:
    """Check name and password, and begin a session."""
    context = context_of(request)
    secret = accounts.sign_in(
        context.database,
        form.get("name", ""),
        form.get("password", ""),
        address=visitor_of(request).address,
    )
    answer = go_to(_own_path(form.get("next", "/")))
    set_cookie(request, answer, secret)
    return answer


@router.post("/sign-out", dependencies=[needs(Permission.OPEN)])
def sign_out(request: Request) -> Response:
    """End the session."""
    session_id = visitor_of(request).session_id
    if session_id is not None:
        with context_of(request).database.writing() as session:
            accounts.end_session(session, session_id)
    answer = go_to("/sign-in")
    delete_cookie(request, answer)
    return answer


@router.get("/welcome/{secret}", dependencies=[needs(Permission.OPEN)])
def welcome_page(request: Request, secret: str) -> Response:
    """The form to set a password, for the user that a one-time link was made for."""
    context = context_of(request)
    with context.database.reading() as session:
        name = accounts.name_of_link(session, secret)
    return context.rendering.page(
        request,
        "welcome.html",
        secret=secret,
        name=name,
        minimum=accounts.MINIMUM_PASSWORD,
    )


@router.post("/welcome/{secret}", dependencies=[needs(Permission.OPEN)])
def welcome(request: Request, secret: str, form: Form) -> Response:
    """Set the password, and sign in with it."""
    context = context_of(request)
    password = form.get("password", "")
    password_hash = accounts.hash_password(password)
    with context.database.writing() as session:
        name = accounts.use_link(session, secret, form.get("name", ""), password_hash)
    cookie = accounts.sign_in(context.database, name, password, address=visitor_of(request).address)
    answer = go_to("/")
    set_cookie(request, answer, cookie)
    return answer


@router.post("/language", dependencies=[needs(Permission.OPEN)])
def choose_language(form: Form) -> Response:
    """Keep the language that somebody has chosen, in a cookie."""
    answer = Response(status_code=204, headers={"HX-Refresh": "true"})
    language = form.get("language", "")
    if language in languages():
        answer.set_cookie(
            "burnish_language", language, max_age=365 * 86400, httponly=True, samesite="lax"
        )
    return answer


def go_to(path: str) -> Response:
    """Have the script of the page open another page."""
    return Response(status_code=200, headers={"HX-Redirect": path})


def _own_path(path: str) -> str:
    """A path of this site; anything else becomes the first page."""
    if not path.startswith("/") or path.startswith(("//", "/\\")):
        return "/"
    return quote(path, safe="/?=&%")
