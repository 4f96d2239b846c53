"""`python -m majula.api.sdk.reference`: the reference of the Python client, written from its docstrings."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from typing import Any

from majula.api.sdk import Message, Retry, State, Statistics, Subscription, Trust, connect, run
from majula.api.sdk.administration import Administration
from majula.api.sdk.asking import Asking
from majula.api.sdk.attachment import Attachment
from majula.api.sdk.calling import Calling
from majula.api.sdk.client import Client
from majula.api.sdk.messaging import Messaging
from majula.api.sdk.observation import Observation
from majula.api.sdk.private import PrivateMessage
from majula.api.sdk.publishing import Publishing
from majula.operations import all_operations

_HEAD = """\
# The Python client, method by method

Generated from the docstrings by `python -m majula.api.sdk.reference`. How to use it: [guides/sdk.md](../guides/sdk.md); without
an event loop, the same methods block: [guides/sync.md](../guides/sync.md). Errors: [errors.md](errors.md).
"""

PARTS: tuple[tuple[str, type, frozenset[str]], ...] = (
    ("The connection", Attachment, frozenset({"close", "flush"})),
    ("The connection", Client, frozenset()),
    ("Topics", Publishing, frozenset()),
    ("Functions", Calling, frozenset()),
    ("Private messages and presence", Messaging, frozenset()),
    ("What can be seen", Observation, frozenset()),
    ("Tokens, audit, configuration", Administration, frozenset()),
    ("Any operation", Asking, frozenset()),
)
"""Heading, class, and which of its methods; none: all public ones."""

TYPES = (Subscription, Message, PrivateMessage, State, Statistics, Trust, Retry)
_INSIDE = {"end_subscription", "take", "end", "receive_some", "pause_s", "digest"}
_SECTION = re.compile(r"(Args|Raises|Returns|Attributes):$")
_ENTRY = re.compile(r"([\w, .`]+): (.*)")


def reference() -> str:
    """The whole document."""
    lines = [_HEAD, "## Beginning", "", *_function("majula.connect", connect), *_function("majula.run", run)]
    heading = ""
    for title, part, names in PARTS:
        if title != heading:
            lines += [f"## {title}", ""]
            heading = title
        for name, member in vars(part).items():
            if not name.startswith("_") and name not in _INSIDE and (not names or name in names):
                lines += _member(f"client.{name}", member)
    lines += ["## Types", ""]
    for kind in TYPES:
        lines += [f"### `majula.{kind.__name__}`" if kind is not PrivateMessage else f"### `{kind.__name__}`", ""]
        lines += _prose(inspect.getdoc(kind) or "")
        for name, member in vars(kind).items():
            if not name.startswith("_") and name not in _INSIDE and (callable(member) or isinstance(member, property)):
                lines += _member(f".{name}", member, level="####")
    lines += ["## Which operation a method asks", "", *_operations()]
    return "\n".join(lines).rstrip() + "\n"


def _member(name: str, member: Any, *, level: str = "###") -> list[str]:
    if isinstance(member, property):
        return [f"{level} `{name}`", "", *_prose(inspect.getdoc(member) or "")]
    return _function(name, member, level=level) if inspect.isfunction(member) else []


def _function(name: str, function: Callable[..., Any], *, level: str = "###") -> list[str]:
    signature = inspect.signature(function)
    taken = [one for one in signature.parameters.values() if one.name != "self"]
    shown = [_parameter(one) for one in taken]
    named = [at for at, one in enumerate(taken) if one.kind is one.KEYWORD_ONLY]
    if named:
        shown.insert(named[0], "*")
    returns = "" if signature.return_annotation is signature.empty else f" -> {signature.return_annotation}"
    word = (
        "await " if inspect.iscoroutinefunction(function) else "async for m in " if inspect.isasyncgenfunction(function) else ""
    )
    line = f"{word}{name}({', '.join(shown)}){returns}"
    if len(line) > 120:
        line = f"{word}{name}(\n" + "".join(f"    {one},\n" for one in shown) + f"){returns}"
    return [f"{level} `{name}`", "", "```text", line, "```", "", *_prose(inspect.getdoc(function) or "")]


def _parameter(one: inspect.Parameter) -> str:
    text = one.name + ("" if one.annotation is one.empty else f": {one.annotation}")
    return text if one.default is one.empty else f"{text} = {one.default!r}"


def _prose(text: str) -> list[str]:
    """A docstring as Markdown: sections become lists."""
    lines: list[str] = []
    is_list = is_section = False
    for line in text.splitlines():
        if _SECTION.match(line):
            lines += ["", f"{line.removesuffix(':').replace('Args', 'Arguments')}:", ""]
            is_section = True
            continue
        depth = len(line) - len(line.lstrip())
        entry = _ENTRY.match(line.strip()) if depth == (4 if is_section else 0) else None
        if entry and (is_section or entry[1].islower()):
            if not is_list and lines and lines[-1]:
                lines.append("")
            names = ", ".join(f"`{name.strip('` ')}`" for name in entry[1].split(","))
            lines.append(f"- {names}: {entry[2]}")
            is_list = True
        elif depth and (is_section or is_list):
            lines.append(f"  {line.strip()}" if is_list else line.strip())
        else:
            if is_section and line:
                lines.append("")
            is_list = is_section = False
            lines.append(line)
    joined = "\n".join([*lines, ""])
    return re.sub(r"\n{3,}", "\n\n", joined).split("\n")


def _operations() -> list[str]:
    lines = ["| method | operation | scope | HTTP |", "|---|---|---|---|"]
    for one in all_operations():
        if one.sdk:
            scope = f"`{one.scope}:{one.scope_field.removeprefix('=')}`" if one.scope else ""
            path = f"`{one.method} /majula/v1{one.path}`" if one.path else ""
            lines.append(f"| `{one.sdk}` | {one.name} | {scope} | {path} |")
    return lines


if __name__ == "__main__":
    sys.stdout.write(reference())
