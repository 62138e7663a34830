"""The command line as processes: at a terminal, with a closed pipe, with a full disk."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from burnish.cli.watch import Surroundings
from burnish.errors import OutOfResources
from unit.cli.conftest import Installation, Run
from waiting import wait_until

_LEAVES_THE_SCREEN = b"\x1b[?1049l"


def environment(installation: Installation) -> dict[str, str]:
    names = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return {**names, "BURNISH_CONFIG": str(installation.config), "TERM": "xterm"}


class Terminal:
    """A command at a terminal of its own; `screen` is all that it has printed."""

    def __init__(self, installation: Installation, *arguments: str, columns: int = 80) -> None:
        self._master, slave = pty.openpty()
        self.resize(columns)
        self.process = subprocess.Popen(
            # a test run in the background ignores SIGINT, and so would the command
            ["env", "--default-signal=INT", sys.executable, "-m", "burnish", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(installation),
            start_new_session=True,
        )
        os.close(slave)
        os.set_blocking(self._master, False)
        self.screen = b""

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def shows(self, text: str) -> bool:
        """Whether the text is among what was printed until now."""
        with suppress(BlockingIOError, OSError):
            self.screen += os.read(self._master, 1 << 20)
        return text.encode() in self.screen

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)

        def has_ended() -> bool:
            self.shows("")
            return self.process.poll() is not None

        wait_until(has_ended, deadline=120, what="the end of the command")
        self.shows("")
        os.close(self._master)
        return self.process.returncode


@contextmanager
def at_terminal(installation: Installation, *arguments: str) -> Iterator[Terminal]:
    terminal = Terminal(installation, *arguments)
    try:
        yield terminal
    finally:
        terminal.process.kill()
        terminal.process.wait()


@pytest.fixture
def request_name(installation: Installation, run: Run) -> str:
    study = next(iter(installation.studies))
    options = ("--study", study, "--initiate", "--config", installation.config)
    done = run("request", "create", *options)
    assert done.code == 0, done.err
    return done.out.strip()


@pytest.mark.parametrize("names_request", [False, True])
def test_a_live_view_follows_the_terminal_and_leaves_it_as_it_was(
    installation: Installation, request_name: str, names_request: bool
) -> None:
    arguments = ["request", "watch", *([request_name] if names_request else [])]
    with at_terminal(installation, *arguments) as terminal:
        wait_until(lambda: terminal.shows(request_name), deadline=120, what="the request")
        advice = "nothing goes on until it is started"
        wait_until(lambda: terminal.shows(advice), deadline=120, what="the advice")
        # in a narrow window, the same sentence is broken elsewhere
        terminal.screen = b""
        terminal.resize(31)
        wait_until(
            lambda: terminal.shows("! The service does not run on\x1b[K"),
            deadline=120,
            what="the narrow view",
        )
        assert terminal.end() == 130
        assert _LEAVES_THE_SCREEN in terminal.screen
        assert request_name.encode() in terminal.screen.rpartition(_LEAVES_THE_SCREEN)[2]
        assert terminal.screen.rstrip().endswith(b"burnish: interrupted")
        assert b"Traceback" not in terminal.screen


def test_a_view_goes_on_when_the_database_is_away_and_comes_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    surroundings = Surroundings(tmp_path)

    def ask(question: Callable[[], int]) -> int | None:
        answer = surroundings.ask(question)
        surroundings.tell()
        return answer

    def is_away() -> int:
        raise OutOfResources("the database does not answer: connection refused")

    assert ask(is_away) is None
    assert ask(is_away) is None
    told = capsys.readouterr().err
    assert told.count("The database does not answer: connection refused; it is asked again.") == 1
    assert told.count("The service does not run on this machine") == 1
    assert ask(lambda: 7) == 7
    assert not any("database" in problem for problem in surroundings.problems)


def test_a_closed_pipe_ends_a_list_without_a_word(
    installation: Installation, request_name: str
) -> None:
    assert request_name
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "burnish", "instance", "list", "--limit", "1000"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=environment(installation),
        check=False,
    )
    os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 1


def test_output_that_has_no_room_is_told_with_its_exit_code(
    installation: Installation, request_name: str
) -> None:
    assert request_name
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "burnish", "request", "list", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(installation),
            check=False,
        )
    assert done.returncode == 8
    assert b"could not be written: No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_name_that_the_encoding_lacks_is_no_defect(installation: Installation) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "burnish", "request", "show", "山田"],
        capture_output=True,
        env={**environment(installation), "PYTHONIOENCODING": "latin-1"},
        check=False,
    )
    assert done.returncode == 4
    assert b"Traceback" not in done.stderr
    assert b"no request ??" in done.stderr


#: For each shell, a program that loads the completion and completes two beginnings.
SHELLS = {
    "bash": """
        eval "$(_BURNISH_COMPLETE=source_bash burnish)"
        complete -p burnish > /dev/null || exit 1
        COMP_WORDS=(burnish arc); COMP_CWORD=1; _burnish_completion burnish
        printf '%s\\n' "${COMPREPLY[@]}"
        COMP_WORDS=(burnish request show R0); COMP_CWORD=3; _burnish_completion burnish
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "fish": """
        _BURNISH_COMPLETE=source_fish burnish | source
        complete -C "burnish arc"
        complete -C "burnish request show R0"
    """,
    "zsh": """
        compdef() { echo "for $2" }
        _arguments() { }
        eval "$(_BURNISH_COMPLETE=source_zsh burnish)"
        _TYPER_COMPLETE_ARGS="burnish arc" _BURNISH_COMPLETE=complete_zsh burnish
        _TYPER_COMPLETE_ARGS="burnish request show R0" _BURNISH_COMPLETE=complete_zsh burnish
    """,
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_commands_and_requests(
    installation: Installation, request_name: str, shell: str, tmp_path: Path
) -> None:
    command = tmp_path / "bin" / "burnish"
    command.parent.mkdir()
    program = f"#!{sys.executable}\nfrom burnish.cli import main\nmain()\n"
    command.write_text(program, encoding="utf-8")
    command.chmod(0o755)
    inherited = environment(installation)
    paths = f"{command.parent}:{inherited['PATH']}"
    done = subprocess.run(
        [shell, "-c", SHELLS[shell]],
        capture_output=True,
        text=True,
        env={**inherited, "PATH": paths, "HOME": str(tmp_path)},
        check=False,
    )
    assert "archive" in done.stdout, done.stderr
    assert request_name in done.stdout, done.stderr
    assert "Traceback" not in done.stderr
