"""A65: what a program should not call, it does not call; each exception is argued here.

Two looks at the sources: bandit with all its tests but those in `SKIPPED`, and a search of our own for the words of `GATE`, which
also finds what bandit takes for harmless.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.test_secrets_compared import ROOT, files

SKIPPED = {
    "B101": "assert: states what holds by construction; what a peer sends is never asserted",
    "B105": "a text that is called token or secret: names of headers, variables and events; A62 looks for real ones",
    "B106": "the same as an argument: an empty text, for none",
    "B107": "the same as a default",
    "B404": "that subprocess is imported says nothing; B602 to B607 look at each call",
}

ARGUED = {
    ("actors/gateway.py", "B311"): "for the node's public function `randint`, seeded by `secrets`",
    ("majula/gateway/switch.py", "B311"): "numbers of flows: they have to differ, whoever knows one can do nothing with it (A15)",
    ("api/sdk/attachment.py", "B311"): "jitter, and numbers of flows as above",
    ("api/sdk/retry.py", "B311"): "jitter",
    ("api/cli/demo.py", "B603"): "no shell: our own interpreter and a path of our own",
    ("api/cli/node.py", "B606"): "no shell: our own interpreter, arguments as they were given",
    ("api/sync/generate.py", "B603"): "no shell: a tool of development, run by hand and in tests",
    ("api/cli/find.py", "B108"): "the user's directory below /tmp, whose owner and mode are checked by whoever makes or uses it",
    ("api/sdk/address.py", "B108"): "as above",
    ("majula/config/rundir.py", "B108"): "as above",
    ("majula/testing/node.py", "B108"): "a directory made by mkdtemp in it",
    ("majula/actorsystem/pickling.py", "B403"): "the one place that reads pickles: by an allow-list, see A59",
    ("majula/actorsystem/pickling.py", "B301"): "a system with the capability `plain_messages`, which a node never has",
    ("majula/config/reach.py", "B104"): "compared with, not bound to",
    ("majula/config/signaling_server.py", "B104"): "the default of a server for strangers, in a file that is only checked by now",
}

GATE = {
    "import": {"pickle", "cPickle", "dill", "marshal", "shelve", "cloudpickle", "xml", "telnetlib", "ftplib"},
    "call": {
        "eval", "exec", "compile", "__import__", "loads:pickle", "loads:marshal", "system", "popen", "getoutput", "md5", "sha1",
        "load:yaml", "full_load", "unsafe_load", "mktemp", "tempnam", "_create_unverified_context", "wrap_socket:ssl",
        "import_string",
    },
    "keyword": {"shell", "verify", "verify_ssl"},
    "name": {"CERT_NONE", "check_hostname", "PROTOCOL_TLSv1", "PROTOCOL_TLSv1_1", "PROTOCOL_SSLv3", "UnsafeLoader", "FullLoader"},
}  # fmt: skip

PASSED = {
    ("majula/actorsystem/pickling.py", "import pickle"): "see above",
    ("majula/actorsystem/pickling.py", "pickle.loads"): "see above",
    ("api/websocket/handshake.py", "hashlib.sha1"): "RFC 6455 wants it; it protects nothing there",
    ("majula/config/editing.py", "yaml.load"): "ruamel's round-trip reader, which builds no objects, behind the strict one",
    ("api/sdk/trust.py", "check_hostname"): "a pinned certificate is compared by its SHA-256 in place of a chain of names",
    ("api/sdk/trust.py", "CERT_NONE"): "as above; the comparison is made before a byte is sent",
}


def found_in(text: str) -> Iterator[str]:
    """What of `GATE` stands in a source."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                yield from (f"import {name.name}" for name in names if name.name.split(".")[0] in GATE["import"])
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in GATE["import"]:
                yield f"import {module}"
            case ast.Call(func=func, keywords=keywords):
                owner = func.value.id if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) else ""
                name = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
                is_method = name in ("eval", "exec", "compile", "__import__") and owner
                if (name in GATE["call"] and not is_method) or f"{name}:{owner}" in GATE["call"]:
                    yield f"{owner}.{name}" if owner else name
                for keyword in keywords:
                    wanted = keyword.arg == "shell"
                    if (
                        keyword.arg in GATE["keyword"]
                        and isinstance(keyword.value, ast.Constant)
                        and keyword.value.value is wanted
                    ):
                        yield f"{keyword.arg}={wanted}"
            case ast.Attribute(attr=name) if name in GATE["name"]:
                yield name


def test_a65_nothing_that_is_unsafe_is_called() -> None:
    found = {(str(path.relative_to(ROOT)), what) for path in files() for what in found_in(path.read_text())}
    assert found == set(PASSED)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import pickle", "import pickle"),
        ("from xml.etree import ElementTree", "import xml.etree"),
        ("eval(x)", "eval"),
        ("builtins.print(exec(y))", "exec"),
        ("run(a, shell=True)", "shell=True"),
        ("yaml.load(text)", "yaml.load"),
        ("get(url, verify=False)", "verify=False"),
        ("context.verify_mode = ssl.CERT_NONE", "CERT_NONE"),
        ("hashlib.md5(b'')", "hashlib.md5"),
        ("os.system('ls')", "os.system"),
    ],
)
def test_unsafe_call_is_found(text: str, what: str) -> None:
    assert list(found_in(text)) == [what]


@pytest.mark.parametrize(
    "text", ["re.compile(x)", "run(a, shell=False)", "yaml.safe_load(x)", "json.loads(x)", "get(u, verify=True)"]
)
def test_what_is_safe_is_passed(text: str) -> None:
    assert list(found_in(text)) == []


@pytest.mark.slow
def test_a65_bandit_finds_only_what_is_argued() -> None:
    pytest.importorskip("bandit", reason="bandit is of the extra `test`")
    folders = [str(ROOT / name) for name in ("majula", "actors", "api")]
    links = f"{ROOT}/majula/actors,{ROOT}/majula/api"
    command = [sys.executable, "-m", "bandit", "-q", "-r", *folders, "-x", links, "-f", "json", "-s", ",".join(SKIPPED)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    report = json.loads(done.stdout)
    assert report["errors"] == [] and report["metrics"]["_totals"]["loc"] > 20_000
    found = {(str(Path(one["filename"]).relative_to(ROOT)), one["test_id"]) for one in report["results"]}
    assert found == set(ARGUED)


def test_random_numbers_of_secrets_come_from_the_system() -> None:
    """Who draws from `random` draws no secret: no name like one stands in the same statement."""
    words = ("secret", "token", "password", "nonce", "salt", "key")
    for path in files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign) and "random." in (text := ast.unparse(node.value)):
                targets = " ".join(map(ast.unparse, node.targets)).lower()
                is_secret = any(word in targets for word in words)
                assert not is_secret, f"{path}: {targets} = {text}"
