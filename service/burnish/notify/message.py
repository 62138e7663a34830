"""Craft: one message to people: its subject and text in their language, and its JSON."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from burnish import __version__, sentences
from burnish.vocabulary import NoticeCause, NoticePhase

#: The items that a text lists; the JSON has all.
_ITEMS_IN_TEXT = 50
_LONGEST_SUBJECT = 160
_FOLDER = Path(__file__).with_name("languages")


@dataclass(frozen=True, slots=True)
class MessageItem:
    """One beginning or end that a message tells.

    `subject` names the request or device, or says which limit of the disk. `outcome` is what became
    of it, at its end. `url` is the page about it, "" if nobody can open it. `patients` are names
    (PN, PS3.5 6.2) and IDs; None unless the receiver may know them.
    """

    notice: int
    cause: NoticeCause
    phase: NoticePhase
    subject: str
    request: str
    device: str
    began_at: datetime
    ended_at: datetime | None
    info: str
    reason: str
    remedy: str
    outcome: str
    url: str
    patients: tuple[tuple[str, str], ...] | None = None


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message as it goes to one receiver.

    `id` stays the same when the message is sent again: a receiver that has seen it can ignore it.
    Without items it is a test. `site` is the AE title of the service.
    """

    id: str
    site: str
    language: str
    items: tuple[MessageItem, ...]
    url: str = ""

    @property
    def subject(self) -> str:
        """The subject in one line of printable characters."""
        if len(self.items) == 1:
            subject = _headline(self.items[0], self.language)
        elif self.items:
            subject = _text(self.language, "subject.collected", count=len(self.items))
        else:
            subject = _text(self.language, "subject.test")
        return _printable(f"[Burnish {self.site}] {subject}")[:_LONGEST_SUBJECT]

    @property
    def text(self) -> str:
        """The whole message in lines of plain text."""
        if not self.items:
            lines = [_text(self.language, "text.test")]
        else:
            lines = []
            for item in self.items[:_ITEMS_IN_TEXT]:
                lines += [*_item_lines(item, self.language), ""]
            left = len(self.items) - _ITEMS_IN_TEXT
            if left > 0:
                lines += [_text(self.language, "text.more", count=left), ""]
        if self.url:
            lines.append(_text(self.language, "text.page", url=self.url))
        lines.append(_text(self.language, "text.id", id=self.id))
        return "\n".join(lines) + "\n"

    def as_json(self) -> dict[str, Any]:
        """The members that a webhook and a command get."""
        return {
            "id": self.id,
            "kind": "notices" if self.items else "test",
            "site": self.site,
            "version": __version__,
            "subject": self.subject,
            "text": self.text,
            "url": self.url,
            "notices": [_item_json(item, self.language) for item in self.items],
        }


def without_patients(message: OutgoingMessage) -> OutgoingMessage:
    """The same message for a receiver that must not know patients."""
    return replace(message, items=tuple(replace(item, patients=None) for item in message.items))


@cache
def catalogue(language: str) -> Mapping[str, Mapping[str, str]]:
    """The texts of a language, in tables."""
    with (_FOLDER / f"{language}.toml").open("rb") as file:
        return tomllib.load(file)


def _text(language: str, key: str, **values: object) -> str:
    table, _, name = key.partition(".")
    return catalogue(language)[table][name].format(**values)


def _headline(item: MessageItem, language: str) -> str:
    cause = f"{item.cause}_{item.subject}" if item.cause is NoticeCause.DISK else str(item.cause)
    return _text(language, f"{item.phase}.{cause}", subject=item.subject)


def _item_lines(item: MessageItem, language: str) -> list[str]:
    def stated(key: str, text: str) -> str:
        return _text(language, f"text.{key}", text=_printable(sentences.translate(text, language)))

    lines = [_headline(item, language)]
    if item.phase is NoticePhase.BEGUN:
        lines.append(_text(language, "text.since", time=_local(item.began_at)))
        lines += [stated("reason", item.reason)] if item.reason else []
        lines += [stated("remedy", item.remedy)] if item.remedy else []
    else:
        ended_at = item.ended_at or item.began_at
        period = {"since": _local(item.began_at), "until": _local(ended_at)}
        lines.append(_text(language, "text.period", **period))
        lines += [stated("outcome", item.outcome)] if item.outcome else []
    for name, patient_id in item.patients or ():
        lines.append(
            _text(language, "text.patient", name=_person(name), patient_id=_printable(patient_id))
        )
    lines += [item.url] if item.url else []
    return lines


def _item_json(item: MessageItem, language: str) -> dict[str, Any]:
    members = {
        "notice": item.notice,
        "cause": str(item.cause),
        "phase": str(item.phase),
        "headline": _printable(_headline(item, language)),
        "request": item.request or None,
        "device": item.device or None,
        "began_at": item.began_at.astimezone(UTC).isoformat(),
        "ended_at": item.ended_at.astimezone(UTC).isoformat() if item.ended_at else None,
        "execution_status_info": item.info or None,
        "reason": item.reason,
        "remedy": item.remedy,
        "outcome": item.outcome,
        "url": item.url or None,
    }
    if item.patients is not None:
        members["patients"] = [
            {"patient_name": name, "patient_id": patient_id} for name, patient_id in item.patients
        ]
    return members


def _printable(text: str) -> str:
    """The text in one line: what is not printable could begin another header or line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _person(name: str) -> str:
    """A person name for reading: Doe, Jane."""
    first_group = name.split("=", 1)[0] or name
    parts = [part for part in first_group.split("^") if part]
    return _printable(", ".join([parts[0], " ".join(parts[1:3])]) if parts[1:] else "".join(parts))


def _local(moment: datetime) -> str:
    """A point in time in the time zone of this machine, with its offset."""
    return moment.astimezone().isoformat(sep=" ", timespec="minutes")
