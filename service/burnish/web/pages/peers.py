"""Surface: the page Peers: who has called, who was rejected and why, and tests of peers."""

from collections.abc import Hashable, Mapping
from typing import Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from burnish import contacts
from burnish.access import peer_test
from burnish.access.peer_test import PeerAnswer
from burnish.db.session import Database
from burnish.request import burn_test
from burnish.settings import Settings
from burnish.web.access import Permission, needs
from burnish.web.context import context_of
from burnish.web.live import Topic

router = APIRouter()

_SHOWN = 200


@router.get("/peers", dependencies=[needs(Permission.SEE)])
def show_peers(request: Request) -> Response:
    """The page."""
    context = context_of(request)
    values = _values(context.settings, context.database)
    return context.rendering.page(request, "peers.html", **values)


@router.get("/live/peers", dependencies=[needs(Permission.SEE)])
async def live_peers(request: Request, last_event_id: str = Header("")) -> StreamingResponse:
    """The content of the page, again after each contact."""
    context = context_of(request)
    topic = Topic(
        "peers_content.html",
        _fingerprint,
        lambda database, _sees_patients: _values(context.settings, database),
        longest_rest=5.0,
    )
    return context.live.response(request, "peers", topic, last_event_id)


@router.post("/peers/{ae_title}/echo", dependencies=[needs(Permission.OPERATE)])
def echo(request: Request, ae_title: str) -> Response:
    """Send a C-ECHO to a peer."""
    settings = context_of(request).settings
    return _answer(request, peer_test.echo(settings, contacts.peer_named(settings, ae_title)))


@router.post("/peers/{ae_title}/store", dependencies=[needs(Permission.OPERATE)])
def store(request: Request, ae_title: str) -> Response:
    """Send a generated image to a peer."""
    settings = context_of(request).settings
    instance = burn_test.generated_instances(ae_title)[0]
    return _answer(
        request, peer_test.store(settings, contacts.peer_named(settings, ae_title), instance)
    )


def _answer(request: Request, answer: PeerAnswer) -> Response:
    return context_of(request).rendering.page(request, "peer_answer.html", answer=answer)


def _fingerprint(database: Database) -> Hashable:
    with database.reading() as session:
        return contacts.fingerprint(session)


def _values(settings: Settings, database: Database) -> Mapping[str, Any]:
    with database.reading() as session:
        peers = contacts.peers(session, settings)
        views = contacts.contacts(session, settings, limit=_SHOWN)
    return {
        "peers": peers,
        "rejected": [view for view in views if view.remedy or view.admitted_since],
        "others": [view for view in views if not (view.remedy or view.admitted_since)],
    }
