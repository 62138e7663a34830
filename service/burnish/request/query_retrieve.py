"""Stage: locates and retrieves instances at one archive: the Query/Retrieve SCU (PS3.4 C)."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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
from burnish.values import WholeInstance
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
#: Seconds to wait for the answer to an A-ASSOCIATE-RQ, and for each response after that: an
#: archive may have to fetch instances from tape.
ACSE_TIMEOUT, DIMSE_TIMEOUT = 30.0, 600.0
#: The most UIDs in the identifier of one C-FIND, C-MOVE or C-GET.
MAXIMUM_UIDS = 100
UNCOMPRESSED = [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN]
#: Each has a presentation context of its own, so that an archive that stores instances compressed
#: sends them as they are.
COMPRESSED = [
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS_SV1,
    RLE_LOSSLESS,
    JPEG_2000_LOSSLESS,
    JPEG_2000,
]
#: The most SOP Classes of one association: each takes a presentation context for the uncompressed
#: and one for each compressed Transfer Syntax, Query/Retrieve takes two, and 128 are possible.
MAXIMUM_SOP_CLASSES = 17
#: Move Destination unknown (PS3.4 C.4.2.1.5).
_UNKNOWN_DESTINATION = 0xA801
#: The application information that proposes relational queries (PS3.4 C.5.1.1).
_RELATIONAL = b"\1"
#: What is asked for of each study (PS3.4 C.6.2.1.2): an archive returns what it supports.
STUDY_KEYWORDS = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyDescription",
    "AccessionNumber",
    "ModalitiesInStudy",
    "NumberOfStudyRelatedInstances",
)
#: The unique keys of the levels STUDY, SERIES and IMAGE (PS3.4 C.6.2.1).
_LEVEL_KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


class NotRetrievedError(Exception):
    """An archive did not answer, or reported a failure. It may succeed later.

    `remedy` says what a person can do.
    """

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(why)
        self.remedy = remedy or "try again; if it fails again, the log of the archive may say why"


class InstanceLocation(NamedTuple):
    """The study and series that an instance belongs to at an archive."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


class LocatedInstance(NamedTuple):
    """An instance of a study at an archive; `sop_class_uid` is "" if the archive does not say."""

    location: InstanceLocation
    sop_class_uid: str


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """A study that an archive has, as far as it tells; `instances` is None if it does not."""

    study_instance_uid: str
    patient_name: str
    patient_id: str
    birth_date: str
    sex: str
    study_date: str
    study_description: str
    accession_number: str
    modalities: tuple[str, ...]
    instances: int | None


#: Stores an instance durably; raises BurnishError if that fails.
StoreInstance = Callable[[WholeInstance], None]


@dataclass(frozen=True, slots=True)
class SearchHints:
    """Studies and patients to search at an archive that has no relational queries."""

    study_instance_uids: Sequence[str] = ()
    patient_ids: Sequence[str] = ()


class Archive(AbstractContextManager["Archive"]):
    """One association with an archive, for at most `MAXIMUM_SOP_CLASSES` SOP Classes.

    Raises NotRetrievedError if it cannot be established.
    """

    def __init__(
        self,
        peer: PeerSettings,
        settings: Settings,
        *,
        sop_classes: Collection[str],
        store: StoreInstance,
    ) -> None:
        self._peer = peer
        self._own_title = settings.dicom.ae_title
        self._settings = settings.retrieval
        self._store = store
        by_get = self._settings.method == "C-GET"
        # what a C-MOVE retrieves is received by an association that the archive requests
        self._association = self._associate(settings, sorted(sop_classes) if by_get else [])

    def _associate(self, settings: Settings, sop_classes: Sequence[str]) -> Association:
        roles = [build_role(uid, scp_role=True) for uid in sop_classes]
        try:
            return request_association(
                settings,
                self._peer,
                calling_ae_title=self._own_title,
                contexts=list(self._contexts(sop_classes)),
                negotiation_items=[_relational_queries(), *roles],
                event_handlers=[(evt.EVT_C_STORE, self._receive)],
                acse_timeout=ACSE_TIMEOUT,
                dimse_timeout=DIMSE_TIMEOUT,
            )
        except NoAssociationError as error:
            remedy = (
                f"check that the archive runs and knows the AE title {self._own_title}, and the"
                f" host and port of its [[peer]]"
            )
            raise NotRetrievedError(str(error), remedy) from None

    def _contexts(self, sop_classes: Sequence[str]) -> Iterator[PresentationContext]:
        retrieve = STUDY_ROOT_GET if self._settings.method == "C-GET" else STUDY_ROOT_MOVE
        for uid in (STUDY_ROOT_FIND, retrieve):
            yield build_context(uid, UNCOMPRESSED)
        for uid in sop_classes:
            yield build_context(uid, UNCOMPRESSED)
            for syntax in COMPRESSED:
                yield build_context(uid, syntax)

    def __exit__(self, *_: object) -> None:
        if self._association.is_established:
            self._association.release()

    def abort(self) -> None:
        """Ends the association from another thread, whatever is under way."""
        self._association.abort()

    # --- C-FIND ---

    def locate(
        self, sop_instance_uids: Collection[str], hints: SearchHints
    ) -> list[InstanceLocation]:
        """Locates those of the instances that the archive has.

        An archive with relational queries is asked for the UIDs. In any other archive the studies
        that the hints lead to are searched. For what is not there, it is asked for the UIDs after
        all: some archives answer such queries without having negotiated them.
        """
        wanted = set(sop_instance_uids)
        if self._has_relational_queries():
            return self._locate_by_uid(wanted)
        located: dict[str, InstanceLocation] = {}
        for study in self._studies_to_search(hints):
            located.update(self._search_study(study, wanted - located.keys()))
            if len(located) == len(wanted):
                return list(located.values())
        try:
            others = self._locate_by_uid(wanted - located.keys())
        except NotRetrievedError as error:
            log.info("relational queries rejected", peer=self._peer.ae_title, why=str(error))
            others = []
        return [*located.values(), *others]

    def find_studies(
        self, *, patient_id: str = "", accession_number: str = "", study_instance_uid: str = ""
    ) -> list[FoundStudy]:
        """The studies of a patient or an order, or one study; raises NotRetrievedError."""
        keys = dict.fromkeys(STUDY_KEYWORDS, "")
        keys["PatientID"] = patient_id
        keys["AccessionNumber"] = accession_number
        keys["StudyInstanceUID"] = study_instance_uid
        studies = [_found_study(answer) for answer in self._query("STUDY", **keys)]
        return [study for study in studies if study.study_instance_uid]

    def instances_of(self, study_instance_uid: str) -> list[LocatedInstance]:
        """All instances of a study; raises NotRetrievedError."""
        instances = []
        for answer in self._query("SERIES", StudyInstanceUID=study_instance_uid):
            series = _uid(answer, "SeriesInstanceUID")
            if not series:
                continue
            keys = {"StudyInstanceUID": study_instance_uid, "SeriesInstanceUID": series}
            for image in self._query("IMAGE", **keys, SOPClassUID=""):
                location = InstanceLocation(
                    study_instance_uid, series, _uid(image, "SOPInstanceUID")
                )
                if location.sop_instance_uid:
                    instances.append(LocatedInstance(location, _uid(image, "SOPClassUID")))
        return instances

    def _has_relational_queries(self) -> bool:
        answer = self._association.acceptor.sop_class_extended.get(UID(STUDY_ROOT_FIND))
        return bool(answer and answer[:1] == _RELATIONAL)

    def _locate_by_uid(self, wanted: Collection[str]) -> list[InstanceLocation]:
        locations = []
        uids = sorted(wanted)
        for start in range(0, len(uids), MAXIMUM_UIDS):
            for answer in self._query("IMAGE", SOPInstanceUID=uids[start : start + MAXIMUM_UIDS]):
                location = InstanceLocation(*(_uid(answer, name) for name in _LEVEL_KEYWORDS))
                if all(location) and location.sop_instance_uid in wanted:
                    locations.append(location)
        return locations

    def _studies_to_search(self, hints: SearchHints) -> Iterator[str]:
        """Studies that may have the instances, the likeliest first, each once."""
        searched = {""}
        for study in self._likely_studies(hints):
            if study not in searched:
                searched.add(study)
                yield study

    def _likely_studies(self, hints: SearchHints) -> Iterator[str]:
        yield from hints.study_instance_uids
        for patient_id in hints.patient_ids:
            for answer in self._query("STUDY", PatientID=patient_id):
                yield _uid(answer, "StudyInstanceUID")
        if self._settings.recent_days:
            since = datetime.now(UTC).date() - timedelta(days=self._settings.recent_days)
            for answer in self._query("STUDY", StudyDate=f"{since:%Y%m%d}-"):
                yield _uid(answer, "StudyInstanceUID")

    def _search_study(self, study: str, wanted: Collection[str]) -> dict[str, InstanceLocation]:
        """The locations of the wanted instances of a study, by SOP Instance UID."""
        located = {}
        for answer in self._query("SERIES", StudyInstanceUID=study):
            series = _uid(answer, "SeriesInstanceUID")
            if not series:
                continue
            for image in self._query("IMAGE", StudyInstanceUID=study, SeriesInstanceUID=series):
                uid = _uid(image, "SOPInstanceUID")
                if uid in wanted:
                    located[uid] = InstanceLocation(study, series, uid)
        return located

    def _query(self, level: str, **keys: Any) -> list[Dataset]:
        """The identifiers of all matches (PS3.4 C.4.1); raises NotRetrievedError."""
        identifier = Dataset()
        identifier.QueryRetrieveLevel = level
        if not all(str(value).isascii() for value in keys.values()):
            identifier.SpecificCharacterSet = "ISO_IR 192"
        for keyword in _LEVEL_KEYWORDS[: ("STUDY", "SERIES", "IMAGE").index(level) + 1]:
            setattr(identifier, keyword, "")
        for keyword, value in keys.items():
            setattr(identifier, keyword, value)
        matches = []
        for status, match in self._responses(
            lambda: self._association.send_c_find(identifier, STUDY_ROOT_FIND)
        ):
            if status in (0xFF00, 0xFF01) and match is not None:
                matches.append(match)
            elif status:
                raise NotRetrievedError(f"C-FIND at level {level} was answered {status:04X}H")
        return matches

    # --- C-MOVE and C-GET ---

    def retrieve(
        self,
        locations: Collection[InstanceLocation],
        on_response: Callable[[], None] | None = None,
    ) -> None:
        """Has the archive send the instances; raises NotRetrievedError if it reports a failure.

        `on_response` is called after each of its responses; what it raises ends the retrieval.
        """
        by_series: dict[tuple[str, str], list[str]] = {}
        for study, series, uid in locations:
            by_series.setdefault((study, series), []).append(uid)
        for (study, series), uids in by_series.items():
            for start in range(0, len(uids), MAXIMUM_UIDS):
                identifier = Dataset()
                identifier.QueryRetrieveLevel = "IMAGE"
                identifier.StudyInstanceUID = study
                identifier.SeriesInstanceUID = series
                identifier.SOPInstanceUID = uids[start : start + MAXIMUM_UIDS]
                self._retrieve(identifier, on_response)

    def _retrieve(self, identifier: Dataset, on_response: Callable[[], None] | None) -> None:
        association = self._association
        method = self._settings.method
        if method == "C-GET":
            responses = self._responses(lambda: association.send_c_get(identifier, STUDY_ROOT_GET))
        else:
            responses = self._responses(
                lambda: association.send_c_move(identifier, self._own_title, STUDY_ROOT_MOVE)
            )
        for status, _ in responses:
            if status == _UNKNOWN_DESTINATION:
                raise NotRetrievedError(
                    f"{method} was answered {status:04X}H"
                    f" (it does not know the AE title {self._own_title})",
                    f"enter the AE title {self._own_title} with its address at the archive, or set"
                    ' retrieval.method = "C-GET"',
                )
            if status not in (0x0000, 0xFF00):
                raise NotRetrievedError(f"{method} was answered {status:04X}H")
            if on_response is not None:
                on_response()

    def _responses(self, operation: Callable[[], Any]) -> Iterator[tuple[int, Dataset | None]]:
        """Status and identifier of each response; raises NotRetrievedError if there is none."""
        try:
            for status, identifier in operation():
                if "Status" not in status:
                    raise NotRetrievedError("the archive did not answer")
                yield int(status.Status), identifier
        except (ValueError, RuntimeError) as error:
            # pynetdicom: no such presentation context, or the association has ended
            raise NotRetrievedError(str(error)) from None

    def _receive(self, event: evt.Event) -> int:
        """Answers a C-STORE of a C-GET (PS3.4 C.4.3.2) once the instance is stored."""
        request, context = cast(C_STORE, event.request), event.context
        assert request.DataSet is not None  # noqa: S101  pynetdicom answers a message without one
        try:
            self._store(
                WholeInstance(
                    sop_class_uid=str(request.AffectedSOPClassUID),
                    sop_instance_uid=str(request.AffectedSOPInstanceUID),
                    transfer_syntax_uid=str(context.transfer_syntax),
                    calling_ae_title=self._peer.ae_title,
                    called_ae_title=self._own_title,
                    data_set=request.DataSet.getvalue(),
                )
            )
        except BurnishError as error:
            log.warning("instance not stored", why=str(error), peer=self._peer.ae_title)
            return 0xA700 if isinstance(error, OutOfResources) else 0xC000
        return 0x0000


def _relational_queries() -> SOPClassExtendedNegotiation:
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = STUDY_ROOT_FIND
    item.service_class_application_information = _RELATIONAL
    return item


def _found_study(answer: Dataset) -> FoundStudy:
    modalities = answer.get("ModalitiesInStudy") or ()
    count = str(answer.get("NumberOfStudyRelatedInstances") or "")
    return FoundStudy(
        study_instance_uid=_uid(answer, "StudyInstanceUID"),
        patient_name=str(answer.get("PatientName") or ""),
        patient_id=str(answer.get("PatientID") or ""),
        birth_date=str(answer.get("PatientBirthDate") or ""),
        sex=str(answer.get("PatientSex") or ""),
        study_date=str(answer.get("StudyDate") or ""),
        study_description=str(answer.get("StudyDescription") or ""),
        accession_number=str(answer.get("AccessionNumber") or ""),
        modalities=(modalities,) if isinstance(modalities, str) else tuple(modalities),
        instances=int(count) if count.isascii() and count.isdigit() else None,
    )


def _uid(answer: Dataset, keyword: str) -> str:
    return str(answer.get(keyword) or "")
