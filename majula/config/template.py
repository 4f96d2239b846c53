"""Commented templates, made from the schema: `python -m majula.config.template node` (or `signaling`) prints one; a test compares
the files in `cluster_configs/templates` with it and reads every setting back. `first_node_file` is what `majula init` writes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

from msgspec import Struct, inspect

from majula.config.reference import shown_bytes, shown_number, shown_type, unwrapped
from majula.config.schema import Channel, Gateway, NativePort, NodeConfig, RaftGroup, Tls
from majula.config.signaling_server import SignalingServerConfig

_WIDTH = 110
_NODE = "node1"

_HEAD = """\
## {what}
##
## Lines with two # explain. Lines with one # are settings with their defaults, or with an example where there is none:
## to change one, take its # away, and that of the key above it. A key that is not here is refused.
## `majula config check FILE` says what is wrong with a file and what becomes reachable by it.
"""

_EXAMPLES: Mapping[type, tuple[Mapping[str, Any], ...]] = {
    NodeConfig: (
        {
            "node_id": _NODE,
            "token": "file:mesh.token",
            "data_dir": f"./majula-data/{_NODE}",
            "run_dir": f"/run/majula/{_NODE}",
        },
    ),
    NativePort: ({"unix": "/run/majula/native.sock"},),
    Gateway: (
        {
            "port": 18080,
            "auth": "token",
            "hosts": ["node.example.org"],
            "origins": ["https://app.example.org"],
            "limits": {"message_bytes": 1 << 20},
        },
    ),
    Channel: (
        {"type": "server", "protocol": "tcp", "listen_addr": "127.0.0.1:29090", "tcp": {}},
        {"type": "client", "protocol": "kcp", "remote_addr": "192.0.2.1:30090", "peer_id": "node2", "kcp": {}},
    ),
    RaftGroup: ({"group": "group-1", "peers": [_NODE, "node2", "node3"], "dbpath": "./raft-group-1"},),
    Tls: ({"cert_file": "node.crt", "key_file": "node.key"},),
}
"""For keys without a default that could be written down: one example an entry of a list."""

_WHOLE = frozenset({Channel})
"""Structs whose keys depend on each other: their examples name all that belong together, and no other is shown."""


def node_template() -> str:
    """Every setting of a node. As it stands it starts one with one gateway on this machine, for clients with a token."""
    head = _HEAD.format(what="A node of Majula: every setting.")
    return head + _render(NodeConfig, {"majula_servers": [{"port": 18080, "auth": "token"}]})


def first_node_file(*, node_id: str = "", data_dir: str = "", port: int = 18080, token_file: str = "") -> str:
    """The first file of a node: the template, with what is given in force.

    Args:
        node_id: empty: it is made at the first start.
        data_dir: empty: the default.
        port: of the gateway; its clients need a token.
        token_file: where the secret that the nodes of the mesh share stands; empty: there is none.
    """
    active: dict[str, Any] = {"majula_servers": [{"port": port, "auth": "token"}]}
    if node_id:
        active["node_id"] = node_id
    if data_dir:
        active["data_dir"] = data_dir
    if token_file:
        active["token"] = f"file:{token_file}"
    return _HEAD.format(what="A node of Majula.") + _render(NodeConfig, active).replace(_NODE, node_id or _NODE)


def signaling_template() -> str:
    """Every setting of a signaling server."""
    return _HEAD.format(what="A signaling server of Majula: every setting.") + _render(SignalingServerConfig, {})


def _render(kind: type[Struct], active: Mapping[str, Any]) -> str:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return "\n".join(_struct(info, active, (_EXAMPLES.get(kind) or ({},))[0], indent=0, is_active=True)) + "\n"


def _struct(
    info: inspect.StructType, active: Mapping[str, Any], example: Mapping[str, Any], *, indent: int, is_active: bool
) -> Iterator[str]:
    """The lines of one mapping."""
    for field in info.fields:
        key = field.encode_name
        if info.cls in _WHOLE and key not in example:
            continue
        kind, extra, meaning = unwrapped(field.type)
        if indent == 0:
            yield ""
        yield from _words(_said(kind, extra, meaning), indent)
        is_here = is_active and key in active
        value = active[key] if is_here else example.get(key, _default(field))
        yield from _setting(key, kind, extra, value, indent=indent, is_active=is_here)


def _setting(
    key: str, kind: inspect.Type, extra: Mapping[str, Any], value: Any, *, indent: int, is_active: bool
) -> Iterator[str]:
    mark, space = ("" if is_active else "#"), " " * indent
    struct = _struct_of(kind)
    if struct is None:
        yield f"{mark}{space}{key}: {_written(kind, extra, value)}"
    elif isinstance(kind, inspect.VarTupleType):
        yield f"{mark}{space}{key}:"
        entries = value or [{}] * len(_EXAMPLES[struct.cls])
        for entry, example in zip(entries, _EXAMPLES[struct.cls], strict=True):
            yield from _entry(struct, entry, example, indent=indent + 2, is_active=is_active)
    else:
        yield f"{mark}{space}{key}:"
        example = (_EXAMPLES.get(struct.cls) or ({},))[0]
        if isinstance(value, dict) and value:
            # A mapping of which only these keys are shown: the others stand elsewhere in the file.
            inner = inspect.StructType(struct.cls, tuple(found for found in struct.fields if found.encode_name in value))
            yield from _struct(inner, value, value, indent=indent + 2, is_active=is_active)
        else:
            yield from _struct(struct, {}, example, indent=indent + 2, is_active=False)


def _entry(
    struct: inspect.StructType, active: Mapping[str, Any], example: Mapping[str, Any], *, indent: int, is_active: bool
) -> Iterator[str]:
    """One entry of a list: the first setting begins with `- `."""
    is_begun = False
    for line in _struct(struct, active, example, indent=indent + 2, is_active=is_active):
        if is_begun or line.startswith("##"):
            yield line
        else:
            at = line.index(" " * (indent + 2)) + indent
            yield f"{line[:at]}- {line[at + 2 :]}"
            is_begun = True


def _words(text: str, indent: int) -> Iterator[str]:
    for line in wrap(text, _WIDTH - indent, break_long_words=False, break_on_hyphens=False):
        yield f"##{' ' * indent} {line}"


def _said(kind: inspect.Type, extra: Mapping[str, Any], meaning: str) -> str:
    if _struct_of(kind) is not None:
        return meaning
    words = f"{meaning} {shown_type(kind, dict(extra))[0].upper()}{shown_type(kind, dict(extra))[1:]}."
    if extra.get("shown"):
        words += f" Default: {extra['shown']}."
    return words + (" Not active yet." if extra.get("inactive") else "")


def _default(field: inspect.Field) -> Any:
    if field.default_factory is dict:
        return {}
    return None if field.required else field.default


def _struct_of(kind: inspect.Type) -> inspect.StructType | None:
    """The struct that a value is, or is a list of; None: it is neither."""
    if isinstance(kind, inspect.StructType):
        return kind
    if isinstance(kind, inspect.VarTupleType):
        return _struct_of(unwrapped(kind.item_type)[0])
    if isinstance(kind, inspect.UnionType):
        return next((found for member in kind.types if (found := _struct_of(member)) is not None), None)
    return None


def _written(kind: inspect.Type, extra: Mapping[str, Any], value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        if extra.get("kind") == "size" and value:
            return shown_bytes(value)
        return f"{shown_number(value)}s" if extra.get("kind") == "duration" and value else shown_number(value)
    # JSON is what every reader of YAML takes for the same.
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


if __name__ == "__main__":
    sys.stdout.write(signaling_template() if sys.argv[1:] == ["signaling"] else node_template())
