"""Craft: sends a message by e-mail, through an SMTP server (RFC 5321)."""

import smtplib
import socket
import ssl
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, localtime

import structlog

from burnish import __version__
from burnish.errors import OperatorError
from burnish.notify.connections import first_line, in_words, time_limit, tls_context
from burnish.notify.message import OutgoingMessage
from burnish.settings import NoticeReceiverSettings

log = structlog.get_logger(__name__)


def send_mail(receiver: NoticeReceiverSettings, message: OutgoingMessage) -> None:
    """Send a message. Raises OperatorError if the server takes it for no address.

    If it takes it for some, the log names the others: another attempt would tell the first twice.
    """
    mail = as_mail(receiver, message)
    password = ""
    if receiver.password_file is not None:
        password = first_line(receiver, "password_file", receiver.password_file).decode(
            "utf-8", "replace"
        )
    context = None if receiver.encryption == "none" else tls_context(receiver)
    seconds = receiver.timeout.total_seconds()
    why = ""
    refused: dict[str, object] = {}
    open_sockets: list[socket.socket] = []
    with time_limit(seconds, lambda: open_sockets[-1] if open_sockets else None) as is_over:
        try:
            server = _connect(receiver, context, seconds, open_sockets)
            try:
                if receiver.user:
                    server.login(receiver.user, password)
                refused = dict(server.send_message(mail))
            finally:
                _leave(server)
        except smtplib.SMTPResponseException as error:
            why = f"the server answers {error.smtp_code}"
        except smtplib.SMTPRecipientsRefused as error:
            why = f"the server refuses {', '.join(sorted(error.recipients))}"
        except smtplib.SMTPNotSupportedError:
            why = "the server does not offer STARTTLS, or no way to sign in"
        except (OSError, smtplib.SMTPException, ValueError) as error:
            why = in_words(error, is_over=is_over(), seconds=seconds)
    if why:
        raise OperatorError(
            f"{receiver.host}:{receiver.mail_port}: {why}",
            hint="check host, port, encryption, user, password_file and the addresses",
        )
    if refused:
        log.warning("e-mail not for every address", receiver=receiver.name, refused=sorted(refused))


def as_mail(receiver: NoticeReceiverSettings, message: OutgoingMessage) -> EmailMessage:
    """The e-mail of a message. `Message-ID` is the same each time that it is sent."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = receiver.sender
    mail["To"] = ", ".join(receiver.to)
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(localtime())
    mail["Message-ID"] = f"<{message.id}@{receiver.sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody answers by a machine
    mail["X-Mailer"] = f"Burnish {__version__}"
    mail.set_content(message.text, cte="quoted-printable")
    return mail


def _connect(
    receiver: NoticeReceiverSettings,
    context: ssl.SSLContext | None,
    seconds: float,
    open_sockets: list[socket.socket],
) -> smtplib.SMTP:
    """A connection to the server, encrypted as the receiver says."""

    class Watched(smtplib.SMTP):
        def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
            connection = socket.create_connection((host, port), timeout)
            open_sockets.append(connection)
            if receiver.encryption == "tls" and context is not None:
                connection = context.wrap_socket(connection, server_hostname=host)
                open_sockets.append(connection)
            return connection

    server = Watched(receiver.host, receiver.mail_port, timeout=seconds)
    if receiver.encryption == "starttls" and context is not None:
        try:
            server.starttls(context=context)
        except BaseException:
            server.close()
            raise
        if server.sock is not None:
            open_sockets.append(server.sock)
    return server


def _leave(server: smtplib.SMTP) -> None:
    """End the session. The server has answered by then: what happens now changes nothing."""
    with suppress(OSError, smtplib.SMTPException):
        server.quit()
    server.close()
