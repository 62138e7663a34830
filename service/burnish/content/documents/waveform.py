"""Craft: waveforms (PS3.3 C.10.9) as SVG: an ECG of twelve leads on its paper, others by channel.

IHE Portable Data for Imaging permits JPEG pictures on pages, and no SVG. So a page has a JPEG
picture of each drawing, of the same lines, which leads to the SVG file.

The paper of an ECG has 25 mm for a second and 10 mm for a millivolt. Any other waveform has a row
for each channel, with the units and the value of 10 mm told; a long one is shown at the speed at
which all of it fits. What lies within a tenth of a millimetre is drawn as a stroke from its least
to its greatest value, so that no peak is lost.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from burnish.content.documents.body import DocumentWriter
from burnish.content.documents.paper import Curve, PaperDrawing, to_jpeg, to_svg
from burnish.content.documents.values import (
    code_value,
    items_of,
    meaning_of,
    number_of,
    text_of,
)
from burnish.content.xhtml_text import escaped

if TYPE_CHECKING:
    from pydicom import Dataset

_TWELVE_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_ROWS_OF_LEADS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
_MILLIVOLTS = {"uV": 0.001, "mV": 1.0, "V": 1000.0}
_SPEED, _MM_PER_MILLIVOLT = 25.0, 10.0
#: Speeds in mm/s at which longer recordings are shown, and the width up to which one is chosen.
_SPEEDS = (25.0, 12.5, 10.0, 5.0, 2.5, 1.0, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002)
_WIDTH = 500.0
#: An ECG of at most so many seconds has each lead in full, side by side.
_SHORT = 3.5
_ROW_OF_LEADS, _ROW_OF_CHANNEL = 28.0, 22.0
_LEFT, _TOP, _RIGHT, _BOTTOM = 12.0, 6.0, 5.0, 9.0
#: Samples of one group that are decoded: more take too much memory.
_MOST_SAMPLES = 40_000_000
_SAMPLE_TYPES = {
    ("SB", 8): "i1",
    ("UB", 8): "u1",
    ("SS", 16): "<i2",
    ("US", 16): "<u2",
    ("SL", 32): "<i4",
    ("UL", 32): "<u4",
    ("SV", 64): "<i8",
    ("UV", 64): "<u8",
}


@dataclass(frozen=True, slots=True)
class _Channel:
    """One channel: its values in `unit`, NaN where there are none."""

    name: str
    unit: str
    values: Any


@dataclass(frozen=True, slots=True)
class _Segment:
    """A piece of a channel on paper: samples from `first` to before `end`, at `x` in mm."""

    channel: _Channel
    first: int
    end: int
    x: float


def write_waveforms(data_set: "Dataset", writer: DocumentWriter) -> None:
    """Writes a picture and a table of each multiplex group, and the annotations."""
    for number, group in enumerate(items_of(data_set, "WaveformSequence"), start=1):
        channels = _channels(group)
        frequency = number_of(group, "SamplingFrequency") or 0.0
        if frequency <= 0 or not channels:
            raise ValueError("a waveform has no frequency or no channels")
        drawing = _draw(channels, frequency)
        position = writer.file("SVG", [to_svg(drawing).encode()])
        picture = writer.web_file("JPG", [to_jpeg(drawing)])
        label = text_of(group, "MultiplexGroupLabel")
        writer.markup("<h2>")
        writer.label("recording", number=number)
        writer.markup("</h2>\n<p>")
        if label:
            writer.markup('<span class="t">')
            writer.value(label)
            writer.markup("</span> · ")
        seconds = len(channels[0].values) / frequency
        writer.label("duration", value=f"{seconds:g}")
        writer.markup(" · ")
        writer.label("sampling", value=f"{frequency:g}")
        writer.markup('</p>\n<div class="paper"><a href="')
        writer.path(position)
        writer.markup('"><img src="')
        writer.path(picture)
        # the width in CSS pixels, of which 96 are an inch
        writer.markup(f'" width="{drawing.width * 96 / 25.4:.0f}" alt="')
        writer.label("recording", number=number)
        writer.markup('" /></a></div>\n')
        _write_channels(group, channels, writer)
    _write_annotations(data_set, writer)


# --- values --------------------------------------------------------------------------------------


def _channels(group: "Dataset") -> list[_Channel]:
    """The channels with sensitivity, correction factor and baseline applied (PS3.3 C.10.9.1)."""
    import numpy as np

    definitions = items_of(group, "ChannelDefinitionSequence")
    bits = int(number_of(group, "WaveformBitsAllocated") or 0)
    sample_type = _SAMPLE_TYPES.get((text_of(group, "WaveformSampleInterpretation"), bits))
    if sample_type is None:
        raise NotImplementedError("samples of this kind are not shown")
    cells = np.frombuffer(group["WaveformData"].value, sample_type)
    count = len(definitions)
    samples = int(number_of(group, "NumberOfWaveformSamples") or 0)
    if not count or not samples or len(cells) < samples * count:
        raise ValueError("a waveform has fewer samples than it says")
    if samples * count > _MOST_SAMPLES:
        raise MemoryError
    cells = cells[: samples * count].reshape(samples, count)
    padding = group.get("WaveformPaddingValue")
    if isinstance(padding, bytes) and len(padding) >= bits // 8:
        padding = np.frombuffer(padding[: bits // 8], sample_type)[0]
    channels = []
    for column, definition in enumerate(definitions):
        values = cells[:, column].astype(np.float32)
        if padding is not None:
            values[cells[:, column] == padding] = np.nan
        sensitivity = number_of(definition, "ChannelSensitivity")
        units = items_of(definition, "ChannelSensitivityUnitsSequence")
        unit = code_value(units[0]) if units else ""
        if sensitivity:
            factor = number_of(definition, "ChannelSensitivityCorrectionFactor") or 1.0
            values = values * (sensitivity * factor)
            values += number_of(definition, "ChannelBaseline") or 0.0
        channels.append(_Channel(_channel_name(definition, column), unit, values))
    return channels


def _channel_name(definition: "Dataset", column: int) -> str:
    """The lead as doctors call it, or else the source or the label of the channel."""
    meaning = meaning_of(definition, "ChannelSourceSequence")
    short = meaning.removeprefix("Lead ").split("(")[0].strip()
    leads = {lead.upper(): lead for lead in _TWELVE_LEADS}
    if short.upper() in leads:
        return leads[short.upper()]
    return meaning or text_of(definition, "ChannelLabel") or str(column + 1)


# --- paper ---------------------------------------------------------------------------------------


def _draw(channels: list[_Channel], frequency: float) -> PaperDrawing:
    """A group of channels on paper."""
    seconds = len(channels[0].values) / frequency
    is_electric = all(channel.unit in _MILLIVOLTS for channel in channels)
    by_name = {channel.name: channel for channel in channels}
    is_ecg = is_electric and all(lead in by_name for lead in _TWELVE_LEADS)
    speed = _SPEED if seconds * _SPEED <= _WIDTH else _speed(seconds)
    if is_ecg and speed == _SPEED and seconds <= 12:
        rows = _rows_of_leads(by_name, seconds, frequency)
    else:
        rows = [[_Segment(channel, 0, len(channel.values), _LEFT)] for channel in channels]
    height_of_row = _ROW_OF_LEADS if is_electric else _ROW_OF_CHANNEL
    end = max(
        segment.x + (segment.end - segment.first) / frequency * speed
        for row in rows
        for segment in row
    )
    drawing = PaperDrawing(max(end + _RIGHT, 90.0), _TOP + height_of_row * len(rows) + _BOTTOM)
    for number, row in enumerate(rows):
        middle = _TOP + height_of_row * (number + 0.5)
        for segment in row:
            scale, zero, told = _scale(segment.channel, height_of_row, is_electric=is_electric)
            drawing.curves.append(_curve(segment, frequency, speed, middle, (scale, zero)))
            title = segment.channel.name if is_electric else f"{segment.channel.name}, {told}"
            place = (segment.x + 0.8, middle - height_of_row / 2 + 4)
            drawing.titles.append((place, title))
        if is_electric:
            drawing.curves.append(_calibration_pulse(middle))
    told = f"{speed:g} mm/s" + (f"   {_MM_PER_MILLIVOLT:g} mm/mV" if is_electric else "")
    drawing.foot = f"{told}   {frequency:g} Hz"
    return drawing


def _calibration_pulse(middle: float) -> Curve:
    """1 mV for 0.2 s."""
    top = middle - _MM_PER_MILLIVOLT
    return [[(4, middle), (5, middle), (5, top), (10, top), (10, middle), (11, middle)]]


def _speed(seconds: float) -> float:
    for speed in _SPEEDS:
        if seconds * speed <= _WIDTH:
            return speed
    return _WIDTH / seconds


def _rows_of_leads(
    by_name: dict[str, _Channel], seconds: float, frequency: float
) -> list[list[_Segment]]:
    """Three rows of four leads; of a long recording a quarter each, and lead II in full below."""
    samples = len(by_name["I"].values)
    is_short = seconds <= _SHORT
    rows = []
    for leads in _ROWS_OF_LEADS:
        row = []
        for column, lead in enumerate(leads):
            quarter = (column * samples // 4, (column + 1) * samples // 4)
            first, end = (0, samples) if is_short else quarter
            start = column * (seconds * _SPEED + 4) if is_short else first / frequency * _SPEED
            row.append(_Segment(by_name[lead], first, end, _LEFT + start))
        rows.append(row)
    if not is_short:
        rows.append([_Segment(by_name["II"], 0, samples, _LEFT)])
    return rows


def _scale(channel: _Channel, height: float, *, is_electric: bool) -> tuple[float, float, str]:
    """Millimetres for each unit, the value in the middle of the row, and the scale as text."""
    import numpy as np

    known = channel.values[np.isfinite(channel.values)]
    if not len(known):
        return 1.0, 0.0, ""
    if is_electric:
        return _MILLIVOLTS[channel.unit] * _MM_PER_MILLIVOLT, float(np.median(known)), ""
    low, high = float(known.min()), float(known.max())
    for_ten_mm = max(high - low, 1e-9) * 10 / (height - 7)
    power = 10.0 ** np.floor(np.log10(for_ten_mm))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= for_ten_mm)
    told = f"10 mm = {step:g} {channel.unit}".strip()
    return 10 / step, (low + high) / 2, f"{told} ({low:.4g} … {high:.4g})"


def _curve(
    segment: _Segment, frequency: float, speed: float, middle: float, scale: tuple[float, float]
) -> Curve:
    """The curve of a segment; where samples lie closer than 0.1 mm, their extremes."""
    import numpy as np

    values = segment.channel.values[segment.first : segment.end]
    y = middle - (values - scale[1]) * scale[0]
    in_stroke = int(0.1 * frequency / speed)
    spacing = 1.0
    if in_stroke > 2:
        strokes = y[: len(y) // in_stroke * in_stroke].reshape(-1, in_stroke)
        y = np.column_stack([strokes.min(axis=1), strokes.max(axis=1)]).ravel()
        spacing = in_stroke / 2
    x = segment.x + np.arange(len(y)) * spacing / frequency * speed
    lines: Curve = []
    is_gap = True
    for at_x, at_y in zip(x.tolist(), y.tolist(), strict=True):
        if math.isnan(at_y):
            is_gap = True
            continue
        if is_gap:
            lines.append([])
            is_gap = False
        lines[-1].append((at_x, at_y))
    return lines


# --- tables --------------------------------------------------------------------------------------


def _write_channels(group: "Dataset", channels: list[_Channel], writer: DocumentWriter) -> None:
    """A description of the channels: units of their values, sensitivity, baseline and filters."""
    columns = (
        ("ChannelSensitivity", "sensitivity", ""),
        ("ChannelBaseline", "baseline", ""),
        ("FilterLowFrequency", "low_filter", " Hz"),
        ("FilterHighFrequency", "high_filter", " Hz"),
        ("NotchFilterFrequency", "notch_filter", " Hz"),
    )
    writer.markup('<table class="about">\n<tr>')
    for label in ("channel", "units", *(label for _, label, _ in columns)):
        writer.markup('<th scope="col">')
        writer.label(label)
        writer.markup("</th>")
    writer.markup("</tr>\n")
    definitions = items_of(group, "ChannelDefinitionSequence")
    for channel, definition in zip(channels, definitions, strict=True):
        writer.markup(f"<tr><td>{escaped(channel.name)}</td><td>{escaped(channel.unit)}</td>")
        for keyword, _, unit in columns:
            value = number_of(definition, keyword)
            told = "" if value is None else f"{value:g}{unit}"
            writer.markup(f"<td>{told}</td>")
        writer.markup("</tr>\n")
    writer.markup("</table>\n")


def _write_annotations(data_set: "Dataset", writer: DocumentWriter) -> None:
    """Measured values and remarks of the device (PS3.3 C.10.10)."""
    annotations = []
    for annotation in items_of(data_set, "WaveformAnnotationSequence"):
        name = meaning_of(annotation, "ConceptNameCodeSequence")
        value = text_of(annotation, "NumericValue") or text_of(annotation, "UnformattedTextValue")
        value = value or meaning_of(annotation, "ConceptCodeSequence")
        units = items_of(annotation, "MeasurementUnitsCodeSequence")
        unit = code_value(units[0]) if units else ""
        if name or value:
            annotations.append((name, f"{value} {unit}".strip()))
    if not annotations:
        return
    writer.markup("<h2>")
    writer.label("annotations")
    writer.markup('</h2>\n<table class="about">\n')
    for name, value in annotations:
        writer.markup('<tr><th scope="row">')
        writer.value(name)
        writer.markup('</th><td class="t">')
        writer.value(value)
        writer.markup("</td></tr>\n")
    writer.markup("</table>\n")
