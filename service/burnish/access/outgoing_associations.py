"""Ground: associations that Burnish requests through pynetdicom, in which no answer goes astray.

While a caller of pynetdicom waits for an answer, the association's own thread must rest: it takes
each message that it finds for a request of the peer, and drops answers. pynetdicom tells it to rest
and asks a flag whether it does; but between two operations the flag can be that of its last rest,
from which it has been woken already. On a busy machine the answer is then dropped now and then,
and the caller waits until its time-out.
"""

import threading
from typing import Any

from pynetdicom import evt
from pynetdicom.association import Association


class Rest(threading.Event):
    """Where an association's thread rests: who leaves it takes down the flag in the same moment.

    A rest that is ended and begun anew before the thread has woken up is one long rest.
    """

    def __init__(self, association: Association) -> None:
        super().__init__()
        self._association = association
        self._ends = threading.Condition()
        self._ended = True

    def is_set(self) -> bool:
        """Whether nobody asks the thread to rest."""
        return self._ended

    def set(self) -> None:
        """The thread may go on."""
        with self._ends:
            self._ended = True
            self._ends.notify_all()

    def clear(self) -> None:
        """The thread rests when it comes by next."""
        with self._ends:
            self._ended = False

    def wait(self, timeout: float | None = None) -> bool:
        """The thread's rest; how it ends is seen by whoever asks for the next one."""
        with self._ends:
            ended = self._ends.wait_for(self.is_set, timeout)
            self._association._is_paused = not ended
            return ended


def _install(event: evt.Event) -> None:
    event.assoc._reactor_checkpoint = Rest(event.assoc)


def why_none(association: Association) -> str:
    """Why there is no association with a peer that was asked for one, in words."""
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return f"the peer rejects the association: {answer.reason_str}"
    if answer is not None:
        return "the peer accepts none of the presentation contexts"
    if isinstance(association._reactor_checkpoint, Rest):
        return "the peer does not answer, or aborts, when asked for an association"
    return "there is no connection with the peer"


KEEP_ANSWERS: tuple[Any, Any] = (evt.EVT_CONN_OPEN, _install)
"""To be among the `evt_handlers` of each `AE.associate`."""
