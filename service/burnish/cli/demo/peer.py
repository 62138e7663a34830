"""Surface: the modality of the demo: it sends instances and requests media."""

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


class DemoPeer:
    """An AE that connects to the service on `port` of this machine."""

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
        """Send instances with C-STORE over one association; return the status of each."""
        contexts = {
            (instance.SOPClassUID, instance.file_meta.TransferSyntaxUID) for instance in instances
        }
        with self._association(sorted(contexts)) as association, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [association.send_c_store(instance).get("Status") for instance in instances]

    def request_media(self, references: Iterable[tuple[str, str]]) -> str:
        """N-CREATE, then N-ACTION Initiate; return the SOP Instance UID of the request."""
        attributes = Dataset()
        attributes.ReferencedSOPSequence = [
            _reference(sop_class_uid, sop_instance_uid)
            for sop_class_uid, sop_instance_uid in references
        ]
        uid = new_uid()
        with self._management() as association:
            created, _ = association.send_n_create(attributes, MEDIA_CREATION_MANAGEMENT, UID(uid))
            _check_status("N-CREATE", created)
            initiated, _ = association.send_n_action(
                None, _INITIATE, MEDIA_CREATION_MANAGEMENT, UID(uid)
            )
            _check_status("N-ACTION", initiated)
        return uid

    def get_attributes(self, uids: Iterable[str]) -> dict[str, Dataset]:
        """N-GET: the attributes of each request, by its SOP Instance UID."""
        attributes_by_uid = {}
        with self._management() as association:
            for uid in uids:
                status, attributes = association.send_n_get([], MEDIA_CREATION_MANAGEMENT, UID(uid))
                _check_status("N-GET", status)
                attributes_by_uid[uid] = attributes or Dataset()
        return attributes_by_uid

    @contextmanager
    def _management(self) -> Iterator[Association]:
        with self._association([(MEDIA_CREATION_MANAGEMENT, "1.2.840.10008.1.2.1")]) as association:
            yield association

    @contextmanager
    def _association(self, contexts: Iterable[tuple[str, str]]) -> Iterator[Association]:
        ae = AE(_CALLING)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = _TIMEOUT
        association = ae.associate(
            "127.0.0.1",
            self._port,
            contexts=[build_context(abstract, syntax) for abstract, syntax in contexts],
            ae_title=_CALLED,
            evt_handlers=[RELIABLE_CHECKPOINT],
        )
        if not association.is_established:
            raise OperatorError("the service of the demo accepts no association")
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


def _check_status(service: str, response: Dataset) -> None:
    status = response.get("Status")
    if status != _SUCCESS:
        answer = "nothing" if status is None else f"{status:04X}H"
        raise OperatorError(f"the {service} of the demo was answered with {answer}")
