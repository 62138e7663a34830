"""Craft: sends a message by POST to a web address, signed as Standard Webhooks describes.

https://github.com/standard-webhooks/standard-webhooks: HMAC-SHA256 over the message id, the time
and the body, so that a receiver can tell who sent it, that nothing was changed, and that it is not
an old one that somebody sends again.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from burnish import __version__
from burnish.errors import InvalidSettings, OperatorError
from burnish.notify.connections import first_line, in_words, time_limit, tls_context
from burnish.notify.message import OutgoingMessage
from burnish.settings import NoticeReceiverSettings

#: What a secret may begin with; the rest is then in Base64.
_PREFIX = b"whsec_"
_LEAST_SECRET = 16
#: More of an answer is not read.
_LONGEST_ANSWER = 4096


def post(receiver: NoticeReceiverSettings, message: OutgoingMessage) -> None:
    """Send a message; any status of 200 to 299 says that it was taken. Raises OperatorError.

    No redirect is followed, and no proxy of the environment is used: the message goes where the
    configuration says, or nowhere.
    """
    body = json.dumps(message.as_json(), ensure_ascii=False).encode()
    sent_at = int(time.time())
    secret = read_secret(receiver)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": f"Burnish/{__version__}",
        "webhook-id": message.id,
        "webhook-timestamp": str(sent_at),
        "webhook-signature": f"v1,{signature(secret, message.id, sent_at, body)}",
    }
    status = _post(receiver, body, headers)
    if 300 <= status < 400:
        raise OperatorError(
            f"{_place(receiver)} answers with a redirect ({status}), which is not followed",
            hint="set url to the address that it leads to",
        )
    if not 200 <= status < 300:
        raise OperatorError(
            f"{_place(receiver)} answers {status}",
            hint="look at what the receiver says about it; 401 and 403 mean a wrong secret",
        )


def signature(secret: bytes, message_id: str, sent_at: int, body: bytes) -> str:
    """HMAC-SHA256 over `id.time.body`, in Base64."""
    signed = b".".join((message_id.encode(), str(sent_at).encode(), body))
    return base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def read_secret(receiver: NoticeReceiverSettings) -> bytes:
    """The key of the signatures, from the file; raises InvalidSettings."""
    assert receiver.secret_file is not None  # noqa: S101  a webhook has one
    line = first_line(receiver, "secret_file", receiver.secret_file)
    secret = line
    if line.startswith(_PREFIX):
        try:
            secret = base64.b64decode(line.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            secret = b""
    if len(secret) < _LEAST_SECRET:
        raise InvalidSettings(
            f"[[notify.receiver]] {receiver.name}: the secret in {receiver.secret_file} is shorter"
            f" than {_LEAST_SECRET} bytes, or no Base64 after whsec_",
            hint="make one with: openssl rand -base64 32 | sed s/^/whsec_/",
        )
    return secret


def _post(receiver: NoticeReceiverSettings, body: bytes, headers: dict[str, str]) -> int:
    """The status that the receiver answers."""
    parts = urlsplit(receiver.url)
    seconds = receiver.timeout.total_seconds()
    host = parts.hostname or ""
    connection: HTTPConnection
    if parts.scheme == "https":
        context = tls_context(receiver)
        connection = HTTPSConnection(host, parts.port, timeout=seconds, context=context)
    else:
        connection = HTTPConnection(host, parts.port, timeout=seconds)
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    with time_limit(seconds, lambda: connection.sock) as is_over:
        try:
            connection.request("POST", target, body, headers)
            answer = connection.getresponse()
            answer.read(_LONGEST_ANSWER)
            return answer.status
        except (OSError, HTTPException, ValueError) as error:
            why = in_words(error, is_over=is_over(), seconds=seconds)
            raise OperatorError(
                f"{_place(receiver)}: {why}",
                hint="make sure that the receiver runs, and that this machine can reach it",
            ) from None
        finally:
            connection.close()


def _place(receiver: NoticeReceiverSettings) -> str:
    """The address for messages: without path and query, which may hold secrets."""
    parts = urlsplit(receiver.url)
    return f"{parts.scheme}://{parts.netloc}"
