"""`python api/sync/generate.py`: write the verbs of the synchronous client from those of the asyncio client.

Each class of `MODULES` becomes a class of the same name: a method that is awaited there blocks here, a future there is one for
threads here, an async iterator an iterator, a callback runs in a callback thread. Ruff lays the text out.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

MODULES = ("asking", "publishing", "calling", "messaging", "observation", "administration", "client")
HERE = Path(__file__).parent
SOURCES = HERE.parent / "sdk"

BY_HAND = {"rpc", "end_subscription"}
"""Not generated: the decorator, which `Attached` has, and what only a `Subscription` calls."""

WORDS = {
    "plain or async; None": "a plain function; None",
    "a plain function, called as messages are read, which must not block, or an `async def`, awaited for one after": "a plain\n"
    "        function, called for one after",
    "Cancelling the task": "Ctrl-C",
    "made by `majula.connect`": "made by `majula.sync.connect`",
    "Every method may be cancelled. Use it from the event loop that connected it.": "Any thread may\n    use it.",
    "plain (must not block the loop) or async": "a plain function; it runs in a callback thread",
    "a future to await, to pass to `asyncio.wait`, or to cancel": "a future, as those of `concurrent.futures`",
}
"""What docstrings say otherwise here."""

_Method = ast.FunctionDef | ast.AsyncFunctionDef

_HEAD = '''\
"""`{name}` of the synchronous client."""

# Written by `python api/sync/generate.py` from majula/api/sdk/{module}.py: change that one.

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from majula.api.sdk.asking import ASK_S
from majula.api.sync.attached import Attached
from majula.api.sync.subscription import Subscription
'''


def generate(module: str) -> str:
    """The text of one module."""
    tree = ast.parse((SOURCES / f"{module}.py").read_text())
    (found,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    bases = ", ".join(ast.unparse(base).replace("Attachment", "Attached") for base in found.bases)
    lines = [_HEAD.format(name=found.name, module=module), *_imports(tree), f"class {found.name}({bases}):", _docstring(found)]
    for node in found.body:
        if isinstance(node, _Method) and not node.name.startswith("_") and node.name not in BY_HAND:
            lines += ["", *_method(node)]
    return _laid_out("\n".join(lines) + "\n", HERE / f"{module}.py")


def _imports(tree: ast.Module) -> list[str]:
    """The source's, from this side where there is a namesake. Ruff takes out what is not needed."""
    found: list[str] = []
    for node in tree.body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        node.names = [alias for alias in node.names if alias.name not in {"ASK_S", "Subscription", "annotations"}]
        if isinstance(node, ast.ImportFrom) and (node.module or "").removeprefix("majula.api.sdk.") in MODULES:
            node.module = str(node.module).replace(".sdk.", ".sync.")
        if node.names:
            found.append(ast.unparse(node))
    return found


def _method(node: _Method) -> list[str]:
    _, *others = node.args.posonlyargs + node.args.args
    returns = ast.unparse(node.returns) if node.returns else "None"
    given = [_argument(one, returns) for one in others]
    given += [f"{one.arg}={_argument(one, returns)}" for one in node.args.kwonlyargs]
    name = f"self._async.{node.name}"
    decorators = [f"    @{ast.unparse(one)}" for one in node.decorator_list]
    if decorators:
        value = name
    elif returns.startswith("AsyncIterator"):
        returns, value = returns.removeprefix("Async"), f"self._iterated({name}({', '.join(given)}))"
    elif isinstance(node, ast.AsyncFunctionDef):
        value = f"self._thread.wait({name}({', '.join(given)}))"
    elif returns == "Call" or returns.startswith("asyncio.Future"):
        returns = "Future[Any]" if returns == "Call" else returns.removeprefix("asyncio.")
        value = f"self._thread.future({', '.join([name, *given])})"
    else:
        value = f"self._thread.call({', '.join([name, *given])})"
    if returns == "Subscription":
        value = f"self._subscribed({value})"
    head = f"    def {node.name}({ast.unparse(node.args)}) -> {returns}:"
    return [*decorators, head, _docstring(node), f"        {'' if returns == 'None' else 'return '}{value}"]


def _argument(one: ast.arg, returns: str) -> str:
    kind = ast.unparse(one.annotation) if one.annotation else ""
    if "Callback" in kind or "Callable" in kind:
        way = "_told" if "Error" in kind else "_run_handed" if returns == "Subscription" else "_handed"
        return f"self.{way}({one.arg})"
    return one.arg


def _docstring(node: ast.ClassDef | _Method) -> str:
    literal = node.body[0]
    assert isinstance(literal, ast.Expr), f"{node.name} has no docstring"
    indent = "    " if isinstance(node, ast.ClassDef) else "        "
    text = str(ast.literal_eval(literal.value))
    for there, here in WORDS.items():
        text = re.sub(r"\s+".join(map(re.escape, there.split())), here, text)
    return f'{indent}"""{text}"""'


def _laid_out(text: str, path: Path) -> str:
    for step in (
        ["check", "--fix-only", "--select", "I,F401,F811", "--config", "lint.isort.combine-as-imports=false"],
        ["format"],
    ):
        command = [sys.executable, "-m", "ruff", *step, "--quiet", "--stdin-filename", str(path), "-"]
        done = subprocess.run(command, input=text, text=True, capture_output=True, check=True)  # noqa: S603  # our own words
        text = done.stdout
    return text


def main() -> None:
    """Write all modules."""
    for module in MODULES:
        (HERE / f"{module}.py").write_text(generate(module))


if __name__ == "__main__":
    main()
