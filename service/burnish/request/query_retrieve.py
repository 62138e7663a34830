"""Stage: finds and fetches instances at one archive: the Query/Retrieve SCU (PS3.4 C)."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple, cast

import structlog
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.presentation import PresentationContext

from burnish.access.outgoing_associations import NoAssociationError, request_association
from burnish.errors import BurnishError, OutOfResources
from burnish.settings import PeerSettings, Settings
from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS_SV1,
    RLE_LOSSLESS,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
)

log = structlog.get_logger(__name__)

#: Seconds for the answer to A-ASSOCIATE-RQ, and for each response after it: an archive may
#: have to fetch from tape.
_ASSOCIATE, _ANSWER = 30.0, 600.0
#: UIDs in one identifier.
_UIDS = 100
_NATIVE = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
#: Each is proposed by itself, so that what is stored compressed comes as it is.
_COMPRESSED = (
    *(JPEG_BASELINE, JPEG_EXTENDED, JPEG_LOSSLESS_SV1, RLE_LOSSLESS),
    *(JPEG_2000_LOSSLESS, JPEG_2000),
)
#: SOP Classes of one association: with a context for each form, and those of Query/Retrieve, no
#: more than 128 contexts.
SOP_CLASSES = 17
_RELATIONAL = b"\1"


class NotRetrievedError(Exception):
    """An archive did not answer, or not well. It may do so later."""


class InstanceLocation(NamedTuple):
    """Where an instance is at an archive."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class RetrievedInstance:
    """An instance that came by C-GET; `data_set` as it was sent."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    called_ae_title: str
    data_set: bytes


#: Keeps an instance; raises BurnishError.
Keep = Callable[[RetrievedInstance], None]


@dataclass(frozen=True, slots=True)
class SearchHints:
    """Where to look at an archive that has no relational queries."""

    study_instance_uids: Sequence[str] = ()
    patient_ids: Sequence[str] = ()


class Archive(AbstractContextManager["Archive"]):
    """One association with an archive, for instances of at most `SOP_CLASSES` SOP Classes.

    Raises NotRetrievedError where there is none.
    """

    def __init__(
        self,
        peer: PeerSettings,
        settings: Settings,
        *,
        sop_classes: Collection[str],
        keep: Keep,
    ) -> None:
        self._peer = peer
        self._own_title = settings.dicom.ae_title
        self._settings = settings.retrieval
        self._keep = keep
        gets = self._settings.method == "C-GET"
        self._association = self._associate(settings, sorted(sop_classes) if gets else [])

    def _associate(self, settings: Settings, sop_classes: Sequence[str]) -> Association:
        roles = [build_role(uid, scp_role=True) for uid in sop_classes]
        try:
            return request_association(
                settings,
                self._peer,
                calling_ae_title=self._own_title,
                contexts=list(self._contexts(sop_classes)),
                negotiation_items=[*_relational(), *roles],
                event_handlers=[(evt.EVT_C_STORE, self._store)],
                acse_timeout=_ASSOCIATE,
                dimse_timeout=_ANSWER,
            )
        except NoAssociationError as error:
            raise NotRetrievedError(str(error)) from None

    def _contexts(self, sop_classes: Sequence[str]) -> Iterator[PresentationContext]:
        retrieve = STUDY_ROOT_GET if self._settings.method == "C-GET" else STUDY_ROOT_MOVE
        for uid in (STUDY_ROOT_FIND, retrieve):
            yield build_context(uid, list(_NATIVE))
        for uid in sop_classes:
            yield build_context(uid, list(_NATIVE))
            for syntax in _COMPRESSED:
                yield build_context(uid, syntax)

    def __exit__(self, *_: object) -> None:
        if self._association.is_established:
            self._association.release()

    def abort(self) -> None:
        """Ends it from another thread, whatever is under way."""
        self._association.abort()

    # --- C-FIND ---

    def find(
        self, sop_instance_uids: Collection[str], hints: SearchHints
    ) -> list[InstanceLocation]:
        """Where those of the instances are that the archive has.

        By a relational query where the archive takes them (PS3.4 C.4.1.2.2.2). Else level by level
        through the studies that may have them; and what is not found there, by a relational query
        all the same: many answer it that do not negotiate it.
        """
        wanted = set(sop_instance_uids)
        if self._is_relational():
            return self._find_by_uid(wanted)
        found: dict[str, InstanceLocation] = {}
        for study in self._candidates(hints):
            found.update(self._find_in_study(study, wanted - found.keys()))
            if len(found) == len(wanted):
                break
        left = wanted - found.keys()
        try:
            found.update({one.sop_instance_uid: one for one in self._find_by_uid(left)})
        except NotRetrievedError as error:
            log.info("no relational queries", peer=self._peer.ae_title, why=str(error))
        return list(found.values())

    def _is_relational(self) -> bool:
        answer = self._association.acceptor.sop_class_extended.get(UID(STUDY_ROOT_FIND))
        return bool(answer and answer[:1] == _RELATIONAL)

    def _find_by_uid(self, wanted: Collection[str]) -> list[InstanceLocation]:
        found = []
        left = iter(sorted(wanted))
        while batch := list(islice(left, _UIDS)):
            answers = self._query("IMAGE", SOPInstanceUID=batch)
            found += [one for one in map(_found, answers) if one and one.sop_instance_uid in wanted]
        return found

    def _candidates(self, hints: SearchHints) -> Iterator[str]:
        """Studies that may have the instances, the likeliest first, each once."""
        seen = set[str]()
        for study in self._likely(hints):
            if study and study not in seen:
                seen.add(study)
                yield study

    def _likely(self, hints: SearchHints) -> Iterator[str]:
        yield from hints.study_instance_uids
        for patient_id in hints.patient_ids:
            for answer in self._query("STUDY", PatientID=patient_id):
                yield str(answer.get("StudyInstanceUID", ""))
        if self._settings.recent_days:
            since = datetime.now(UTC).date() - timedelta(days=self._settings.recent_days)
            for answer in self._query("STUDY", StudyDate=f"{since:%Y%m%d}-"):
                yield str(answer.get("StudyInstanceUID", ""))

    def _find_in_study(self, study: str, wanted: Collection[str]) -> dict[str, InstanceLocation]:
        found = {}
        for answer in self._query("SERIES", StudyInstanceUID=study):
            series = str(answer.get("SeriesInstanceUID", ""))
            keys = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
            for image in self._query("IMAGE", **keys) if series else ():
                uid = str(image.get("SOPInstanceUID", ""))
                if uid in wanted:
                    found[uid] = InstanceLocation(study, series, uid)
        return found

    def _query(self, level: str, **keys: Any) -> list[Dataset]:
        """The identifiers of all matches (PS3.4 C.4.1); raises NotRetrievedError."""
        identifier = Dataset()
        identifier.QueryRetrieveLevel = level
        names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        for name in names[: ("STUDY", "SERIES", "IMAGE").index(level) + 1]:
            setattr(identifier, name, "")
        for name, value in keys.items():
            setattr(identifier, name, value)
        answers = []
        for status, answer in self._operate(
            lambda: self._association.send_c_find(identifier, STUDY_ROOT_FIND)
        ):
            if status in (0xFF00, 0xFF01) and answer is not None:
                answers.append(answer)
            elif status:
                raise NotRetrievedError(f"C-FIND at level {level} was answered {status:04X}H")
        return answers

    # --- C-MOVE and C-GET ---

    def retrieve(self, found: Collection[InstanceLocation]) -> None:
        """Has the instances sent here; raises NotRetrievedError where some were not."""
        by_series: dict[tuple[str, str], list[str]] = {}
        for one in found:
            key = one.study_instance_uid, one.series_instance_uid
            by_series.setdefault(key, []).append(one.sop_instance_uid)
        for (study, series), uids in by_series.items():
            for start in range(0, len(uids), _UIDS):
                identifier = Dataset()
                identifier.QueryRetrieveLevel = "IMAGE"
                identifier.StudyInstanceUID = study
                identifier.SeriesInstanceUID = series
                identifier.SOPInstanceUID = uids[start : start + _UIDS]
                self._retrieve(identifier)

    def _retrieve(self, identifier: Dataset) -> None:
        association = self._association
        if self._settings.method == "C-GET":
            answers = self._operate(lambda: association.send_c_get(identifier, STUDY_ROOT_GET))
        else:
            answers = self._operate(
                lambda: association.send_c_move(identifier, self._own_title, STUDY_ROOT_MOVE)
            )
        for status, _ in answers:
            if status not in (0x0000, 0xFF00):
                why = " (it does not know us)" if status == 0xA801 else ""
                raise NotRetrievedError(f"{self._settings.method} was answered {status:04X}H{why}")

    def _operate(self, operation: Callable[[], Any]) -> Iterator[tuple[int, Dataset | None]]:
        """The responses of an operation; raises NotRetrievedError where there is none."""
        try:
            for status, identifier in operation():
                if "Status" not in status:
                    raise NotRetrievedError("it did not answer")
                yield int(status.Status), identifier
        except (ValueError, RuntimeError) as error:
            # no such presentation context, or the association has ended
            raise NotRetrievedError(str(error)) from None

    def _store(self, event: evt.Event) -> int:
        """One C-STORE of a C-GET (PS3.4 C.4.3.2): kept before it is acknowledged."""
        request, context = cast(C_STORE, event.request), event.context
        assert request.DataSet is not None  # noqa: S101  pynetdicom answers a message without one
        try:
            self._keep(
                RetrievedInstance(
                    str(request.AffectedSOPClassUID),
                    str(request.AffectedSOPInstanceUID),
                    str(context.transfer_syntax),
                    self._peer.ae_title,
                    self._own_title,
                    request.DataSet.getvalue(),
                )
            )
        except BurnishError as error:
            log.warning("not stored", why=str(error), peer=self._peer.ae_title)
            return 0xA700 if isinstance(error, OutOfResources) else 0xC000
        return 0x0000


def _relational() -> Iterator[SOPClassExtendedNegotiation]:
    """Proposes relational queries (PS3.4 C.5.1.1)."""
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = STUDY_ROOT_FIND
    item.service_class_application_information = _RELATIONAL
    yield item


def _found(answer: Mapping[Any, Any] | Dataset) -> InstanceLocation | None:
    names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    values = [str(answer.get(name) or "") for name in names]
    return InstanceLocation(*values) if all(values) else None
