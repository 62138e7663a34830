"""What stages say is in every language: the catalogues agree with each other and with the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from burnish import errors, sentences
from burnish.request.states import FAILURES
from burnish.sentences import catalogue, key_of, translate
from burnish.web.problems import PROBLEMS

PACKAGE = Path(sentences.__file__).parents[1]
SAID = catalogue("said")
#: The modules whose texts pages show, because they are stored or because a page asks them.
MODULES = sorted(
    [
        *(PACKAGE / "request").glob("*.py"),
        *(PACKAGE / "notices").glob("*.py"),
        *(PACKAGE / "web" / "pages").glob("*.py"),
        *(PACKAGE / "burn").glob("*.py"),
        *(PACKAGE / "db" / name for name in ("devices.py", "queue.py")),
        *(PACKAGE / "write" / name for name in ("piece_state.py", "worker.py", "pipeline.py")),
        *(PACKAGE / name for name in ("accounts.py", "devices.py", "register.py", "lifecycle.py")),
        PACKAGE / "removal.py",
        PACKAGE / "plan" / "persist.py",
    ]
)
#: Texts that no page shows: programs or peers get them, or only the log and the command line.
NOT_ON_PAGES = re.compile(
    r"Storage Media File-Set|Referenced SOP|a Media Creation Request of that|Idempotency-Key"
    r"|use a new key|there are X1$|Use one of|no device is of kind|a folder cannot have the name"
    r"|X1 of X1 (has not been written|is not on the stick|is not in the drive)"
    r"|Affected SOP Instance UID"
    # their parts are chosen in the code; the catalogue has each whole text
    r"|the job X1 \(X1\)|X1 of X1 X1 no longer here|X1 X1 been received"
    r"|another process sends to this receiver|a moment is written as"
)
#: The texts of `burnish status`.
STATUS = ("request/health.py",)
ERRORS = {name for name in vars(errors) if name[0].isupper()}
CALLS = {"_result", "BurnResult", "tell", "pause", "note", "inform", "fail", "move", "Refusal"}
KEYWORDS = {"why", "remedy", "hint", "reason", "detail"}


def texts(path: Path) -> Iterator[str]:
    """The texts in a module that people may see, with X1 for each value."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or ast.unparse(node.func).startswith("log."):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        values = [word.value for word in node.keywords if word.arg in KEYWORDS]
        if name in ERRORS:
            values += node.args[:1]
        elif name in CALLS:
            values += node.args
        for value in values:
            text = sample(value)
            if " " in text and not text.isupper():
                yield text


def sample(node: ast.expr) -> str:
    """A text as it may be said; "" for what is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "X1" for part in node.values
        )
    return ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_what_a_stage_says_has_a_key(path: Path) -> None:
    if path.relative_to(PACKAGE).as_posix() in STATUS:
        return
    without_key = [
        text
        for text in texts(path)
        if not key_of(text) and not NOT_ON_PAGES.search(text) and translate(text, "de") == text
    ]
    assert not without_key


def test_the_scan_of_modules_finds_texts() -> None:
    all_texts = [text for path in MODULES for text in texts(path)]
    assert len(all_texts) > 150
    assert "the request is not held" in all_texts


def placeholders(text: str) -> list[str]:
    return sorted(set(re.findall(r"\{[a-z_]+\}", text)))


def test_german_has_every_text_with_placeholders_that_there_are() -> None:
    german = catalogue("de")
    assert set(german) == set(SAID)
    for key, text in SAID.items():
        assert german[key].strip(), key
        assert set(placeholders(german[key])) <= set(placeholders(text)), key


def test_english_has_other_words_only_for_texts_that_there_are() -> None:
    assert set(catalogue("en")) <= set(SAID)


@pytest.mark.parametrize("key", [key for key in SAID if not key.startswith("general.")])
def test_each_text_is_recognized(key: str) -> None:
    text = re.sub(r"\{[a-z_]+\}", "17", SAID[key])
    recognized = key_of(text)
    # some texts are said in several places
    assert re.sub(r"\{[a-z_]+\}", "17", SAID[recognized]) == text


def test_values_that_are_texts_are_translated_too() -> None:
    text = "device stick: /media/x does not exist"
    assert translate(text, "de") == "Gerät stick: /media/x gibt es nicht"
    assert translate("Device stick: /media/x does not exist.", "de") == (
        "Gerät stick: /media/x gibt es nicht."
    )
    held = "It is held by user anna (10.0.0.3): it was cancelled."
    assert translate(held, "de").startswith("Sie ist angehalten von Benutzer anna (10.0.0.3): ")
    two = "send the missing instances, then request again or `burnish request retry`; sign in"
    assert translate(two, "de").endswith("; melden Sie sich an")


def test_a_text_without_a_key_stays_as_it_is() -> None:
    assert translate("something new {x}", "de") == "something new {x}"
    assert translate("", "de") == ""


def test_failures_and_problems_have_keys() -> None:
    stated = [text for pair in FAILURES.values() for text in pair]
    stated += [kind.title for kind in PROBLEMS.values()]
    assert [text for text in stated if not key_of(text)] == []
