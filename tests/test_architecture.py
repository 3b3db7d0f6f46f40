"""The rules of the house, checked: who imports whom, how files are named and sized, and what is never written."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ["benchmarks", "contract", "models", "trainer", "service", "winnow"]
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TREES = {str(path.relative_to(ROOT)): ast.parse(path.read_bytes()) for path in FILES}
MOST_LINES = 300
NO_NAME = re.compile(r"manager|helper|utils?\b|handler|processor|engine", re.IGNORECASE)
UNPICKLERS = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def modules_of(package: str) -> list[str]:
    paths = (path.relative_to(ROOT).with_suffix("") for path in FILES if path.is_relative_to(ROOT / package))
    return [".".join(path.parts).removesuffix(".__init__") for path in paths]


def definitions(body: list[ast.stmt], within: str) -> Iterator[tuple[str, Definition]]:
    """Give the classes and functions of a body, with the members of its classes; not what functions hold inside."""
    for node in body:
        if isinstance(node, Definition):
            yield f"{within}.{node.name}", node
        if isinstance(node, ast.ClassDef):
            yield from definitions(node.body, f"{within}.{node.name}")


ALL_DEFINITIONS = [found for path, tree in TREES.items() for found in definitions(tree.body, path)]


def loaded_after(*modules: str) -> set[str]:
    """Return the top-level packages that a fresh process holds once it has imported `modules`."""
    code = f"import sys, {', '.join(modules)}; print(*{{name.split('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_the_import_rules_hold() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    assert "0 broken" in run.stdout


@pytest.mark.parametrize(
    ("modules", "never"),
    [
        (modules_of("contract"), {"torch", "onnx", "onnxruntime", "fastapi", "starlette", "uvicorn"}),
        (["service.app"], {"torch", "onnx", "models", "trainer", "winnow"}),
        (["winnow.client"], {"torch", "onnx", "onnxruntime", "fastapi", "service", "trainer", "models", "pyarrow"}),
        (modules_of("models"), {"contract", "trainer", "service", "winnow", "redis", "pydantic", "structlog"}),
    ],
    ids=["contract", "service", "client", "models"],
)
def test_a_fresh_process_loads_only_what_its_part_needs(modules: list[str], never: set[str]) -> None:
    loaded = loaded_after(*modules)
    assert {module.split(".")[0] for module in modules} <= loaded
    assert not never & loaded


@pytest.mark.parametrize("package", ["contract", "service", "trainer"])
def test_an_init_file_holds_no_code(package: str) -> None:
    for path, tree in TREES.items():
        if path.startswith(f"{package}/") and path.endswith("__init__.py"):
            assert all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in tree.body), path


def test_no_file_is_longer_than_one_idea() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES}
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def test_names_say_what_a_thing_is() -> None:
    assert [path for path in TREES if NO_NAME.search(path)] == []
    assert [
        where for where, node in ALL_DEFINITIONS if isinstance(node, ast.ClassDef) and NO_NAME.search(node.name)
    ] == []


def test_every_file_says_what_it_owns() -> None:
    assert [path for path, tree in TREES.items() if tree.body and not ast.get_docstring(tree)] == []


def test_every_public_thing_has_a_docstring() -> None:
    public = [(where, node) for where, node in ALL_DEFINITIONS if "._" not in where]
    assert len(public) > 100
    assert [where for where, node in public if not ast.get_docstring(node)] == []


def imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    return {node.module.split(".")[0]} if isinstance(node, ast.ImportFrom) and node.module else set()


def unpickles(node: ast.AST) -> bool:
    """Whether a node reads a format that can run code: pickle and its kin, torch.load, arrays of objects."""
    if UNPICKLERS & imported(node):
        return True
    if not isinstance(node, ast.Call):
        return False
    may_pickle = any(
        keyword.arg == "allow_pickle" and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
        for keyword in node.keywords
    )
    return may_pickle or ast.unparse(node.func) in {"torch.load", "pd.read_pickle", "pandas.read_pickle"}


def test_nothing_that_can_run_code_is_read_from_a_file() -> None:
    assert [f"{path}:{node.lineno}" for path, node in nodes() if unpickles(node)] == []


def swallows(node: ast.AST) -> bool:
    """Whether a node catches everything and does nothing about it."""
    if not isinstance(node, ast.ExceptHandler):
        return False
    is_broad = node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"}
    return is_broad and all(isinstance(statement, ast.Pass) for statement in node.body)


def test_no_error_is_swallowed() -> None:
    assert [f"{path}:{node.lineno}" for path, node in nodes() if swallows(node)] == []


def nodes() -> Iterator[tuple[str, ast.expr | ast.stmt | ast.excepthandler]]:
    """Give every node that stands on a line, with its file."""
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.expr | ast.stmt | ast.excepthandler):
                yield path, node


@pytest.mark.parametrize(
    ("code", "is_caught"),
    [
        ("import pickle", True),
        ("from pickle import loads", True),
        ("torch.load(path)", True),
        ("np.load(path, allow_pickle=True)", True),
        ("np.load(path, allow_pickle=flag)", True),
        ("np.load(path, allow_pickle=False)", False),
        ("torch.save(state, path)", False),
        ("try:\n    f()\nexcept Exception:\n    pass", True),
        ("try:\n    f()\nexcept OSError:\n    pass", False),
    ],
)
def test_the_rules_catch_what_they_are_for(code: str, is_caught: bool) -> None:
    assert any(unpickles(node) or swallows(node) for node in ast.walk(ast.parse(code))) is is_caught
