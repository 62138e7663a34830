"""Craft: the list of the instances of a volume for research: MANIFEST.CSV and MANIFEST.JSN."""

import csv
import io
import json
from collections.abc import Sequence

from burnish.content.volume_files import ContentFile
from burnish.values import DirectoryEntry

_FIELDS = (
    "file",
    "sop_class_uid",
    "sop_instance_uid",
    "study_instance_uid",
    "series_instance_uid",
    "transfer_syntax_uid",
    "patient_id",
    "study_date",
    "modality",
    "series_number",
    "instance_number",
)


def instance_list(entries: Sequence[DirectoryEntry]) -> tuple[ContentFile, ContentFile]:
    """The list as a table and as JSON; both have the same fields."""
    rows = [_row(entry) for entry in entries]
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, _FIELDS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    document = {"instances": rows}
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    return (
        ContentFile("MANIFEST.CSV", (table.getvalue().encode("utf-8-sig"),)),
        ContentFile("MANIFEST.JSN", (text.encode(),)),
    )


def row_length(entry: DirectoryEntry) -> int:
    """The bytes of an instance in both lists, at most."""
    row = _row(entry)
    values = sum(2 * len(str(value).encode()) for value in row.values())
    return 2 * values + sum(len(name) + 12 for name in _FIELDS)


def _row(entry: DirectoryEntry) -> dict[str, str | int]:
    header = entry.header
    values = {
        "file": entry.file_id.replace("\\", "/"),
        "sop_class_uid": header.sop_class_uid,
        "sop_instance_uid": header.sop_instance_uid,
        "study_instance_uid": header.study_instance_uid,
        "series_instance_uid": header.series_instance_uid,
        "transfer_syntax_uid": entry.transfer_syntax_uid,
        "patient_id": header.patient_id,
        "study_date": header.study_date,
        "modality": header.modality,
        "series_number": header.series_number,
        "instance_number": header.instance_number,
    }
    return {name: "" if value is None else value for name, value in values.items()}
