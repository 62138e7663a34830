"""Ground: processes in which codecs run, which may crash on their input or want much memory."""

import ctypes
import logging
import os
import resource
import signal

#: The share of the machine's memory that all workers together may use.
_SHARE_OF_MEMORY = 0.75
#: What each worker may use at least, in bytes.
_LEAST_MEMORY = 1 << 29


def confine_codec_process(workers: int) -> None:
    """Prepare a process, one of so many, in which codecs run.

    It ends with its parent, has a limit on its memory, and logs nothing of what codecs report.
    """
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = max(_LEAST_MEMORY, int(_SHARE_OF_MEMORY * memory / workers))
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
