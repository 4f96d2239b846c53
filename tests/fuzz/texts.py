"""What people write, in files, on command lines and in URLs: it is read, or refused by a sentence."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qsl, quote

import msgspec

from majula.api.http.parameters import Parts
from majula.api.http.typed import typed_request
from majula.api.sdk.address import parse_address
from majula.auth import audit
from majula.auth.grants import grants_of
from majula.auth.ledger import decode_ledger, encode_ledger
from majula.auth.scopes import VERBS, covers, overlaps, parse_scope
from majula.auth.tokens import has_token, is_token, without_tokens
from majula.config.load import DEFAULT_NODE_FILE, Surroundings, read_node_config
from majula.config.values import READERS
from majula.errors import ConfigError, InvalidRequest, PermissionDenied
from majula.operations import Operation, all_operations
from majula.rpc.services import check_name
from majula.topics.subjects import check_pattern, check_publish, check_topic, from_key, matches, subject_key
from majula.wire import jsontext
from tests.fuzz import shapes
from tests.fuzz.engine import Decoder
from tests.fuzz.wire import JSON_WORDS

ROOT = Path(__file__).parents[2]


def text_of(data: bytes) -> str:
    """As it comes from a command line or a path: what is not UTF-8 stays, as halves of surrogates."""
    return data.decode("utf-8", "surrogateescape")


# --- files

_LINES = (
    "node_id: n1", "majula_servers:", "  - port: 18080", "    auth: token", "    auth: none", "    bind: 0.0.0.0",
    "    insecure: true",
    "    tls: {cert_file: a, key_file: b}", "    ip_allow: [10.0.0.0/8]", "    native: {tcp: 'off', unix: off}",
    "    hosts: [a.example]",
    "limits: {message_bytes: 1 MiB, messages_per_s: 5}", "log: {level: debug, levels: {router: info}}", "token: env:A",
    "token: x",
    "roles: {}", "  - 22:22", "x: 0123", "a: &a [*a]", "b: !!python/object/apply:os.system [ls]", "? [a]: b", "<<: {a: 1}",
    "data_dir: /tmp",
    "- - - - -", "{a: {b: {c: [", "'", '"\\x', "%YAML 9.9", "---", "...", "\ufeff", "a: |\n  b", "1e999: .inf", "=: =",
)  # fmt: skip
YAML_WORDS = tuple(
    word.encode()
    for word in ("&a ", "*a", "!!python/name:os.system ", "!<tag:yaml.org,2002:int> ", "<<", "? ", ": ", "- ", "\n  ",
                  "\t", "{", "}", "[", "]",
                 "|", ">", "'", '"', "\\U00110000", "\\x", "%TAG ! !", "---\n", "...\n", "0x1f", "1_000", "22:22", "~",
                 "yes", ".nan", "1e400",
                 "9" * 400, "\u2028", "\x85", "\x00", "\ufeff", "1" * 30 + "h", "file:/etc/passwd", "env:HOME",
                 "default_token", "x" * 3000)
)  # fmt: skip


@cache
def _around() -> Surroundings:
    return Surroundings(environment={"A": "x" * 40}, uid=1000, directory=Path(tempfile.gettempdir()), node_id="n1")


def grow_yaml(random: Random) -> bytes:
    """Some lines of a node's file."""
    if random.random() < 0.2:
        files = sorted((ROOT / "cluster_configs").rglob("*.yaml"))
        return random.choice([DEFAULT_NODE_FILE.encode(), *(path.read_bytes() for path in files)])
    return "\n".join(random.choices(_LINES, k=random.choice((2, 5, 12)))).encode("utf-8")


def feed_yaml(data: bytes) -> None:
    """A node's file: taken with everything filled in, or refused with a place for each reason."""
    try:
        loaded = read_node_config(data, "node.yaml", _around())
    except ConfigError as error:
        assert error.problems
        for problem in error.problems:
            name, line, column, _ = problem.split(":", 3)
            assert name == "node.yaml" and int(line) > 0 and int(column) > 0 and problem.isprintable(), problem
        return
    msgspec.json.encode(loaded.given)
    assert all(line.isprintable() for line in (*loaded.warnings, *loaded.refusals))


def grow_stored(random: Random) -> bytes:
    """A file of tokens, or of the audit."""
    scope = random.choice(("publish:a", "-publish:>", "*:*", "nope", "publish:", ""))
    token = {
        "id": shapes.text(random),
        "digest": "a" * 64,
        "scopes": [scope],
        "clients": [shapes.text(random)],
        "created_at": random.choice(shapes.FLOATS[:5]),
    }
    if random.random() < 0.5:
        return shapes.as_json({"version": 1, "tokens": [token] * random.randrange(3)})
    entry = {
        "number": random.choice(shapes.NUMBERS),
        "at": "2026-01-01T00:00:00Z",
        "who": "a",
        "what": "b",
        "detail": {"a": shapes.value(Any, random)},
    }
    return b"\n".join([shapes.as_json(entry)] * random.randrange(4)) + random.choice((b"\n", b"", b"{"))


def feed_stored(data: bytes) -> None:
    """Files that this node wrote, after an editor or a bad disk."""
    try:
        ledger = decode_ledger(data)
    except (ValueError, msgspec.DecodeError, RecursionError):
        pass
    else:
        encode_ledger(ledger)
        for record in ledger:
            assert grants_of(record.scopes)
    assert 0 <= audit.whole_bytes(data) <= len(data)
    audit.last_number(data)
    for entry in audit.newest(data, before=0, limit=16):
        audit.make_entry(1, 0.0, entry.who, entry.what, entry.detail)


# --- names, topics, scopes, tokens

_NAMES = (
    "publish:a.b",
    "-subscribe:pay.>",
    "*:*",
    "send:*",
    "admin:tokens",
    "a.b",
    "a.*.c",
    ">",
    "$SYS.>",
    "$SYS",
    "*",
    "mjl_" + "a" * 43,
    "x.mjl_" + "b" * 44,
)


def grow_name(random: Random) -> bytes:
    """Two names with a line between them."""
    return f"{random.choice((*_NAMES, shapes.text(random)))}\n{random.choice((*_NAMES, shapes.text(random)))}".encode(
        "utf-8", "replace"
    )


def feed_names(data: bytes) -> None:
    """Topics, patterns, scopes and tokens; what a scope covers is what it also has in common."""
    one, _, other = text_of(data).partition("\n")
    taken: dict[Callable[[str], str], bool] = {check_topic: False, check_pattern: False, check_publish: False}
    for check in taken:
        try:
            assert check(one) == one
            taken[check] = True
        except (InvalidRequest, PermissionDenied) as error:
            error.message.encode("utf-8", "surrogateescape")
    assert taken[check_topic] or not (taken[check_pattern] or taken[check_publish])
    if taken[check_pattern]:
        key = subject_key(one, pattern=True)
        assert from_key(key)[0] == one
        _compare(one, other)
    for read in (lambda text: check_name(text, what="client"), parse_scope, lambda text: grants_of((text,))):
        try:
            found = read(one)
        except InvalidRequest:
            continue
        if read is parse_scope:
            assert str(found) == one and parse_scope(str(found)) == found
    if is_token(one):
        assert has_token(one)
    for text in (one, other, text_of(data)):
        assert not has_token(without_tokens(text))


def _compare(pattern: str, topic: str) -> None:
    levels, names = tuple(pattern.split(".")), tuple(topic.split("."))
    try:
        check_topic(topic)
    except InvalidRequest:
        return
    assert covers(levels, names, pattern=False) == matches(pattern, topic)
    for grants in (grants_of((f"publish:{pattern}",)), grants_of((f"*:{pattern}",))) if len(pattern) < 200 else ():
        for verb in VERBS:
            grants.allows(verb, topic)
            grants.allows(verb, topic, pattern=True)
    try:
        check_pattern(topic)
    except InvalidRequest:
        return
    if covers(levels, names, pattern=True):
        assert overlaps(levels, names, pattern=True)


# --- addresses and what else stands in one field

_ADDRESSES = (
    "unix:/tmp/x", "majula://127.0.0.1:1", "majulas://[::1]:65535", "ws://a/b?c#d", "https://u:p@h", "127.0.0.1:80",
    "[::1]:80", "::1", "0x7f.1:1",
    "2130706433", "①②⑦.0.0.1", "10.0.0.0/33", "1m30s", "4 MiB", "1e9h", "https://a.example", "*", "off",
    "[::ffff:127.0.0.1%1]", "http://[", "ws://a:99999",
)  # fmt: skip


def grow_address(random: Random) -> bytes:
    return random.choice((*_ADDRESSES, shapes.text(random))).encode("utf-8", "replace")


def feed_addresses(data: bytes) -> None:
    """One field of a file, or an address on a command line: a value, or a sentence."""
    text = text_of(data)
    try:
        address = parse_address(text)
        assert "@" not in address.host
    except InvalidRequest as error:
        assert error.message
    for read in READERS.values():
        try:
            read(text)
        except ValueError as error:
            assert str(error)


# --- parameters of requests


@cache
def _operations() -> tuple[Operation, ...]:
    return tuple(operation for operation in all_operations() if operation.path)


def grow_parameters(random: Random) -> bytes:
    """Which operation, its query, and its JSON body."""
    number = random.randrange(len(_operations()))
    plain = shapes.struct(_operations()[number].request, random)
    fields = plain.items() if isinstance(plain, dict) else ()
    query = "&".join(f"{name}={quote(str(value)[:300])}" for name, value in fields if random.random() < 0.5)
    body = shapes.as_json({name: value for name, value in fields if random.random() < 0.7})
    return bytes((number,)) + query.encode() + b"\n" + body


def feed_parameters(data: bytes) -> None:
    """A typed request whose scope can be told, or a refusal."""
    operation = _operations()[(data[0] if data else 0) % len(_operations())]
    query, _, body = data[1:].partition(b"\n")
    try:
        texts = parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=1_000, errors="strict")
    except ValueError:
        return
    try:
        values = jsontext.decode(body) if body else {}
        request = typed_request(operation, Parts(values if isinstance(values, dict) else {}, texts), {}, nesting=64)
    except InvalidRequest as error:
        assert error.message
        return
    operation.scope_object(request)
    operation.role_of(request)
    msgspec.msgpack.encode(request)


DECODERS = (
    # PyYAML is written in Python: 64 KiB of brackets take half a second, in a thread or before a node starts.
    Decoder("yaml", feed_yaml, grow_yaml, YAML_WORDS, input_bytes=3_000),
    Decoder("stored", feed_stored, grow_stored, JSON_WORDS),
    Decoder("names", feed_names, grow_name, (b".", b"*", b">", b"$SYS", b"-", b":", b"mjl_", b"\x00", b"\xff", b"\xe2\x80\xa8")),
    Decoder(
        "addresses",
        feed_addresses,
        grow_address,
        (b"://", b"[", b"]", b":", b"@", b"%", b"/", b"?", b"#", b"\xef\xbc\x8e", b"xn--", b"9" * 5000),
    ),
    Decoder("parameters", feed_parameters, grow_parameters, (*JSON_WORDS, b"&", b"=", b"%ff", b"%00", b"+")),
)
