"""Ground: numbers in the messages that people read."""

from datetime import timedelta


def quantity(count: int, noun: str) -> str:
    """A number and its noun in the right form: "1 instance", "2 instances"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def format_duration(value: timedelta) -> str:
    """A duration as it is written in the configuration file: 500ms, 90s, 24h."""
    seconds = value.total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds and seconds % length == 0:
            return f"{seconds // length:.0f}{unit}"
    return f"{seconds * 1000:.15g}ms"
