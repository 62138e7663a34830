"""Ground: sends instances to a peer by C-STORE, each in its own transfer syntax (PS3.4 B)."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import NamedTuple

from pydicom.uid import UID
from pynetdicom import _config, build_context
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SOPClassCommonExtendedNegotiation

from burnish.access.outgoing_associations import (
    NoAssociationError,
    NoContextAcceptedError,
    request_association,
)
from burnish.settings import PeerSettings, Settings
from burnish.values import FileToStore, NoResponse, StoreResponse
from burnish.vocabulary import STORAGE_SERVICE_CLASS

# pynetdicom then sends the data set of a file as it is, in pieces; otherwise it decodes and encodes
# the data set, which changes its bytes.
_config.STORE_SEND_CHUNKED_DATASET = True

#: Seconds to wait for the answer to an A-ASSOCIATE-RQ, and for each response after that.
ACSE_TIMEOUT, DIMSE_TIMEOUT = 30.0, 300.0
#: A Presentation Context ID is an odd number of one byte (PS3.8 9.3.2.2).
MAXIMUM_CONTEXTS = 128
#: SOP Classes of the standard begin with this. Of any other, the peer is told the service class.
_STANDARD_UIDS = "1.2.840.10008."


class Encoding(NamedTuple):
    """The purpose of a presentation context: a SOP Class in one transfer syntax."""

    sop_class_uid: str
    transfer_syntax_uid: str


class StorageSCU(AbstractContextManager["StorageSCU"]):
    """Stores instances at a peer, over one association as long as it serves.

    `expected` are the encodings to propose from the beginning. An instance in another encoding
    begins a new association that proposes it too.
    """

    def __init__(
        self,
        settings: Settings,
        peer: PeerSettings,
        *,
        calling_ae_title: str,
        expected: Iterable[Encoding] = (),
    ) -> None:
        self._settings = settings
        self._peer = peer
        self._calling_ae_title = calling_ae_title
        self._proposed = dict.fromkeys(expected)
        self._association: Association | None = None
        #: The encodings of associations in which the peer accepted none.
        self._refused: set[Encoding] = set()
        self._message_id = 0

    def __exit__(self, *_: object) -> None:
        self._release()

    def store(self, file: FileToStore) -> StoreResponse:
        """Send a DICOM file."""
        encoding = Encoding(file.sop_class_uid, file.transfer_syntax_uid)
        association = None
        try:
            association = self._associated(encoding)
        except NoContextAcceptedError:
            self._refused.update(self._proposed)
        except (NoAssociationError, ValueError) as error:
            # ValueError: pynetdicom does not propose UIDs of more than 64 characters
            return StoreResponse(None, str(error), NoResponse.NO_ASSOCIATION)
        if association is None or not _accepts(association, encoding):
            return StoreResponse(
                None,
                f"the peer does not accept SOP Class {file.sop_class_uid} in transfer syntax"
                f" {file.transfer_syntax_uid}",
            )
        self._message_id = self._message_id % 0xFFFF + 1
        try:
            answer = association.send_c_store(file.path, msg_id=self._message_id)
        except (ValueError, RuntimeError) as error:
            # pynetdicom: the association has ended meanwhile
            self._association = None
            return StoreResponse(None, str(error), NoResponse.ASSOCIATION_ENDED)
        if "Status" not in answer:
            # pynetdicom may not know yet that the association has ended
            self._association = None
            why = "the peer does not answer, or has ended the association"
            return StoreResponse(None, why, NoResponse.ASSOCIATION_ENDED)
        return StoreResponse(int(answer.Status), str(answer.get("ErrorComment") or ""))

    def _associated(self, encoding: Encoding) -> Association | None:
        """The association, a new one if the encoding was not proposed yet.

        None if the encoding was refused. Raises NoAssociationError, ValueError.
        """
        if encoding in self._refused:
            return None
        association = self._association
        if association and association.is_established and encoding in self._proposed:
            return association
        self._release()
        others = [proposed for proposed in self._proposed if proposed != encoding]
        self._proposed = dict.fromkeys([encoding, *others][:MAXIMUM_CONTEXTS])
        private = {uid for uid, _ in self._proposed if not uid.startswith(_STANDARD_UIDS)}
        self._association = request_association(
            self._settings,
            self._peer,
            calling_ae_title=self._calling_ae_title,
            contexts=[build_context(uid, syntax) for uid, syntax in self._proposed],
            negotiation_items=[_as_storage(uid) for uid in sorted(private)],
            acse_timeout=ACSE_TIMEOUT,
            dimse_timeout=DIMSE_TIMEOUT,
        )
        return self._association

    def _release(self) -> None:
        if self._association and self._association.is_established:
            self._association.release()
        self._association = None


def _accepts(association: Association, encoding: Encoding) -> bool:
    return any(
        context.abstract_syntax == encoding.sop_class_uid
        and context.transfer_syntax[0] == encoding.transfer_syntax_uid
        for context in association.accepted_contexts
    )


def _as_storage(sop_class_uid: str) -> SOPClassCommonExtendedNegotiation:
    """Tells the peer that a private SOP Class is one of Storage (PS3.4 B.4.1.2)."""
    item = SOPClassCommonExtendedNegotiation()
    item.sop_class_uid = UID(sop_class_uid)
    item.service_class_uid = UID(STORAGE_SERVICE_CLASS)
    return item
