"""Configuration: a node's YAML file becomes typed values, or a list of all that is wrong with it, each with its line and column.

Read in this order: `schema` is every key with meaning, bounds and default; `load` is the way from a file to a `LoadedConfig`;
`document` reads YAML strictly into located values; `decode` walks schema and values together; `values` reads the scalars
(durations, sizes, addresses); `checks` holds the rules between values and the warnings; `rundir` says where sockets live; `files`
reads and writes what lies around a configuration; `plain` is one as plain values, without its secrets; `derive` makes each role's
settings of it. Then a node that runs: `live` is its configuration and every way to change it, `compare` tells what is different
and what can be taken over, `editing` changes the operator's file, `revisions` keeps what it was, `reach` says what listens where;
`opening` begins it, `desk` and `actor` are the words of the config actor.
`check` says what there is to say of a file that nobody runs, `signaling_server` is the schema of that server's file, `reference`
and `template` print schemas as documentation and as files to begin with. `files`, `load` and `revisions` alone touch the file
system.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from majula.config.load import DEFAULT_NODE_FILE, LoadedConfig, load_node_config
    from majula.config.rundir import MAX_SOCKET_PATH_BYTES, default_run_dir, run_root
    from majula.config.schema import Gateway, Limits, Log, NativePort, NodeConfig, SlowConsumer

__all__ = [
    "DEFAULT_NODE_FILE",
    "MAX_SOCKET_PATH_BYTES",
    "Gateway",
    "Limits",
    "LoadedConfig",
    "Log",
    "NativePort",
    "NodeConfig",
    "SlowConsumer",
    "default_run_dir",
    "load_node_config",
    "run_root",
]

_HOMES = {
    **dict.fromkeys(("DEFAULT_NODE_FILE", "LoadedConfig", "load_node_config"), "majula.config.load"),
    **dict.fromkeys(("MAX_SOCKET_PATH_BYTES", "default_run_dir", "run_root"), "majula.config.rundir"),
    **dict.fromkeys(("Gateway", "Limits", "Log", "NativePort", "NodeConfig", "SlowConsumer"), "majula.config.schema"),
}


def __getattr__(name: str) -> Any:
    """Loaded at first use: a client knows this room's `operations`, and must not load a YAML reader for them."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'majula.config' has no attribute {name!r}")
    return getattr(import_module(home), name)
