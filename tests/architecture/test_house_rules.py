"""The house rules that import-linter and ruff cannot check (`make check` runs those two).

docs/architecture.md explains the packages and their kinds.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow.service import DEFECT_EVENTS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "service" / "burnish"
MODULES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}
#: The package, the tests and the benchmarks.
SOURCES = [
    path
    for folder in (PACKAGE, ROOT / "tests", ROOT / "benchmarks")
    for path in folder.rglob("*.py")
]

#: The modules that may catch every exception, once each: they set work aside and go on.
CATCHES_ALL = {
    "cli/__init__.py",
    "receive/indexer.py",
    "schedule.py",
    "scp/ae.py",
    "web/live.py",
    "write/worker.py",
}
#: The kind of each package; the docstring of each of its modules begins with it.
KINDS = {
    "cli": "Surface",
    "conformance": "Surface",
    "scp": "Surface",
    "web": "Surface",
    "schedule": "Surface",
    "receive": "Stage",
    "request": "Stage",
    "plan": "Stage",
    "write": "Stage",
    "accounts": "Stage",
    "commitment": "Stage",
    "retention": "Stage",
    "compaction": "Stage",
    "spool_export": "Stage",
    "register": "Stage",
    "devices": "Stage",
    "contacts": "Stage",
    "measures": "Stage",
    "checks": "Stage",
    "notices": "Stage",
    "search": "Stage",
    "volume_downloads": "Stage",
    "removal": "Stage",
    "correction": "Stage",
    "recovery": "Stage",
    "supervisor": "Process",
    "roles": "Process",
    "offline": "Offline",
    "instance_header": "Craft",
    "dicomdir": "Craft",
    "transcode": "Craft",
    "content": "Craft",
    "contradictions": "Craft",
    "image": "Craft",
    "label": "Craft",
    "burn": "Craft",
    "verify": "Craft",
    "secure_files": "Craft",
    "notify": "Craft",
}
#: The one module that sleeps, for all that wait; it wakes often enough to see a shutdown.
SLEEPS = {"db/wakeup.py"}
#: Modules that belong to no kind.
OUTSIDE = {"__main__.py"}
MAXIMUM_FUNCTION = 50

#: Names of variables and parameters that do not say what they hold.
VAGUE_NAMES = {"one", "found", "made", "said"}

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])

each_module = pytest.mark.parametrize("module", list(MODULES))


def nodes(module: str) -> Iterator[ast.AST]:
    return ast.walk(MODULES[module])


@each_module
def test_functions_are_short(module: str) -> None:
    long_functions = {
        node.name: length
        for node in nodes(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > MAXIMUM_FUNCTION
    }
    assert not long_functions


@each_module
def test_the_docstring_of_a_module_begins_with_its_kind(module: str) -> None:
    if module in OUTSIDE or module.endswith("__init__.py"):
        return
    kind = KINDS.get(module.removesuffix(".py").split("/", maxsplit=1)[0], "Ground")
    assert (ast.get_docstring(MODULES[module]) or "").startswith(f"{kind}: ")


@each_module
def test_the_name_of_a_module_says_what_it_holds(module: str) -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "core", "base", "manager"}
    assert not vague & set(module.removesuffix(".py").split("/"))


def test_every_migration_has_a_number_of_its_own() -> None:
    numbers = [path.name[:4] for path in sorted(ROOT.glob("migrations/versions/*.py"))]
    assert numbers == [f"{number:04d}" for number in range(1, len(numbers) + 1)]


@each_module
def test_the_name_of_a_class_says_what_it_is(module: str) -> None:
    names = [node.name for node in nodes(module) if isinstance(node, ast.ClassDef)]
    assert not [name for name in names if re.search(r"(Manager|Helper|Utils?|Impl|Base)$", name)]


def test_the_name_of_a_class_is_used_once() -> None:
    modules_by_class: dict[str, list[str]] = {}
    for module in MODULES:
        for node in nodes(module):
            if isinstance(node, ast.ClassDef):
                modules_by_class.setdefault(node.name, []).append(module)
    ambiguous = {name: modules for name, modules in modules_by_class.items() if len(modules) > 1}
    assert not ambiguous


def test_the_name_of_a_variable_says_what_it_holds() -> None:
    vague = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name | ast.arg)
        and (name := node.arg if isinstance(node, ast.arg) else node.id) in VAGUE_NAMES
    ]
    assert not vague


@each_module
def test_only_history_changes_a_state(module: str) -> None:
    if module == "db/history.py":
        return
    assert not list(state_changes(module))


def state_changes(module: str) -> Iterator[str]:
    """Lines that set the state of a row: an assignment, a setattr, an UPDATE."""
    states = {"state", "execution_status"}
    for node in nodes(module):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if (
                    isinstance(target, ast.Attribute)
                    and target.attr in states
                    and not (isinstance(target.value, ast.Name) and target.value.id == "self")
                ):
                    yield f"line {node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Call):
            callee = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            named = {keyword.arg for keyword in node.keywords}
            if callee == "values" and states & named:
                yield f"line {node.lineno}: {ast.unparse(node)}"
            if isinstance(node.func, ast.Name) and node.func.id == "setattr":
                name = node.args[1]
                if isinstance(name, ast.Constant) and name.value in states:
                    yield f"line {node.lineno}: {ast.unparse(node)}"


@each_module
def test_only_the_listed_modules_catch_every_exception(module: str) -> None:
    broad = [
        node.lineno
        for node in nodes(module)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or {"Exception", "BaseException"} & names_in(node.type))
        and not raises_again(node)
    ]
    assert len(broad) <= (module in CATCHES_ALL), f"lines {broad}"


def raises_again(handler: ast.ExceptHandler) -> bool:
    """Whether a handler ends by raising the exception again: it only tidies up."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def names_in(expression: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}


@each_module
def test_only_the_command_line_prints(module: str) -> None:
    if module.startswith("cli/"):
        return
    prints = [
        node.lineno
        for node in nodes(module)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not prints


@each_module
def test_nothing_sleeps(module: str) -> None:
    if module in SLEEPS:
        return
    sleeps = [
        node.lineno
        for node in nodes(module)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "time.sleep"
    ]
    assert not sleeps, "wait for an event with a time-out, so that a shutdown can end the wait"


def test_the_flow_tests_know_each_log_event_of_a_defect() -> None:
    """A test that asserts the absence of an event must use the words of the package."""
    events = {
        node.args[0].value
        for module in MODULES
        for node in nodes(module)
        if isinstance(node, ast.Call) and logs_a_defect(node)
        if isinstance(node.args[0], ast.Constant)
    }
    assert {*events, "a process ended by itself"} == set(DEFECT_EVENTS)
    supervisor = ast.walk(MODULES["supervisor.py"])
    texts = {node.value for node in supervisor if isinstance(node, ast.Constant)}
    assert "a process ended by itself" in texts


def logs_a_defect(call: ast.Call) -> bool:
    """Whether a call logs an event with the traceback of an exception."""
    function = ast.unparse(call.func)
    keywords = {keyword.arg for keyword in call.keywords}
    return function == "log.exception" or (function == "log.error" and "exc_info" in keywords)


def test_each_migration_follows_the_one_before() -> None:
    """Two migrations with the same number would leave the database with two heads."""
    revisions = []
    for path in sorted((ROOT / "migrations" / "versions").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        revision = re.search(r'^revision\b.*= "(\d+)"$', text, re.MULTILINE)
        previous = re.search(r'^down_revision\b.*= (?:"(\d+)"|None)$', text, re.MULTILINE)
        assert revision is not None, path.name
        assert previous is not None, path.name
        assert path.name.startswith(f"{revision[1]}_"), path.name
        revisions.append((revision[1], previous[1]))
    numbers = [f"{number:04d}" for number in range(1, len(revisions) + 1)]
    assert revisions == list(zip(numbers, [None, *numbers[:-1]], strict=True))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_only_files_that_exist(document: Path) -> None:
    """Links, and code spans that look like the path of a module or directory of the package."""
    text = document.read_text(encoding="utf-8")
    missing = [
        link
        for link in re.findall(r"\]\(([^)#\s]+)\)", text)
        if "://" not in link and not (document.parent / link).exists()
    ]
    if document.name != "CHANGELOG.md":
        for path in re.findall(r"`([a-z_]+(?:/[a-z_0-9]+)*(?:/|\.py))`", text):
            places = (PACKAGE, ROOT, document.parent, ROOT / "tests/unit", ROOT / "benchmarks")
            made_by_demo = path.startswith("demo/")
            if not made_by_demo and not any((place / path).exists() for place in places):
                missing.append(path)
    assert not missing
