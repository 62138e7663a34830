"""Ground: test echo and test store: whether a configured peer answers."""

import io
from dataclasses import dataclass
from time import monotonic

import pydicom
from pynetdicom import DEFAULT_TRANSFER_SYNTAXES, build_context

from burnish import file_meta
from burnish.access.outgoing_associations import NoAssociationError, request_association
from burnish.errors import MissingValue
from burnish.settings import PeerSettings, Settings
from burnish.values import WholeInstance
from burnish.vocabulary import VERIFICATION

#: Seconds for the answer to the association request, and for each response.
TIMEOUT = 15.0
#: The transfer syntaxes that a C-ECHO is proposed with.
VERIFICATION_SYNTAXES = tuple(map(str, DEFAULT_TRANSFER_SYNTAXES))
_SUCCESS = 0


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """The answer of a peer: `status` is that of DIMSE, None if there was none.

    `detail` says in words what went wrong, "" if nothing did.
    """

    ae_title: str
    address: str
    is_good: bool
    status: int | None
    detail: str
    seconds: float


def echo(settings: Settings, peer: PeerSettings) -> PeerAnswer:
    """Send a C-ECHO to a peer; raises MissingValue if its host is not configured."""
    return _ask(settings, peer, None)


def store(settings: Settings, peer: PeerSettings, instance: WholeInstance) -> PeerAnswer:
    """Send an instance to a peer by C-STORE; raises MissingValue if its host is not configured."""
    return _ask(settings, peer, instance)


def _ask(settings: Settings, peer: PeerSettings, instance: WholeInstance | None) -> PeerAnswer:
    if not peer.host:
        raise MissingValue(
            f"the host of AE {peer.ae_title} is not configured",
            hint="add host and port to its [[peer]] table",
        )
    if instance is None:
        context = build_context(VERIFICATION, list(VERIFICATION_SYNTAXES))
    else:
        context = build_context(instance.sop_class_uid, instance.transfer_syntax_uid)
    began_at = monotonic()
    status: int | None = None
    detail = ""
    try:
        association = request_association(
            settings,
            peer,
            calling_ae_title=settings.dicom.ae_title,
            contexts=[context],
            acse_timeout=TIMEOUT,
            dimse_timeout=TIMEOUT,
        )
        try:
            if instance is None:
                response = association.send_c_echo()
            else:
                response = association.send_c_store(_data_set(instance))
        finally:
            association.release()
        status = response.Status if "Status" in response else None
        if status is None:
            detail = "the peer does not respond"
        elif status != _SUCCESS:
            comment = str(response.get("ErrorComment", ""))
            detail = f"the peer responds with status {status:04X}" + (
                f": {comment}" if comment else ""
            )
    except NoAssociationError as error:
        detail = str(error)
    except ValueError as error:  # pynetdicom: the peer accepts no presentation context
        detail = f"the peer does not take such instances: {error}"
    return PeerAnswer(
        ae_title=peer.ae_title,
        address=f"{peer.host}:{peer.port}",
        is_good=status == _SUCCESS,
        status=status,
        detail=detail,
        seconds=monotonic() - began_at,
    )


def _data_set(instance: WholeInstance) -> pydicom.Dataset:
    head = file_meta.encode(
        instance.sop_class_uid,
        instance.sop_instance_uid,
        instance.transfer_syntax_uid,
        instance.calling_ae_title,
    )
    return pydicom.dcmread(io.BytesIO(head + instance.data_set))
