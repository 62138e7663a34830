"""Surface: `/api/v1/peers`: who has called, who was rejected and why, and whether peers answer."""

from fastapi import APIRouter, Request, Response

from burnish import contacts
from burnish.access import peer_test
from burnish.access.peer_test import PeerAnswer
from burnish.contacts import ContactView, PeerView
from burnish.request import burn_test
from burnish.web.access import Permission, needs
from burnish.web.api.answers import Limit, answer, documented
from burnish.web.api.shapes import object_of, schema_of
from burnish.web.context import context_of

router = APIRouter(prefix="/api/v1/peers", tags=["peers"])

_ANSWER = schema_of(PeerAnswer)


@router.get(
    "",
    dependencies=[needs(Permission.SEE)],
    summary="List contacts and configured peers",
    responses=documented(
        object_of(contacts=list[ContactView], peers=list[PeerView]),
        text="The newest contacts, and the peers of the configuration.",
    ),
)
def list_peers(request: Request, limit: Limit = 100) -> Response:
    """The last contact with each AE; of a rejected one, the lines that would admit it."""
    context = context_of(request)
    with context.database.reading() as session:
        facts = {
            "contacts": contacts.contacts(session, context.settings, limit=limit),
            "peers": contacts.peers(session, context.settings),
        }
    return answer(request, facts)


@router.post(
    "/{ae_title}/echo",
    dependencies=[needs(Permission.OPERATE)],
    summary="Send a C-ECHO to a peer",
    responses=documented(_ANSWER, 404, text="What the peer answered."),
)
def echo_peer(request: Request, ae_title: str) -> Response:
    """Whether a configured peer answers."""
    settings = context_of(request).settings
    return answer(request, peer_test.echo(settings, contacts.peer_named(settings, ae_title)))


@router.post(
    "/{ae_title}/store",
    dependencies=[needs(Permission.OPERATE)],
    summary="Send a generated image to a peer",
    responses=documented(_ANSWER, 404, text="What the peer answered."),
)
def store_to_peer(request: Request, ae_title: str) -> Response:
    """Whether a configured peer takes an image by C-STORE."""
    settings = context_of(request).settings
    peer = contacts.peer_named(settings, ae_title)
    instance = burn_test.generated_instances(ae_title)[0]
    return answer(request, peer_test.store(settings, peer, instance))
