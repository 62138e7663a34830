"""Craft: sends a message to a receiver of any kind, and checks what a receiver needs."""

from collections.abc import Callable

from burnish.errors import InvalidSettings
from burnish.notify import command, connections, mail, webhook
from burnish.notify.message import OutgoingMessage, without_patients
from burnish.settings import NoticeReceiverSettings

_SENDERS: dict[str, Callable[[NoticeReceiverSettings, OutgoingMessage], None]] = {
    "webhook": webhook.post,
    "mail": mail.send_mail,
    "command": command.run,
}


def send(receiver: NoticeReceiverSettings, message: OutgoingMessage) -> None:
    """Send a message; returns once the receiver has taken it. Raises OperatorError."""
    if not receiver.patients:
        message = without_patients(message)
    _SENDERS[receiver.kind](receiver, message)


def check(receiver: NoticeReceiverSettings) -> None:
    """Raise InvalidSettings if a file of the receiver cannot be used. Nothing is sent."""
    if receiver.secret_file is not None:
        webhook.read_secret(receiver)
    if receiver.password_file is not None:
        connections.first_line(receiver, "password_file", receiver.password_file)
    if receiver.ca is not None:
        connections.tls_context(receiver)
    if receiver.kind == "command" and command.program(receiver) is None:
        raise InvalidSettings(
            f"[[notify.receiver]] {receiver.name}: there is no program {receiver.command[0]}",
            hint="command is a list: the path of an executable file, then its arguments",
        )
