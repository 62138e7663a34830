"""Stage: corrects what instances say of their patient, because an administrator says so.

Nothing else tells which of two Patient IDs, birth dates or sexes is right. A corrected instance is
newer content of its SOP Instance UID, as if an archive had sent the correction: later media have
it, and the older content is kept beside it. Its Original Attributes Sequence (PS3.3 C.12.1.1.9)
says what was changed, when, and by whom.
"""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog
from pydicom import Dataset, dcmread, dcmwrite
from sqlalchemy import select
from sqlalchemy.orm import Session

from burnish import file_meta
from burnish.db.instance_rows import Selection
from burnish.db.session import Database, in_batches
from burnish.db.tables import Instance
from burnish.errors import BurnishError, InvalidValue, Unknown, Unreadable
from burnish.spool import Spool
from burnish.values import WholeInstance

log = structlog.get_logger(__name__)

_BATCH = 500
#: What can be corrected: keyword, with the values that are allowed (PS3.5 6.2).
_ALLOWED = {
    "PatientName": re.compile(r"[^\\\x00-\x1f]{1,200}"),
    "PatientID": re.compile(r"[^\\\x00-\x1f]{1,64}"),
    "PatientBirthDate": re.compile(r"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"),
    "PatientSex": re.compile(r"[MFO]"),
}
NAMES = {
    "PatientName": "Patient's Name (0010,0010)",
    "PatientID": "Patient ID (0010,0020)",
    "PatientBirthDate": "Patient's Birth Date (0010,0030)",
    "PatientSex": "Patient's Sex (0010,0040)",
}
#: What pydicom raises for data sets that are damaged.
_DAMAGE = (ArithmeticError, AttributeError, EOFError, LookupError, OSError, TypeError, ValueError)


@dataclass(slots=True)
class Change:
    """How one attribute changes: its present values, with the number of instances, and the new."""

    keyword: str
    new: str
    present: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Correction:
    """The effect of a correction: the changes, the instances that change, and those that cannot."""

    changes: list[Change]
    instances: int = 0
    unchanged: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def check(values: dict[str, str]) -> None:
    """Raises InvalidValue for a value that its VR does not allow."""
    for keyword, value in values.items():
        if not _ALLOWED[keyword].fullmatch(value):
            raise InvalidValue(f"{NAMES[keyword]} cannot be {value!r}")


def describe(
    database: Database, spool: Spool, selection: Selection, values: dict[str, str]
) -> Correction:
    """The effect that `correct` would have; raises Unknown if nothing matches."""
    return _run(database, spool, selection, values, keep=None, by="")


def correct(
    database: Database,
    spool: Spool,
    selection: Selection,
    values: dict[str, str],
    *,
    keep: Callable[[WholeInstance], None],
    by: str,
) -> Correction:
    """Give the selected instances these values by keyword, where they have others.

    `keep` stores a corrected instance durably. `by` names the person and the system. An instance
    that cannot be corrected is named in the result, and the others are corrected.
    Raises Unknown if nothing matches, InvalidValue for a wrong value.
    """
    return _run(database, spool, selection, values, keep=keep, by=by)


def _run(
    database: Database,
    spool: Spool,
    selection: Selection,
    values: dict[str, str],
    *,
    keep: Callable[[WholeInstance], None] | None,
    by: str,
) -> Correction:
    check(values)
    correction = Correction([Change(keyword, value) for keyword, value in values.items()])
    with database.reading() as session:
        ids = _selected(session, selection)
    for row in _rows(database, ids):
        try:
            changed = _correct(row, spool, correction.changes, by)
            if changed is None:
                correction.unchanged += 1
                continue
            if keep is not None:
                keep(changed)
                log.info("instance corrected", sop_instance_uid=row.sop_instance_uid, by=by)
            correction.instances += 1
        except BurnishError as error:
            correction.failed[row.sop_instance_uid] = str(error)
    return correction


def _selected(session: Session, selection: Selection) -> Sequence[int]:
    ids = session.scalars(
        select(Instance.id).where(selection.condition(), Instance.is_newest()).order_by(Instance.id)
    ).all()
    if not ids:
        raise Unknown("no instance matches", hint="`burnish instance list` shows instances")
    return ids


def _rows(database: Database, ids: Sequence[int]) -> Iterator[Any]:
    """The rows of instances, without a transaction that lasts while files are read."""
    for batch in in_batches(ids, _BATCH):
        with database.reading() as session:
            rows = session.execute(
                select(
                    Instance.sop_class_uid,
                    Instance.sop_instance_uid,
                    Instance.transfer_syntax_uid,
                    Instance.calling_ae_title,
                    Instance.called_ae_title,
                    Instance.spool_key,
                    Instance.size,
                )
                .where(Instance.id.in_(batch), Instance.is_newest())
                .order_by(Instance.id)
            ).all()
        yield from rows


def _correct(row: Any, spool: Spool, changes: Sequence[Change], by: str) -> WholeInstance | None:
    """The corrected instance, None if it has the right values; counts the present ones."""
    try:
        with spool.slice(row.spool_key, row.size).open() as file:
            data_set = dcmread(file)
        wrong = []
        for change in changes:
            present = str(data_set.get(change.keyword, ""))
            if present != change.new:
                change.present[present] = change.present.get(present, 0) + 1
                wrong.append(change)
        if not wrong:
            return None
        _change(data_set, wrong, by)
        written = _encoded(data_set)
    except FileNotFoundError:
        raise Unreadable("its file is not in the spool") from None
    except _DAMAGE as error:
        raise Unreadable(f"its data set cannot be read: {type(error).__name__}") from None
    return WholeInstance(
        row.sop_class_uid,
        row.sop_instance_uid,
        row.transfer_syntax_uid,
        row.calling_ae_title,
        row.called_ae_title,
        written,
    )


def _change(data_set: Dataset, changes: Sequence[Change], by: str) -> None:
    """Change attributes, and add the item that says what they were."""
    modified = Dataset()
    for change in changes:
        if change.keyword in data_set:
            modified.add(deepcopy(data_set[change.keyword]))
    for change in changes:
        _check_character_set(data_set, change)
        setattr(data_set, change.keyword, change.new)
    item = Dataset()
    item.ModifiedAttributesSequence = [modified]
    item.AttributeModificationDateTime = datetime.now(UTC).strftime("%Y%m%d%H%M%S.%f+0000")
    item.ModifyingSystem = by[:64]
    item.SourceOfPreviousValues = ""
    item.ReasonForTheAttributeModification = "CORRECT"
    earlier = list(data_set.get("OriginalAttributesSequence") or [])
    data_set.OriginalAttributesSequence = [*earlier, item]
    for group in (0x0010, 0x0400):  # group lengths are retired, and would be wrong now
        if (group, 0x0000) in data_set:
            del data_set[group, 0x0000]


def _check_character_set(data_set: Dataset, change: Change) -> None:
    """Raises InvalidValue for text that the character set of the instance does not have."""
    if change.new.isascii():
        return
    encodings = data_set.original_character_set
    names = [encodings] if isinstance(encodings, str) else list(encodings)
    for text in change.new.split("="):
        if not any(_is_encodable(text, name) for name in names):
            raise InvalidValue(
                f"{NAMES[change.keyword]} cannot be written in the character set of the instance"
            )


def _is_encodable(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _encoded(data_set: Dataset) -> bytes:
    """The data set without File Meta Information."""
    target = io.BytesIO()
    dcmwrite(target, data_set, enforce_file_format=False)
    content = target.getvalue()
    offset, _ = file_meta.locate(content[: 1 << 16])
    return content[offset:]
