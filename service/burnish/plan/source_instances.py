"""Stage: the instances to be put on media, and the files there are of each (pure).

The service reads them from the rows of a request (`persist`), `burnish disc build` makes them of
the files it is given (`offline`). All planning works on these values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from burnish.application_profiles import ApplicationProfile
from burnish.dicomdir import encoder
from burnish.dicomdir.profile_keys import header_on_media, record_keys
from burnish.plan import eligibility
from burnish.plan.candidates import Candidate
from burnish.plan.eligibility import InstanceKind
from burnish.transcode.transfer_syntaxes import MediaSyntaxes
from burnish.values import InstanceHeader


@dataclass(frozen=True, slots=True)
class Icon:
    """An icon that was made of an instance: its id, and the item; b"" where none could be made."""

    icon_image_id: int
    item: bytes


class InstanceFile(NamedTuple):
    """One file of an instance, in one transfer syntax; `size` is that of the file in bytes.

    `transcoded_instance_id` is None for the file that was received. A file that was compressed
    with loss is another SOP Instance: it has a derived UID, and the keys of its directory record.
    """

    transfer_syntax_uid: str
    size: int
    spool_key: str
    transcoded_instance_id: int | None = None
    derived_sop_instance_uid: str = ""
    derived_record_keys: bytes = b""


@dataclass(slots=True, eq=False)
class SourceInstance:
    """An instance to be put on media: the file that was received, and the files made of it since.

    `requested_profile` is the label of the Application Profile that the request names for it,
    "" where it names none. `digest` is that of the data set that was received.
    """

    header: InstanceHeader
    kind: InstanceKind
    instance_id: int
    received: InstanceFile
    requested_profile: str = ""
    calling_ae_title: str = ""
    supplied_icon: bytes | None = None
    transcoded: Sequence[InstanceFile] = ()
    digest: str = ""

    def file(self, transfer_syntax_uid: str | None) -> InstanceFile | None:
        """The file in this transfer syntax, if it was received or made."""
        if transfer_syntax_uid == self.received.transfer_syntax_uid:
            return self.received
        for file in self.transcoded:
            if file.transfer_syntax_uid == transfer_syntax_uid:
                return file
        return None

    def media_syntaxes(self, profile: ApplicationProfile) -> MediaSyntaxes:
        """The transfer syntaxes that it may have on media of the profile."""
        return eligibility.media_syntaxes(self.kind, profile)

    def candidate(
        self,
        profile: ApplicationProfile,
        label: str = "",
        icon: Icon | None = None,
        *,
        lossless: bool = False,
        lossy: bool = False,
    ) -> Candidate:
        """The instance as it will be on the medium.

        `label` names the profiles of the File-set. The file in the default transfer syntax of
        `profile` must exist. With `lossless` the file that was compressed without loss is used
        where there is one and it is smaller; with `lossy` the one that was compressed with loss.
        """
        if self.transcoded:
            file = self._smallest(profile, lossless=lossless, lossy=lossy)
        else:
            file = self.received
        header = header_on_media(
            self.header,
            label,
            derived_sop_instance_uid=file.derived_sop_instance_uid,
            derived_record_keys=file.derived_record_keys,
            supplied_icon=self.supplied_icon,
            made_icon=icon.item if icon else b"",
        )
        lengths = encoder.record_lengths(header, file.transfer_syntax_uid, record_keys(label))
        return Candidate(
            self.instance_id,
            file.transcoded_instance_id,
            header,
            file.transfer_syntax_uid,
            file.size,
            lengths.patient,
            lengths.study,
            lengths.series,
            lengths.instance,
            icon.icon_image_id if icon else None,
        )

    def _smallest(
        self, profile: ApplicationProfile, *, lossless: bool, lossy: bool
    ) -> InstanceFile:
        syntaxes = self.media_syntaxes(profile)
        smallest = self.file(syntaxes.default)
        assert smallest is not None  # noqa: S101
        for syntax, allowed in ((syntaxes.lossless, lossless), (syntaxes.lossy, lossy)):
            file = self.file(syntax) if allowed else None
            if file is not None and file.size < smallest.size:
                smallest = file
        return smallest
