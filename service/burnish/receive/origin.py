"""Stage: what instances have in common that come one after the other from one peer."""

from functools import lru_cache

from burnish.db.new_rows import SharedValues, shared_values
from burnish.directory_records import ROOT_TYPES
from burnish.errors import Mismatch
from burnish.identifiers import is_tolerable_uid
from burnish.instance_header import instance_faults
from burnish.instance_header.alike import LastKind
from burnish.values import InstanceHeader

#: Whether a UID that many instances have is one: to check three of them anew takes 2 us.
is_known_uid = lru_cache(maxsize=256)(is_tolerable_uid)


class Origin:
    """Where instances come from: their SOP Class, transfer syntax and AE titles.

    It is for one thread. What the instances of one series share is checked and made into columns
    once: as long as it is the same object, it need not even be compared.
    """

    def __init__(
        self,
        *,
        sop_class_uid: str,
        transfer_syntax_uid: str,
        calling_ae_title: str,
        called_ae_title: str,
    ) -> None:
        self.sop_class_uid = sop_class_uid
        self.transfer_syntax_uid = transfer_syntax_uid
        self.calling_ae_title = calling_ae_title
        self.called_ae_title = called_ae_title
        self.last_kind = LastKind()
        #: The known faults of the instances of this series.
        self.fault = ""
        self._shared: tuple[object, ...] = ()
        self._shared_values: SharedValues | None = None

    def shared_values(self, shared: tuple[object, ...]) -> SharedValues:
        """The columns of `shared` fields of headers; raises Mismatch as `check_identity` does."""
        if shared is self._shared and self._shared_values is not None:
            return self._shared_values
        check_identity(self.sop_class_uid, InstanceHeader._make(("", None, b"", *shared)))
        self._shared_values = values = shared_values(
            shared, self.transfer_syntax_uid, self.calling_ae_title, self.called_ae_title
        )
        self._shared = shared
        self.fault = instance_faults.known(values.fault)
        return values


def check_identity(sop_class_uid: str, instance_header: InstanceHeader) -> None:
    """Raise Mismatch if the data set is not of the SOP Class that was announced (PS3.4 B.2.3).

    An instance of a patient also needs a study and a series.
    """
    if instance_header.sop_class_uid != sop_class_uid:
        raise Mismatch("SOP Class UID of the data set is not the announced one")
    study = instance_header.study_instance_uid
    series = instance_header.series_instance_uid
    if instance_header.directory_record_type in ROOT_TYPES and not study and not series:
        return
    if not is_known_uid(study):
        raise Mismatch("Study Instance UID of the data set is missing or not a UID")
    if not is_known_uid(series):
        raise Mismatch("Series Instance UID of the data set is missing or not a UID")
