"""Ground: memory: when it is looked for what is not needed any more, and given back."""

import ctypes
import gc
from time import monotonic

_MALLOC_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)
_SELDOM = 30.0
_last = {"give_back": monotonic()}


def collect_seldom() -> None:
    """What is here stays, and need not be copied to be looked at by each process's collector,
    which would go through a large request's rows again and again while they are read.

    Whoever does this gives back by itself what it does not need: the collector hardly runs.
    """
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def give_back() -> None:
    """Each thread's allocator keeps what it once had, and the collector seldom runs by itself.

    To be called whenever there is a moment; it does its work every half a minute at most.
    """
    if monotonic() - _last["give_back"] < _SELDOM:
        return
    gc.collect()
    if _MALLOC_TRIM is not None:
        _MALLOC_TRIM(0)
    _last["give_back"] = monotonic()
