"""Stage: sends the messages that are due, to each receiver in a thread of its own."""

import os
import secrets
import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime

import structlog

from burnish import notify
from burnish.db.session import Database
from burnish.errors import OperatorError, OutOfResources, StaleLease
from burnish.notices import outbox
from burnish.settings import NoticeReceiverSettings, Settings

log = structlog.get_logger(__name__)


class Sender:
    """Sends what is due. A receiver that is slow or away delays nothing but its own messages."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._receivers = {receiver.name: receiver for receiver in settings.notify.receiver}
        self._waiting = database.question(outbox.waiting_deliveries())
        self._owner = f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(max(1, len(self._receivers)), thread_name_prefix="notices")
        self._under_way: dict[str, Future[None]] = {}

    def tick(self) -> None:
        """Begin to send what is due, and return without waiting for it."""
        self._remove_finished()
        if not self._waiting.is_true():
            return
        with self._database.reading() as session:
            names = outbox.due(session, self._settings, datetime.now(UTC))
        for name in names:
            if name not in self._under_way:
                self._under_way[name] = self._pool.submit(self.send_all, self._receivers[name])

    def send_all(self, receiver: NoticeReceiverSettings) -> None:
        """Send messages to one receiver until nothing is due, or it does not take one."""
        while not self._stopping.is_set():
            with self._database.writing() as session:
                claimed = outbox.claim(
                    session, self._settings, receiver, owner=self._owner, now=datetime.now(UTC)
                )
            if claimed is None or not self._send(receiver, claimed):
                return

    def wait(self) -> None:
        """Wait until what was begun has ended."""
        wait(list(self._under_way.values()))

    def close(self) -> None:
        """End after the attempts that are under way."""
        self._stopping.set()
        self._pool.shutdown(cancel_futures=True)

    def _send(self, receiver: NoticeReceiverSettings, claimed: outbox.ClaimedMessage) -> bool:
        """Send one message and record how that went; whether the receiver has taken it."""
        fields = {"receiver": receiver.name, "message": claimed.message.id}
        try:
            notify.send(receiver, claimed.message)
        except OperatorError as error:
            with self._database.writing() as session:
                is_sent_again = outbox.not_delivered(
                    session, self._settings, claimed, str(error), now=datetime.now(UTC)
                )
            event = "notice not sent" if is_sent_again else "notice given up"
            log.error(event, **fields, why=str(error), remedy=error.hint)
            return False
        with self._database.writing() as session:
            outbox.delivered(session, claimed, now=datetime.now(UTC))
        log.info("notice sent", **fields, notices=len(claimed.message.items))
        return True

    def _remove_finished(self) -> None:
        for name, attempt in list(self._under_way.items()):
            if not attempt.done():
                continue
            del self._under_way[name]
            error = attempt.exception()
            if isinstance(error, OutOfResources | StaleLease):
                log.error("notice postponed", receiver=name, why=str(error))
            elif error:
                log.error("notices ended by a defect", receiver=name, exc_info=error)
