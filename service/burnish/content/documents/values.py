"""Craft: values of a data set as text, numbers and items, as far as they can be read."""

from typing import TYPE_CHECKING

from burnish.content.instance_reader import VALUE_ERRORS

if TYPE_CHECKING:
    from pydicom import Dataset


def text_of(data_set: "Dataset", keyword: str) -> str:
    """The value as text, with its line breaks; several values with ", " between them."""
    try:
        value = data_set.get(keyword)
    except VALUE_ERRORS:
        return ""
    if value is None:
        return ""
    is_name = hasattr(value, "ideographic")
    if not isinstance(value, str) and not is_name and hasattr(value, "__iter__"):
        value = ", ".join(str(part) for part in value)
    return str(value).replace("\r\n", "\n").replace("\r", "\n").strip("\0 \n")


def numbers_of(data_set: "Dataset", keyword: str) -> list[float]:
    """The values as numbers; [] where one is not a number."""
    try:
        value = data_set.get(keyword)
        if value is None or value == "":
            return []
        values = value if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
        return [float(number) for number in values]
    except VALUE_ERRORS:
        return []


def number_of(data_set: "Dataset", keyword: str) -> float | None:
    """The first value as a number; None where there is none."""
    numbers = numbers_of(data_set, keyword)
    return numbers[0] if numbers else None


def items_of(data_set: "Dataset", keyword: str) -> list["Dataset"]:
    """The items of a sequence; [] where there are none."""
    try:
        return list(data_set.get(keyword) or [])
    except VALUE_ERRORS:
        return []


def code_value(code: "Dataset") -> str:
    """Code Value, Long Code Value or URN Code Value (PS3.3 8.1)."""
    for keyword in ("CodeValue", "LongCodeValue", "URNCodeValue"):
        value = text_of(code, keyword)
        if value:
            return value
    return ""


def meaning_of(data_set: "Dataset", keyword: str) -> str:
    """The meaning of the first code of a sequence; without a meaning, its value."""
    codes = items_of(data_set, keyword)
    if not codes:
        return ""
    return text_of(codes[0], "CodeMeaning") or code_value(codes[0])
