"""Surface: the demo's other side: a modality that sends, and asks for media."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from burnish.access.outgoing_associations import RELIABLE_CHECKPOINT
from burnish.errors import OperatorError
from burnish.identifiers import new_uid
from burnish.vocabulary import MEDIA_CREATION_MANAGEMENT, VERIFICATION

_CALLING, _CALLED = "DEMO", "BURNISH"
_INITIATE = 1
_SUCCESS = 0x0000
_TIMEOUT = 60


class Peer:
    """An AE that is connected to the service on `port` of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port

    def echo(self) -> bool:
        """Whether the service answers a C-ECHO."""
        try:
            with self._association([(VERIFICATION, "1.2.840.10008.1.2")]) as association:
                return bool(association.send_c_echo().get("Status") == _SUCCESS)
        except OperatorError:
            return False

    def store(self, instances: Sequence[FileDataset]) -> list[int | None]:
        """C-STOREs instances as they are, over one association; the status of each."""
        kinds = {(one.SOPClassUID, one.file_meta.TransferSyntaxUID) for one in instances}
        with self._association(sorted(kinds)) as association, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [association.send_c_store(one).get("Status") for one in instances]

    def ask_for_media(self, references: Iterable[tuple[str, str]]) -> str:
        """N-CREATE, then N-ACTION Initiate; the SOP Instance UID of the request."""
        attributes = Dataset()
        attributes.ReferencedSOPSequence = [
            _reference(sop_class_uid, sop_instance_uid)
            for sop_class_uid, sop_instance_uid in references
        ]
        uid = new_uid()
        with self._management() as association:
            created, _ = association.send_n_create(attributes, MEDIA_CREATION_MANAGEMENT, UID(uid))
            _demand("N-CREATE", created)
            initiated, _ = association.send_n_action(
                None, _INITIATE, MEDIA_CREATION_MANAGEMENT, UID(uid)
            )
            _demand("N-ACTION", initiated)
        return uid

    def look(self, uids: Iterable[str]) -> dict[str, Dataset]:
        """N-GET: how each request stands."""
        found = {}
        with self._management() as association:
            for uid in uids:
                status, attributes = association.send_n_get([], MEDIA_CREATION_MANAGEMENT, UID(uid))
                _demand("N-GET", status)
                found[uid] = attributes or Dataset()
        return found

    @contextmanager
    def _management(self) -> Iterator[Association]:
        with self._association([(MEDIA_CREATION_MANAGEMENT, "1.2.840.10008.1.2.1")]) as association:
            yield association

    @contextmanager
    def _association(self, kinds: Iterable[tuple[str, str]]) -> Iterator[Association]:
        ae = AE(_CALLING)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = _TIMEOUT
        association = ae.associate(
            "127.0.0.1",
            self._port,
            contexts=[build_context(abstract, syntax) for abstract, syntax in kinds],
            ae_title=_CALLED,
            evt_handlers=[RELIABLE_CHECKPOINT],
        )
        if not association.is_established:
            raise OperatorError("the demo's service accepts no association")
        try:
            yield association
        finally:
            if association.is_established:
                association.release()


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item


def _demand(service: str, response: Dataset) -> None:
    status = response.get("Status")
    if status != _SUCCESS:
        answer = "nothing" if status is None else f"{status:04X}H"
        raise OperatorError(f"the demo's {service} was answered with {answer}")
