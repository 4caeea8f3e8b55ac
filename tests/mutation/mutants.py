"""Every small mistake that could be made in a module, one at a time.

The usual operators of mutation testing (mutmut, cosmic-ray), on the syntax tree: comparisons,
arithmetic, logic, numbers, texts, arguments, returns, statements left out. Annotations, docstrings
and the texts of errors are left alone.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_NAMED = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "minimum": "maximum",
    "maximum": "minimum",
    "fmin": "fmax",
    "fmax": "fmin",
    "zeros": "ones",
    "ones": "zeros",
}
Skipped = (ast.Raise, ast.Import, ast.ImportFrom, ast.JoinedStr)


@dataclass(frozen=True, slots=True)
class Mutant:
    number: int
    name: str  # function: what became what; with a number where a function has several alike
    line: int
    outside: bool  # of all functions
    tree: ast.Module


def mutants(source: str) -> Iterator[Mutant]:
    """All of a module, in the order of its text."""
    tree = ast.parse(source)
    names: dict[str, int] = {}
    number = 0
    for place, parent, field, index, scope in _places(tree):
        for new in _changes(place):
            name = f"{scope}: {_short(place)} -> {_short(new)}"
            names[name] = names.get(name, 0) + 1
            suffix = f" #{names[name]}" if names[name] > 1 else ""
            _put(parent, field, index, new)
            ast.fix_missing_locations(tree)
            line, outside = getattr(place, "lineno", 0), not scope.endswith("()")
            yield Mutant(number, name + suffix, line, outside, copy.deepcopy(tree))
            number += 1
            _put(parent, field, index, place)


Place = tuple[ast.AST, ast.AST, str, int | None, str]


def _places(node: ast.AST, scope: str = "module") -> Iterator[Place]:
    """(node, parent, field, index in it, function) of all that may be changed."""
    if isinstance(node, ast.ClassDef):
        scope = node.name
    elif isinstance(node, ast.FunctionDef):
        scope = (f"{scope.removesuffix('()')}." if scope != "module" else "") + f"{node.name}()"
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns", "decorator_list", "bases", "type_params"}:
            continue
        if field in {"func", "args"} and _makes_no_rows(node):
            continue
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST) or isinstance(child, Skipped) or _is_text(child):
                continue
            yield child, node, field, index if isinstance(value, list) else None, scope
            yield from _places(child, scope)


def _makes_no_rows(node: ast.AST) -> bool:
    """zeros(0, …), which only says a type: ones would be the same, and so would one of them."""
    match node:
        case ast.Call(func=ast.Attribute(attr="zeros"), args=[ast.Constant(value=0), *_]):
            return True
    return False


def _is_text(node: ast.AST) -> bool:
    """A docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    yield from _of_operators(node)
    yield from _of_values(node)
    yield from _of_statements(node)


def _of_operators(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(ops=[op]):
            for other in _COMPARED[type(op)]:
                yield ast.Compare(node.left, [other()], node.comparators)
        case ast.BinOp():
            yield ast.BinOp(node.left, _COMPUTED[type(node.op)](), node.right)
        case ast.AugAssign():
            yield ast.AugAssign(node.target, _COMPUTED[type(node.op)](), node.value)
            yield ast.Pass()
        case ast.BoolOp(op=ast.And()):
            yield ast.BoolOp(ast.Or(), node.values)
        case ast.BoolOp(op=ast.Or()):
            yield ast.BoolOp(ast.And(), node.values)
        case ast.UnaryOp():
            yield node.operand


def _of_values(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() as value):
            yield ast.Constant(value + 1)
        case ast.Constant(value=str() as value):
            yield ast.Constant(value + "?")
        case ast.Name(id=name) if name in _NAMED:
            yield ast.Name(_NAMED[name], node.ctx)
        case ast.Attribute(attr=name) if name in _NAMED:
            yield ast.Attribute(node.value, _NAMED[name], node.ctx)
        case ast.Call():
            # a keyword that says yes or no is changed as a value
            for left_out in (k for k in node.keywords if not _is_yes_or_no(k.value)):
                kept = [keyword for keyword in node.keywords if keyword is not left_out]
                yield ast.Call(node.func, node.args, kept)
        case ast.Slice():
            if node.lower is not None:
                yield ast.Slice(None, node.upper, node.step)
            if node.upper is not None:
                yield ast.Slice(node.lower, None, node.step)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_yes_or_no(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, bool)


def _of_statements(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.IfExp():
            yield ast.IfExp(node.test, node.orelse, node.body)
        case ast.If():
            yield ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
        case ast.Return() if node.value is not None and not _is_none(node.value):
            yield ast.Return(None)
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()
        case ast.Expr(value=ast.Call() | ast.Yield() | ast.YieldFrom()):
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _short(node: ast.AST) -> str:
    """One line of it."""
    if isinstance(node, ast.If):
        return f"if {ast.unparse(node.test)}"
    text = " ".join(ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split())
    return text if len(text) <= 100 else text[:97] + "..."
