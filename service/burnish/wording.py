"""Ground: numbers in the messages that people read."""


def quantity(count: int, noun: str) -> str:
    """A number and its noun in the right form: "1 instance", "2 instances"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
