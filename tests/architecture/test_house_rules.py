"""What import-linter and ruff cannot see of the house rules (`make check` runs those two)."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "service" / "burnish"
MODULES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}

#: Where any error at all is caught, once each: work is set aside there, never dropped.
CATCHES_ALL = {"schedule.py", "scp/ae.py", "write/worker.py"}
#: A module's docstring says first which kind of room it is in.
KINDS = {
    "cli": "Surface",
    "scp": "Surface",
    "web": "Surface",
    "schedule": "Surface",
    "receive": "Stage",
    "request": "Stage",
    "plan": "Stage",
    "write": "Stage",
    "commitment": "Stage",
    "retention": "Stage",
    "recovery": "Stage",
    "offline": "Offline",
    "instance_header": "Craft",
    "dicomdir": "Craft",
    "transcode": "Craft",
    "content": "Craft",
    "image": "Craft",
    "label": "Craft",
    "burn": "Craft",
    "verify": "Craft",
    "secure_files": "Craft",
}
#: The one module that sleeps, for all that wait; it wakes often enough to see a shutdown.
SLEEPS = {"db/wakeup.py"}
#: Files that belong to no room.
OUTSIDE = {"__main__.py", "supervisor.py", "roles.py"}
MAXIMUM_FUNCTION = 50

each_module = pytest.mark.parametrize("module", list(MODULES))


def nodes(module: str) -> Iterator[ast.AST]:
    return ast.walk(MODULES[module])


@each_module
def test_functions_are_short(module: str) -> None:
    long = {
        node.name: length
        for node in nodes(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > MAXIMUM_FUNCTION
    }
    assert not long


@each_module
def test_a_module_says_first_what_it_is(module: str) -> None:
    if module in OUTSIDE or module.endswith("__init__.py"):
        return
    kind = KINDS.get(module.removesuffix(".py").split("/", maxsplit=1)[0], "Ground")
    assert (ast.get_docstring(MODULES[module]) or "").startswith(f"{kind}: ")


@each_module
def test_a_module_is_named_for_what_it_holds(module: str) -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "misc", "core", "base", "manager"}
    assert not empty & set(module.removesuffix(".py").split("/"))


@each_module
def test_a_class_is_named_for_what_it_is(module: str) -> None:
    names = [node.name for node in nodes(module) if isinstance(node, ast.ClassDef)]
    assert not [name for name in names if re.search(r"(Manager|Helper|Utils?|Impl|Base)$", name)]


@each_module
def test_only_history_moves_a_state(module: str) -> None:
    if module == "db/history.py":
        return
    assert not list(moved_states(module))


def moved_states(module: str) -> Iterator[str]:
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
def test_only_the_listed_places_catch_everything(module: str) -> None:
    broad = [
        node.lineno
        for node in nodes(module)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or {"Exception", "BaseException"} & names_in(node.type))
        and not passes_on(node)
    ]
    assert len(broad) <= (module in CATCHES_ALL), f"lines {broad}"


def passes_on(handler: ast.ExceptHandler) -> bool:
    """Whether a handler ends by raising again what it caught: it tidies up, it does not catch."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def names_in(expression: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}


@each_module
def test_only_the_command_line_prints(module: str) -> None:
    if module.startswith("cli/"):
        return
    printed = [
        node.lineno
        for node in nodes(module)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not printed


@each_module
def test_nothing_waits_for_time_to_pass(module: str) -> None:
    if module in SLEEPS:
        return
    sleeps = [
        node.lineno
        for node in nodes(module)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "time.sleep"
    ]
    assert not sleeps, "wait for an event with a time-out, so that a shutdown can cut it short"
