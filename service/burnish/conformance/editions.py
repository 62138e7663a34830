"""Surface: the forms of a Conformance Statement that PS3.2 has had."""

from enum import StrEnum


class Edition(StrEnum):
    """The form of a statement: PS3.2 Annex A, or Annex N, which replaces it since 2024."""

    CLASSIC = "classic"
    OF_2026 = "2026"
