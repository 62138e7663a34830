"""Stage: instances as they will be on media: what planning groups, packs and lays out (pure)."""

from typing import NamedTuple

from burnish.values import NO_SHARE, ContentShare, InstanceHeader


class Candidate(NamedTuple):
    """An instance as it will be on the medium.

    `size` is that of its file in bytes; the lengths are those of the directory records it would
    bring along, in bytes. `content` is what it brings along for people. `transcoded_instance_id` is
    None where the file goes there as received, `icon_image_id` where no icon was made for it.
    """

    instance_id: int
    transcoded_instance_id: int | None
    header: InstanceHeader
    transfer_syntax_uid: str
    size: int
    patient_length: int
    study_length: int
    series_length: int
    record_length: int
    icon_image_id: int | None = None
    content: ContentShare = NO_SHARE
