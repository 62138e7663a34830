"""Ground: what the configuration adds to the directory records of the standard, for this process.

That is: which record an instance of a private SOP Class gets, and further keys. `use` is called
once, when the configuration is read; what has been indexed before has no further keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from burnish.directory_records import Key, all_keys
from burnish.directory_records import record_type as standard_record_type

#: The type of a record that only its Private Record UID explains (PS3.3 F.6.1).
PRIVATE_RECORD = "PRIVATE"
#: Private Record UID (0004,1432) of records that reference an instance of a private SOP Class and
#: have no keys but those that are configured.
PRIVATE_RECORD_UID = "2.25.241565698381849622067127892259006119334"
#: The blocks that a private creator can reserve in a group (PS3.5 7.8.1).
_FIRST_BLOCK, _LAST_BLOCK = 0x10, 0xFF


class PrivateClass(NamedTuple):
    """The directory record of the instances of a private SOP Class, and the name of the class."""

    record_type: str
    private_record_uid: str = ""
    name: str = ""


class FurtherKey(NamedTuple):
    """A key that is in no table of the standard: `creator` is the one that it is private to."""

    key: Key
    creator: str = ""


@dataclass(frozen=True, eq=False)
class SiteRecords:
    """The additions of a configuration: private SOP Classes by UID, further keys by record type.

    `of_every_profile` are the keys that records have whatever the profile is. The tags of private
    keys are those that they have in records: each creator has one block of a group there.
    """

    classes: Mapping[str, PrivateClass] = field(default_factory=dict)
    keys: Mapping[str, tuple[FurtherKey, ...]] = field(default_factory=dict)
    of_every_profile: Mapping[str, tuple[Key, ...]] = field(default_factory=dict)

    @cached_property
    def creators(self) -> dict[int, str]:
        """The private creators by the tags of their elements in records."""
        return {
            creator_tag(further.key.tag): further.creator
            for keys in self.keys.values()
            for further in keys
            if further.creator
        }

    @cached_property
    def indexed_tags(self) -> frozenset[int]:
        """The tags that the header index looks for besides those of the standard's keys."""
        tags: set[int] = set()
        for further in (key for keys in self.keys.values() for key in keys):
            tags |= tags_in_instances(further.key.tag)
        return frozenset(tags)


def creator_tag(tag: int) -> int:
    """The tag of the element that reserves the block of a private element."""
    return tag & 0xFFFF0000 | (tag >> 8) & 0xFF


def is_private(tag: int) -> bool:
    """Whether an element is private: its group is odd."""
    return bool(tag >> 16 & 1)


def tags_in_instances(tag: int) -> set[int]:
    """The tags that a key may have in instances, with those of the elements of its creator."""
    if not is_private(tag):
        return {tag}
    group, number = tag & 0xFFFF0000, tag & 0xFF
    tags = set()
    for block in range(_FIRST_BLOCK, _LAST_BLOCK + 1):
        tags |= {group | block, group | block << 8 | number}
    return tags


def block_in_instance(values: Mapping[int, bytes], tag: int, creator: str) -> int | None:
    """The tag that a private key has in an instance with these values; None if it has none."""
    group = tag & 0xFFFF0000
    for block in range(_FIRST_BLOCK, _LAST_BLOCK + 1):
        if values.get(group | block, b"").strip(b" \0").decode("latin-1") == creator:
            return group | block << 8 | tag & 0xFF
    return None


def drop_other_creators(elements: dict[int, bytes]) -> None:
    """Remove private elements unless the element of their creator is the one that is configured.

    The values are those of elements, or the encoded elements themselves. An instance may have been
    indexed when the creator had another block.
    """
    for tag in [tag for tag in elements if is_private(tag)]:
        of_creator = creator_tag(tag) if tag & 0xFF00 else tag
        creator = in_use().creators.get(of_creator, "").encode("latin-1")
        if not creator or not elements.get(of_creator, b"").rstrip(b" \0").endswith(creator):
            del elements[tag]


class _InUse:
    """The additions of this process: there is one configuration."""

    records = SiteRecords()


def use(records: SiteRecords) -> None:
    """Let the header index and the DICOMDIR of this process have what the configuration adds."""
    _InUse.records = records


def in_use() -> SiteRecords:
    """The additions of the configuration of this process."""
    return _InUse.records


def indexed_keys(record_type: str) -> tuple[Key, ...]:
    """All keys that the header index has for a type of record, in ascending order."""
    further = _InUse.records.keys.get(record_type, ())
    keys = {key.tag: key for key in all_keys(record_type)}
    for key, _ in further:
        keys.setdefault(key.tag, key)
    return tuple(keys[tag] for tag in sorted(keys))


def record_type(sop_class_uid: str) -> str:
    """Directory Record Type (0004,1430) of an instance, "" if there is none.

    As `directory_records.record_type`, and of the private SOP Classes that are configured.
    """
    configured = _InUse.records.classes.get(sop_class_uid)
    return configured.record_type if configured else standard_record_type(sop_class_uid)


def is_known_private_record(uid: str) -> bool:
    """Whether PRIVATE records of this Private Record UID have no keys but those configured."""
    configured = {entry.private_record_uid for entry in _InUse.records.classes.values()}
    return bool(uid) and uid in configured | {PRIVATE_RECORD_UID}


def private_record_uid(sop_class_uid: str) -> str:
    """Private Record UID (0004,1432) of the PRIVATE record of an instance."""
    configured = _InUse.records.classes.get(sop_class_uid)
    return (configured.private_record_uid if configured else "") or PRIVATE_RECORD_UID
