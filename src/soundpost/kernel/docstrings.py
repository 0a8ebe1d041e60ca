"""A module's source with its docstrings cut to their first paragraphs, as a kernel carries it. Never bundled."""

import ast


def shortened(source: str) -> str:
    """The same program in fewer bytes; comments stay, and every statement keeps its line."""
    lines = source.splitlines(keepends=True)
    found = (docstring for node in ast.walk(ast.parse(source)) if (docstring := _docstring(node)) is not None)
    for docstring in sorted(found, key=lambda node: node.lineno, reverse=True):
        first, last = docstring.lineno - 1, docstring.end_lineno or docstring.lineno
        blank = next((line for line in range(first, last) if not lines[line].strip()), None)
        if blank is not None:
            lines[blank - 1 : last] = [lines[blank - 1].rstrip() + '"""\n', *["\n"] * (last - blank)]
    return "".join(lines)


def _docstring(node: ast.AST) -> ast.Expr | None:
    """The statement that documents a module, a class or a function."""
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or not node.body:
        return None
    first = node.body[0]
    if not isinstance(first, ast.Expr) or not isinstance(first.value, ast.Constant):
        return None
    return first if isinstance(first.value.value, str) else None
