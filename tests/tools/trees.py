"""The sources of the library as syntax trees, without what is for type checkers only."""

import ast
from collections.abc import Iterator
from pathlib import Path


def hints(node: ast.AST) -> bool:
    """True for `if False:`: it holds the names of type hints, and no compiler keeps it."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Constant) and not node.test.value


def walk(path: Path) -> Iterator[ast.AST]:
    """All nodes of a file that are code."""
    tree = ast.parse(path.read_text())
    tree.body = [node for node in tree.body if not hints(node)]
    return ast.walk(tree)
