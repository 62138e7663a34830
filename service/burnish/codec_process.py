"""Ground: processes in which codecs run, which may crash on their input or want much memory."""

import ctypes
import logging
import os
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import connection, parent_process

#: The share of the machine's memory that all workers together may use.
_SHARE_OF_MEMORY = 0.75
#: What each worker may use at least, in bytes.
_LEAST_MEMORY = 1 << 29


def confine_codec_process(workers: int, most_memory: int | None = None) -> None:
    """Prepare a process, one of so many, in which codecs run.

    It ends with the process that has started it, has a limit on its memory, and logs nothing of
    what codecs report. The limit is `most_memory` bytes, or a share of the machine's memory.
    """
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    # Its parent is the forkserver, which stays as long as it has workers. So a thread watches the
    # process that asked for it; a codec that never lets a thread run ends with its parent.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    threading.Thread(target=_end_with_owner, name="owner", daemon=True).start()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = most_memory or max(_LEAST_MEMORY, int(_SHARE_OF_MEMORY * memory / workers))
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Raises RuntimeError where a codec written in Rust panics.

    Its PanicException is no Exception, and cannot be sent from one process to another: damaged RLE
    would end whoever decodes it.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise RuntimeError("a codec failed on its input") from None
        raise


def _end_with_owner() -> None:
    owner = parent_process()
    if owner is not None:
        connection.wait([owner.sentinel])
        os._exit(1)
