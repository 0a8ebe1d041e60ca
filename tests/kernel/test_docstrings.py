"""Docstrings cut short: soundpost/kernel/docstrings.py."""

import ast
from pathlib import Path

import pytest

from soundpost.kernel.docstrings import shortened

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "soundpost"
MODULES = sorted(PACKAGE.rglob("*.py"))


def program(source: str) -> str:
    """The syntax tree of a source with its lines, each docstring as its first paragraph."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            node.body[0].value.value = ast.get_docstring(node).split("\n\n")[0]
    return f"{ast.dump(tree)} {[node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt)]}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_shortened_module_is_the_same_program_with_first_paragraphs(path: Path) -> None:
    """Nothing but the further paragraphs of docstrings is gone."""
    source = path.read_text("utf-8")
    assert program(source) == program(shortened(source))


def test_shortened_docstring_keeps_its_first_paragraph_alone() -> None:
    """Summary and comments stay; a docstring of one paragraph and other strings are not touched."""
    source = '''"""One.

Two.
"""

TEXT = """a

b"""


def f():
    """First
    of f.

    Args:
        none.
    """
    return 1  # why


def g():
    """Only."""
'''
    expected = '''"""One."""




TEXT = """a

b"""


def f():
    """First
    of f."""




    return 1  # why


def g():
    """Only."""
'''
    assert expected == shortened(source)
