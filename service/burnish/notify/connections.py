"""Craft: what webhook and e-mail share: TLS with verified certificates, time limits, secrets."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from burnish.errors import InvalidSettings
from burnish.file_access import denial, explain
from burnish.settings import NoticeReceiverSettings


def tls_context(receiver: NoticeReceiverSettings) -> ssl.SSLContext:
    """A context that verifies certificate and host name; raises InvalidSettings."""
    try:
        context = ssl.create_default_context(cafile=receiver.ca)
    except (OSError, ssl.SSLError) as error:
        reason = denial(receiver.ca) if receiver.ca else ""
        raise InvalidSettings(
            f"[[notify.receiver]] {receiver.name}: ca {receiver.ca} cannot be used:"
            f" {reason or error.strerror or error}",
            hint="ca is a PEM file with the authorities of the server's certificate",
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def first_line(receiver: NoticeReceiverSettings, key: str, path: Path) -> bytes:
    """The first line of a file with a secret; raises InvalidSettings.

    It is read for each message, so that a secret can be changed while the service runs.
    """
    place = f"[[notify.receiver]] {receiver.name}: {key}"
    try:
        line = path.read_bytes().partition(b"\n")[0].rstrip(b"\r")
    except OSError as error:
        raise InvalidSettings(
            f"{place} {explain(error, path)}", hint="the service must be able to read the file"
        ) from None
    if not line:
        raise InvalidSettings(
            f"{place} {path}: its first line is empty",
            hint="write the secret into the first line of the file",
        )
    return line


@contextmanager
def time_limit(
    seconds: float, connection: Callable[[], socket.socket | None]
) -> Iterator[Callable[[], bool]]:
    """Cut a connection off after `seconds`, however slowly the other side goes on answering.

    Yields a function that tells whether that has happened.
    """
    is_over = threading.Event()

    def cut_off() -> None:
        is_over.set()
        open_socket = connection()
        if open_socket is not None:
            with suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut_off)
    timer.daemon = True
    timer.start()
    try:
        yield is_over.is_set
    finally:
        timer.cancel()


def in_words(error: Exception, *, is_over: bool, seconds: float) -> str:
    """Why a connection failed, without what the other side may have written."""
    if is_over or isinstance(error, TimeoutError):
        return f"no answer in {seconds:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or 'no reason given'}"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"the connection ended early ({type(error).__name__})"
