"""Craft: a structured report (PS3.3 C.17) or key object selection as XHTML, with all its content.

Each content item has an id, `i1.2.3`, by its place in the tree, as references within a report name
it (PS3.3 C.17.3.2.4). Codes stand as their meaning; a tooltip has the code itself.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from burnish.content.documents.body import DocumentWriter
from burnish.content.documents.values import (
    code_value,
    items_of,
    meaning_of,
    number_of,
    numbers_of,
    text_of,
)
from burnish.content.xhtml_text import escaped

if TYPE_CHECKING:
    from pydicom import Dataset

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
#: Content items that a page shows; a report with more of them says that there are more.
_MOST_ITEMS = 20_000
#: Points of a region that are told; of one with more, their number.
_MOST_POINTS = 12
_RELATIONSHIPS = {
    "HAS PROPERTIES": "has_properties",
    "INFERRED FROM": "inferred_from",
    "SELECTED FROM": "selected_from",
    "HAS CONCEPT MOD": "has_concept_mod",
    "HAS OBS CONTEXT": "has_obs_context",
    "HAS ACQ CONTEXT": "has_acq_context",
}
_CONTEXT = frozenset({"HAS CONCEPT MOD", "HAS OBS CONTEXT", "HAS ACQ CONTEXT"})
_REFERENCES = frozenset({"IMAGE", "WAVEFORM", "COMPOSITE"})
_STATES = {
    "CompletionFlag": ("completion", {"COMPLETE": "complete", "PARTIAL": "partial"}),
    "VerificationFlag": ("verification", {"VERIFIED": "verified", "UNVERIFIED": "unverified"}),
    "PreliminaryFlag": ("status", {"PRELIMINARY": "preliminary", "FINAL": "final"}),
}


def write_report(data_set: "Dataset", writer: DocumentWriter) -> None:
    """Writes a whole report."""
    _Report(data_set, writer).write()


class _Report:
    def __init__(self, data_set: "Dataset", writer: DocumentWriter) -> None:
        self._data_set = data_set
        self._writer = writer
        self._paths: set[str] = set()
        self._items = 0
        self._is_selection = text_of(data_set, "SOPClassUID") == KEY_OBJECT_SELECTION

    def write(self) -> None:
        writer = self._writer
        self._paths = set(_paths(self._data_set, "1"))
        if text_of(self._data_set, "VerificationFlag") == "UNVERIFIED":
            writer.markup('<p class="warn">')
            writer.label("unverified_warning")
            writer.markup("</p>\n")
        self._write_facts()
        writer.markup('<div id="i1">\n')
        self._write_title()
        self._write_children(self._data_set, "1", 2)
        writer.markup("</div>\n")
        if self._items > _MOST_ITEMS:
            writer.markup('<p class="warn">')
            writer.label("more_items", number=_MOST_ITEMS)
            writer.markup("</p>\n")

    # --- the head --------------------------------------------------------------------------------

    def _write_facts(self) -> None:
        writer = self._writer
        data_set = self._data_set
        writer.markup('<table class="about">\n')
        self._begin_fact("content_date")
        writer.date(text_of(data_set, "ContentDate"))
        writer.markup(" ")
        writer.time(text_of(data_set, "ContentTime"))
        self._end_fact()
        self._write_states()
        self._write_people()
        for request in items_of(data_set, "ReferencedRequestSequence"):
            description = text_of(request, "RequestedProcedureDescription")
            number = text_of(request, "AccessionNumber")
            told = ", ".join(part for part in (description, number) if part)
            if told:
                self._begin_fact("request")
                writer.value(told)
                self._end_fact()
        manufacturer = text_of(data_set, "Manufacturer")
        model = text_of(data_set, "ManufacturerModelName")
        serial = text_of(data_set, "DeviceSerialNumber")
        device = ", ".join(part for part in (manufacturer, model, serial) if part)
        if device:
            self._begin_fact("device")
            writer.value(device)
            self._end_fact()
        for keyword, label in (
            ("PredecessorDocumentsSequence", "replaces"),
            ("IdenticalDocumentsSequence", "identical"),
        ):
            for uid, sop_class in _evidence(data_set, keyword):
                self._begin_fact(label)
                writer.reference(uid, sop_class)
                self._end_fact()
        writer.markup("</table>\n")

    def _write_states(self) -> None:
        """Whether the report is complete, verified and final."""
        writer = self._writer
        data_set = self._data_set
        for keyword, (label, texts) in _STATES.items():
            value = text_of(data_set, keyword)
            if not value:
                continue
            self._begin_fact(label)
            if value in texts:
                writer.label(texts[value])
            else:
                writer.value(value)
            if keyword == "CompletionFlag" and text_of(data_set, "CompletionFlagDescription"):
                writer.value(f" ({text_of(data_set, 'CompletionFlagDescription')})")
            self._end_fact()

    def _write_people(self) -> None:
        """Who verified the report and who wrote it."""
        writer = self._writer
        data_set = self._data_set
        for observer in items_of(data_set, "VerifyingObserverSequence"):
            self._begin_fact("verified_by")
            writer.name(text_of(observer, "VerifyingObserverName"))
            writer.value(_with_comma(text_of(observer, "VerifyingOrganization")) + " ")
            writer.date_time(text_of(observer, "VerificationDateTime"))
            self._end_fact()
        for author in items_of(data_set, "AuthorObserverSequence"):
            self._begin_fact("author")
            writer.name(text_of(author, "PersonName"))
            organization = text_of(author, "InstitutionName")
            device = text_of(author, "StationName") or text_of(author, "ManufacturerModelName")
            writer.value(_with_comma(device) + _with_comma(organization))
            self._end_fact()

    def _begin_fact(self, label: str) -> None:
        self._writer.markup('<tr><th scope="row">')
        self._writer.label(label)
        self._writer.markup("</th><td>")

    def _end_fact(self) -> None:
        self._writer.markup("</td></tr>\n")

    def _write_title(self) -> None:
        """The concept of the whole report, which may be another than the title of the document."""
        if meaning_of(self._data_set, "ConceptNameCodeSequence"):
            self._writer.markup("<h2>")
            self._write_code(self._data_set, "ConceptNameCodeSequence")
            self._writer.markup("</h2>\n")
        self._write_observation(self._data_set)

    # --- content items ---------------------------------------------------------------------------

    def _write_children(self, parent: "Dataset", path: str, level: int) -> None:
        """The content items below one: what describes it first, as others read it first."""
        children = list(enumerate(items_of(parent, "ContentSequence"), start=1))
        context = [child for child in children if _relationship(child[1]) in _CONTEXT]
        content = [child for child in children if _relationship(child[1]) not in _CONTEXT]
        for style, members in (("context", context), ("content", content)):
            if not members:
                continue
            is_gallery = self._is_selection and style == "content"
            self._writer.markup(f'<div class="{style}{" gallery" if is_gallery else ""}">\n')
            for number, item in members:
                self._write_item(item, f"{path}.{number}", level)
            self._writer.markup("</div>\n")

    def _write_item(self, item: "Dataset", path: str, level: int) -> None:
        self._items += 1
        if self._items > _MOST_ITEMS:
            return
        writer = self._writer
        value_type = text_of(item, "ValueType")
        style = "section" if value_type == "CONTAINER" else "item"
        writer.markup(f'<div class="{style}" id="i{path}">\n')
        if value_type == "CONTAINER":
            if meaning_of(item, "ConceptNameCodeSequence"):
                heading = f"h{min(level + 1, 6)}"
                writer.markup(f"<{heading}>")
                self._write_relationship(item)
                self._write_code(item, "ConceptNameCodeSequence")
                writer.markup(f"</{heading}>\n")
            self._write_observation(item)
        else:
            writer.markup("<p>")
            self._write_relationship(item)
            self._write_leaf(item, value_type)
            writer.markup("</p>\n")
            if value_type == "TABLE":
                self._write_table(item)
            self._write_observation(item)
        self._write_children(item, path, level + 1)
        writer.markup("</div>\n")

    def _write_relationship(self, item: "Dataset") -> None:
        """How an item relates to the one above it, unless that contains it."""
        relationship = _relationship(item)
        if relationship in _RELATIONSHIPS:
            self._writer.markup('<span class="relation">')
            self._writer.label(_RELATIONSHIPS[relationship])
            self._writer.markup("</span> ")

    def _write_leaf(self, item: "Dataset", value_type: str) -> None:
        writer = self._writer
        target = [
            str(int(number)) for number in numbers_of(item, "ReferencedContentItemIdentifier")
        ]
        if target and not value_type:
            self._write_reference_to_item(".".join(target))
            return
        if meaning_of(item, "ConceptNameCodeSequence"):
            writer.markup('<span class="name">')
            self._write_code(item, "ConceptNameCodeSequence")
            writer.markup(":</span> ")
        writer.markup('<span class="value t">')
        self._write_value(item, value_type)
        writer.markup("</span>")

    def _write_reference_to_item(self, path: str) -> None:
        is_known = path in self._paths
        if is_known:
            self._writer.markup(f'<a href="#i{path}">')
        self._writer.label("see_item", number=path)
        if is_known:
            self._writer.markup("</a>")

    def _write_value(self, item: "Dataset", value_type: str) -> None:
        writer = self._writer
        if value_type == "TEXT":
            writer.value(text_of(item, "TextValue"))
        elif value_type == "CODE":
            self._write_code(item, "ConceptCodeSequence")
        elif value_type == "NUM":
            self._write_number(item)
        elif value_type == "PNAME":
            writer.name(text_of(item, "PersonName"))
        elif value_type == "DATE":
            writer.date(text_of(item, "Date"))
        elif value_type == "TIME":
            writer.time(text_of(item, "Time"))
        elif value_type == "DATETIME":
            writer.date_time(text_of(item, "DateTime"))
        elif value_type == "UIDREF":
            writer.value(text_of(item, "UID"))
        elif value_type in _REFERENCES:
            self._write_references(item)
        elif value_type in ("SCOORD", "SCOORD3D"):
            self._write_region(item, 2 if value_type == "SCOORD" else 3)
        elif value_type == "TCOORD":
            self._write_times(item)
        elif value_type != "TABLE":
            writer.label("unknown_value", kind=value_type or "?")

    def _write_code(self, item: "Dataset", keyword: str) -> None:
        """The meaning of a code, with the code itself as a tooltip (PS3.3 8)."""
        codes = items_of(item, keyword)
        if not codes:
            return
        code = codes[0]
        scheme = text_of(code, "CodingSchemeDesignator")
        version = text_of(code, "CodingSchemeVersion")
        parts = (code_value(code), f"{scheme} {version}".strip())
        title = ", ".join(part for part in parts if part)
        meaning = text_of(code, "CodeMeaning") or code_value(code)
        self._writer.markup(f'<span title="{escaped(title)}">')
        self._writer.value(meaning)
        self._writer.markup("</span>")

    def _write_number(self, item: "Dataset") -> None:
        """Numbers with their units, or why there are none (PS3.3 C.18.1)."""
        writer = self._writer
        for measured in items_of(item, "MeasuredValueSequence"):
            value = text_of(measured, "NumericValue")
            units = items_of(measured, "MeasurementUnitsCodeSequence")
            writer.markup("<strong>")
            writer.value(value)
            writer.markup("</strong> ")
            if units and code_value(units[0]) not in ("1", "{no units}"):
                meaning = text_of(units[0], "CodeMeaning")
                is_short = len(code_value(units[0])) <= 8
                shown = code_value(units[0]) if is_short else meaning
                title = f"{meaning} ({code_value(units[0])})"
                writer.markup(f'<span title="{escaped(title)}">')
                writer.value(shown or meaning)
                writer.markup("</span> ")
        if meaning_of(item, "NumericValueQualifierCodeSequence"):
            self._write_code(item, "NumericValueQualifierCodeSequence")

    def _write_references(self, item: "Dataset") -> None:
        """Instances that an item refers to, with frames, channels and how they were shown."""
        writer = self._writer
        for reference in items_of(item, "ReferencedSOPSequence"):
            uid = text_of(reference, "ReferencedSOPInstanceUID")
            sop_class = text_of(reference, "ReferencedSOPClassUID")
            if self._is_selection:
                writer.picture(uid)
                writer.markup(" ")
            writer.reference(uid, sop_class)
            for keyword, label in (
                ("ReferencedFrameNumber", "frames"),
                ("ReferencedSegmentNumber", "segments"),
                ("ReferencedWaveformChannels", "channels"),
            ):
                numbers = text_of(reference, keyword)
                if numbers:
                    writer.markup(", ")
                    writer.label(label, numbers=numbers)
            for presentation in (
                *items_of(reference, "ReferencedSOPSequence"),
                *items_of(reference, "ReferencedRealWorldValueMappingInstanceSequence"),
            ):
                writer.markup(", ")
                writer.label("shown_by")
                writer.markup(" ")
                writer.reference(
                    text_of(presentation, "ReferencedSOPInstanceUID"),
                    text_of(presentation, "ReferencedSOPClassUID"),
                )
            writer.markup(" ")

    def _write_region(self, item: "Dataset", dimensions: int) -> None:
        """The points of a region: column and row, or x, y and z in mm (PS3.3 C.18.6, C.18.9)."""
        writer = self._writer
        writer.value(text_of(item, "GraphicType").capitalize() + " ")
        numbers = numbers_of(item, "GraphicData")
        points = [
            numbers[start : start + dimensions] for start in range(0, len(numbers), dimensions)
        ]
        if len(points) > _MOST_POINTS:
            writer.label("points", number=len(points))
        else:
            texts = (f"({', '.join(f'{number:g}' for number in point)})" for point in points)
            writer.value(" ".join(texts))
        if dimensions == 3 and points:
            writer.value(" mm")
        fiducial = text_of(item, "FiducialUID")
        if fiducial:
            writer.value(f" {fiducial}")

    def _write_times(self, item: "Dataset") -> None:
        """Points of time or segments of them (PS3.3 C.18.7)."""
        writer = self._writer
        writer.value(text_of(item, "TemporalRangeType").capitalize() + " ")
        samples = text_of(item, "ReferencedSamplePositions")
        if samples:
            writer.label("samples", numbers=samples)
        offsets = text_of(item, "ReferencedTimeOffsets")
        if offsets:
            writer.value(f" {offsets} s")
        for date_time in text_of(item, "ReferencedDateTime").split(", "):
            if date_time:
                writer.markup(" ")
                writer.date_time(date_time)

    def _write_table(self, item: "Dataset") -> None:
        """A table of values (PS3.3 C.18.10)."""
        from pydicom.datadict import keyword_for_tag

        writer = self._writer
        for table in items_of(item, "TabulatedValuesSequence"):
            columns = _definitions(table, "Column")
            cells: dict[tuple[int, int], str] = {}
            for cell in items_of(table, "CellValuesSequence"):
                row = int(number_of(cell, "TableRowNumber") or 0)
                column = int(number_of(cell, "TableColumnNumber") or 0)
                keywords = [keyword_for_tag(element.tag) for element in cell]
                values = [
                    text_of(cell, keyword)
                    for keyword in keywords
                    if keyword.startswith("Selector") and keyword.endswith("Value")
                ]
                codes = meaning_of(cell, "SelectorCodeSequenceValue")
                cells[row, column] = codes or ", ".join(values)
            rows = _definitions(table, "Row")
            row_numbers = sorted({row for row, _ in cells} | set(rows))
            column_numbers = sorted({column for _, column in cells} | set(columns))
            if not row_numbers or not column_numbers:
                continue
            writer.markup('<table class="about">\n')
            if columns:
                writer.markup("<tr><th></th>" if rows else "<tr>")
                for column in column_numbers:
                    writer.markup(f'<th scope="col">{escaped(columns.get(column, ""))}</th>')
                writer.markup("</tr>\n")
            for row in row_numbers:
                writer.markup("<tr>")
                if rows:
                    writer.markup(f'<th scope="row">{escaped(rows.get(row, ""))}</th>')
                for column in column_numbers:
                    writer.markup(f"<td>{escaped(cells.get((row, column), ''))}</td>")
                writer.markup("</tr>\n")
            writer.markup("</table>\n")

    def _write_observation(self, item: "Dataset") -> None:
        """When something was observed, if that is told for it."""
        observed = text_of(item, "ObservationDateTime")
        if observed:
            self._writer.markup('<p class="note">')
            self._writer.label("observed")
            self._writer.markup(" ")
            self._writer.date_time(observed)
            self._writer.markup("</p>\n")


def _relationship(item: "Dataset") -> str:
    return text_of(item, "RelationshipType")


def _with_comma(value: str) -> str:
    return f", {value}" if value else ""


def _paths(item: "Dataset", path: str) -> Iterator[str]:
    """The places of an item and of all items below it."""
    yield path
    for number, child in enumerate(items_of(item, "ContentSequence"), start=1):
        yield from _paths(child, f"{path}.{number}")


def _evidence(data_set: "Dataset", keyword: str) -> Iterator[tuple[str, str]]:
    """The instances of a Hierarchical SOP Instance Reference Macro, each with its class."""
    for study in items_of(data_set, keyword):
        for series in items_of(study, "ReferencedSeriesSequence"):
            for reference in items_of(series, "ReferencedSOPSequence"):
                yield (
                    text_of(reference, "ReferencedSOPInstanceUID"),
                    text_of(reference, "ReferencedSOPClassUID"),
                )


def _definitions(table: "Dataset", kind: str) -> dict[int, str]:
    """The meanings of the rows or columns of a table, by their number."""
    return {
        int(number_of(definition, f"Table{kind}Number") or 0): meaning_of(
            definition, "ConceptNameCodeSequence"
        )
        for definition in items_of(table, f"Table{kind}DefinitionSequence")
    }
