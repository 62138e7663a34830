"""Ground: associations that Burnish requests, with pynetdicom as the requestor.

`request_association` opens an association with a configured peer. `RELIABLE_CHECKPOINT` mends a
race of pynetdicom and belongs among the `evt_handlers` of every `AE.associate`:

While a caller of pynetdicom waits for a response, the thread of the association must pause.
Otherwise it takes the response for a request of the peer and drops it. pynetdicom asks the thread
to pause and then reads a flag that says whether it does. Between two operations, that flag can
still be the one of the last pause, from which the thread is about to wake up. On a busy machine a
response is then dropped now and then, and the caller waits until its time-out.
"""

import logging
import threading
from collections.abc import Sequence
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_RJ
from pynetdicom.presentation import PresentationContext

from burnish.access.tls import client_context, presents_certificate
from burnish.errors import InvalidSettings
from burnish.settings import PeerSettings, Settings
from burnish.vocabulary import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

# Burnish itself logs why an association failed, once.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)

#: Maximum time to open a TCP connection, in seconds.
CONNECTION_TIMEOUT = 10.0


class NoAssociationError(Exception):
    """There is no association with the peer, for the reason that the message gives."""


class NoContextAcceptedError(NoAssociationError):
    """The peer accepts none of the presentation contexts."""


class ReactorCheckpoint(threading.Event):
    """Where the thread of an association pauses, in place of the event of pynetdicom.

    The thread clears the flag `_is_paused` in the same moment in which it leaves the pause. If the
    pause ends and is asked for again before the thread has woken up, the thread stays paused.
    """

    def __init__(self, association: Association) -> None:
        super().__init__()
        self._association = association
        self._changed = threading.Condition()
        self._may_run = True

    def is_set(self) -> bool:
        """Whether the thread may run."""
        return self._may_run

    def set(self) -> None:
        """Lets the thread run."""
        with self._changed:
            self._may_run = True
            self._changed.notify_all()

    def clear(self) -> None:
        """Makes the thread pause when it next comes by."""
        with self._changed:
            self._may_run = False

    def wait(self, timeout: float | None = None) -> bool:
        """Pauses the calling thread until it may run."""
        with self._changed:
            may_run = self._changed.wait_for(self.is_set, timeout)
            self._association._is_paused = not may_run
            return may_run


def _install_checkpoint(event: evt.Event) -> None:
    event.assoc._reactor_checkpoint = ReactorCheckpoint(event.assoc)


RELIABLE_CHECKPOINT: tuple[Any, Any] = (evt.EVT_CONN_OPEN, _install_checkpoint)


def request_association(
    settings: Settings,
    peer: PeerSettings,
    *,
    calling_ae_title: str,
    contexts: Sequence[PresentationContext],
    negotiation_items: Sequence[Any] = (),
    event_handlers: Sequence[tuple[Any, Any]] = (),
    acse_timeout: float,
    dimse_timeout: float,
) -> Association:
    """An established association with `peer`, by TLS if its `[[peer]]` table says so.

    The time-outs are in seconds: for the answer to A-ASSOCIATE-RQ, and for each response after it.
    Raises NoAssociationError.
    """
    try:
        tls = client_context(settings.tls) if peer.tls else None
    except InvalidSettings as error:
        raise NoAssociationError(str(error)) from None
    rejections: list[A_ASSOCIATE_RJ] = []
    ae = AE(ae_title=calling_ae_title)
    ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = CONNECTION_TIMEOUT
    ae.acse_timeout = acse_timeout
    ae.dimse_timeout = ae.network_timeout = dimse_timeout
    association = ae.associate(
        peer.host,
        peer.port,
        contexts=list(contexts),
        ae_title=peer.ae_title,
        max_pdu=settings.dicom.maximum_pdu_size,
        ext_neg=list(negotiation_items),
        evt_handlers=[
            *event_handlers,
            RELIABLE_CHECKPOINT,
            (evt.EVT_PDU_RECV, _note_rejection, [rejections]),
        ],
        tls_args=(tls, peer.host) if tls else None,
    )
    if not association.is_established:
        raise _failure(association, rejections)
    connection = association.dul.socket and association.dul.socket.socket
    if not presents_certificate(connection, peer.certificate):
        association.abort()
        raise NoAssociationError(
            "the peer does not present the certificate that peer.certificate names"
        )
    return association


def _note_rejection(event: evt.Event, rejections: list[A_ASSOCIATE_RJ]) -> None:
    if isinstance(event.pdu, A_ASSOCIATE_RJ):
        rejections.append(event.pdu)


def _failure(association: Association, rejections: list[A_ASSOCIATE_RJ]) -> NoAssociationError:
    """Why pynetdicom established no association, in words.

    On a busy machine, pynetdicom can take a connection that was closed after A-ASSOCIATE-RJ for one
    that was never open. So the PDU itself is asked.
    """
    if rejections:
        return NoAssociationError(f"the peer rejects the association: {rejections[0].reason_str}")
    if association.acceptor.primitive is not None:
        return NoContextAcceptedError("the peer accepts none of the presentation contexts")
    # The checkpoint is installed when the connection opens.
    if isinstance(association._reactor_checkpoint, ReactorCheckpoint):
        return NoAssociationError("the peer does not answer the association request, or aborts it")
    return NoAssociationError("there is no connection with the peer")
