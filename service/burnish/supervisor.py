"""Process: the tree of processes: one supervisor, and a child process for each role."""

import ctypes
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import TYPE_CHECKING

import structlog

from burnish import roles
from burnish.access.association_limits import AssociationLimits
from burnish.burn import BURNERS
from burnish.db.wakeup import pause
from burnish.errors import OperatorError
from burnish.lifecycle import Custody
from burnish.memory import collect_rarely
from burnish.settings import Settings
from burnish.spool.segments_ahead import SegmentsAhead

if TYPE_CHECKING:
    from burnish.scp.ae import Listener

log = structlog.get_logger(__name__)

#: Seconds between two looks for children that have ended.
_CHECK = 0.2
#: Seconds from one start of a role to the next: a role that cannot run is not started in a loop.
_RESTART_PAUSE = 1.0
#: Seconds that children may take to stop, beyond the time that associations have to drain.
_STOP_MARGIN = 60.0
#: Seconds that a writer may take to stop while it burns a disc, which its end would spoil. The
#: slowest BD of two layers takes three hours, and is then read back. The systemd unit and the
#: compose file wait longer than that.
_LONGEST_PIECE = 6 * 3600.0
#: From <linux/prctl.h>: the signal that a process gets when its parent ends.
_PR_SET_PDEATHSIG = 1


@dataclass(eq=False, slots=True)
class _Child:
    """A role in a process of its own.

    Only receivers read certificates again on SIGHUP (`takes_reload`). A writer of a device that
    `burns` must not be killed: the disc would be spoiled.
    """

    name: str
    run: Callable[[], None]
    takes_reload: bool = False
    burns: bool = False
    process: BaseProcess | None = None
    started_at: float = 0.0


class Supervisor:
    """Runs all roles on one machine: starts them, restarts those that end, stops them.

    It has no connection to the database: an SQLite connection must not be carried over a fork.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._context = multiprocessing.get_context("fork")

    def run(self, ready: Callable[[int], None] | None = None) -> None:
        """Serve until SIGTERM or SIGINT.

        `ready` is called with the port once the service accepts associations.
        """
        # imported before the forks, so that all processes share one copy of the code in memory
        import burnish.schedule
        import burnish.write.worker  # noqa: F401
        from burnish.scp.ae import listen

        lock_descriptor = roles.lock(self._settings, "serve")
        roles.prepare(self._settings)
        roles.remove_leftovers(self._settings)
        roles.check_network(self._settings)
        # Security and label settings are needed only for some media, and nothing waits for the web
        # or for those who are told.
        # If they are wrong, the service still receives.
        optional = (roles.check_security, roles.check_labels, roles.check_web, roles.check_notify)
        for problem in roles.problems(self._settings, optional):
            log.error("check failed", why=str(problem), remedy=problem.hint)
        listeners = listen(self._settings)
        segments_ahead = roles.segments_ahead(self._settings)
        children = self._children(listeners, segments_ahead)
        self._handle_signals(children)
        collect_rarely()
        for child in children:
            self._start(child)
        ports = {"tls_port" if listener.tls else "port": listener.port for listener in listeners}
        log.info("ready", **ports, ae_title=self._settings.dicom.ae_title, pid=os.getpid())
        notify_systemd("READY=1")
        if ready is not None:
            ready(listeners[0].port)
        while not pause(self._stopping, _CHECK):
            for child in children:
                self._restart_if_ended(child)
        notify_systemd("STOPPING=1")
        for listener in listeners:
            listener.socket.close()
        self._stop(children)
        if segments_ahead is not None:
            segments_ahead.remove()
        os.close(lock_descriptor)
        log.info("stopped")

    def _children(
        self, listeners: "tuple[Listener, ...]", segments_ahead: SegmentsAhead | None = None
    ) -> list[_Child]:
        settings = self._settings
        receivers = settings.dicom.receivers or os.cpu_count() or 1
        association_limits = AssociationLimits(settings, receivers)
        children = [_Child("scheduler", partial(roles.run_scheduler, settings))]
        for device in settings.devices:
            run = partial(roles.run_writer, settings, device.name)
            burns = BURNERS[device.kind].custody is Custody.RUINED
            children.append(_Child(f"writer {device.name}", run, burns=burns))
        for number in range(receivers):
            run = partial(
                roles.run_receiver, settings, listeners, association_limits, number, segments_ahead
            )
            children.append(_Child(f"receiver {number + 1}", run, takes_reload=True))
        if segments_ahead is not None:
            run = partial(roles.run_segments, settings, segments_ahead, receivers)
            children.append(_Child("segments", run))
        if settings.web.enabled:
            children.append(_Child("web", partial(roles.run_web, settings)))
        return children

    def _handle_signals(self, children: list[_Child]) -> None:
        def stop(_number: int, _frame: FrameType | None) -> None:
            self._stopping.set()

        def reload(_number: int, _frame: FrameType | None) -> None:
            for child in children:
                if child.takes_reload and child.process and child.process.pid:
                    with suppress(ProcessLookupError):
                        os.kill(child.process.pid, signal.SIGHUP)

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGHUP, reload)

    def _start(self, child: _Child) -> None:
        child.process = self._context.Process(target=_become, args=(child,), name=child.name)
        # until a new process has handlers of its own, those of its supervisor would run in it
        stops = {signal.SIGTERM, signal.SIGINT}
        signal.pthread_sigmask(signal.SIG_BLOCK, stops)
        try:
            child.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)
        child.started_at = time.monotonic()

    def _restart_if_ended(self, child: _Child) -> None:
        process = child.process
        if process is None or process.is_alive():
            return
        if time.monotonic() - child.started_at < _RESTART_PAUSE:
            return
        log.error("a process ended by itself", role=child.name, exit_code=process.exitcode)
        self._start(child)

    def _stop(self, children: list[_Child]) -> None:
        """Tell all children at once to stop, wait for them, and kill those that do not stop.

        A writer that burns a disc may take as long as its device needs.
        """
        for child in children:
            if child.process is not None and child.process.is_alive():
                child.process.terminate()
        began_at = time.monotonic()
        longest = self._settings.dicom.drain_timeout.total_seconds() + _STOP_MARGIN
        while living := [child for child in children if child.process and child.process.is_alive()]:
            waited = time.monotonic() - began_at
            for child in living:
                if child.process and waited >= (_LONGEST_PIECE if child.burns else longest):
                    log.error("process killed because it does not stop", role=child.name)
                    child.process.kill()
                    child.process.join()
            wait([child.process.sentinel for child in living if child.process], _CHECK)


def _become(child: _Child) -> None:
    """Run the role of `child` in this new process, which ends when its supervisor ends."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        return
    threading.current_thread().name = child.name
    try:
        child.run()
    except OperatorError as error:
        log.error("role cannot run", role=child.name, why=str(error), remedy=error.hint)
        sys.exit(1)


def notify_systemd(state: str) -> None:
    """Tell systemd the state of the service if it started the service with Type=notify."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.connect("\0" + address[1:] if address.startswith("@") else address)
        notify.sendall(state.encode())
