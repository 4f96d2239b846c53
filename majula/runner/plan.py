"""From a node's configuration to its tree: which supervisors, which children with which settings, which listening sockets.

    supervisor:root (one_for_one)
    ├── config
    ├── telemetry
    ├── supervisor:control (one_for_one)   router, topic_manager, rpc_broker
    └── supervisor:data (one_for_one)      one gateway for each `majula_servers` entry

The typed settings of each child come from `majula.config.derive`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from majula import __version__
from majula.config import Gateway, LoadedConfig, NodeConfig
from majula.config.actor import ConfigActorSettings
from majula.config.derive import gateway_role, settings_of
from majula.config.opening import config_settings
from majula.messages.base import Role
from majula.messages.supervision import ChildSpec
from majula.runner.listeners import Listener
from majula.supervision import SupervisorSettings

SUPERVISOR = "majula.actors.supervisor.SupervisorActor"
ROOT: Role = "supervisor:root"

# What a gateway serves. Named here, because actors must not import the edges.
EDGES = ("majula.api.native:NativeEdge", "majula.api.http:HttpEdge")


GATEWAY = "majula.actors.gateway.GatewayActor"
CONTROL: Mapping[Role, str] = {
    "router": "majula.actors.router.RouterActor",
    "topic_manager": "majula.actors.topic_manager.TopicManagerActor",
    "rpc_broker": "majula.actors.rpc_broker.RpcBrokerActor",
}


KEEPING: Mapping[Role, str] = {"config": "majula.actors.config.ConfigActor"}
"""Below the root, before all others, and vital: without tokens and configuration nobody can take a permission back."""

OBSERVING: Mapping[Role, str] = {"telemetry": "majula.actors.telemetry.TelemetryActor"}
"""Below the root, before all that they observe; the node serves without them."""

_NOTHING = b"\x80"
"""An empty map: the settings of an actor that has none."""


class Plan(msgspec.Struct, frozen=True):
    """All that the runner builds.

    Args:
        root: settings of the root supervisor, with everything below in it.
        listeners: sockets to bind before anything starts.
        modules: to import before the first fork, so that no child does.
        roles: all that must run before the node is ready.
    """

    root: SupervisorSettings
    listeners: tuple[Listener, ...]
    modules: tuple[str, ...]
    roles: tuple[Role, ...]


def make_plan(
    config: NodeConfig,
    *,
    keeping: Mapping[Role, str] = KEEPING,
    observing: Mapping[Role, str] = OBSERVING,
    control: Mapping[Role, str] = CONTROL,
    gateway: str = GATEWAY,
    edges: tuple[str, ...] = EDGES,
    loaded: LoadedConfig | None = None,
) -> Plan:
    """The tree of `config`.

    Args:
        keeping: class path of each actor that owns what is on disk, by role.
        observing: class path of each actor that only looks on, by role.
        control: class path of each control actor, by role.
        gateway: class path of the gateways.
        edges: what they serve, `module:Class`.
        loaded: where `config` is from, so that it can change while the node runs.
    """
    gateways = tuple(gateway_role(entry) for entry in config.majula_servers)
    listeners = tuple(listener for entry in config.majula_servers for listener in _listeners(entry))
    settings = {
        role: msgspec.msgpack.encode(found) for role, found in settings_of(config, edges=edges, version=__version__).items()
    }
    keeper = (
        ConfigActorSettings(data_dir=config.data_dir)
        if loaded is None
        else config_settings(loaded, edges=edges, version=__version__)
    )
    kept = tuple(
        ChildSpec(role=role, actor=actor, config=msgspec.msgpack.encode(keeper), vital=True) for role, actor in keeping.items()
    )
    decided = tuple(ChildSpec(role=role, actor=actor, config=settings.get(role, _NOTHING)) for role, actor in control.items())
    looking_on = tuple(
        ChildSpec(role=role, actor=actor, config=settings.get(role, _NOTHING)) for role, actor in observing.items()
    )
    supervisors = (
        _supervisor("control", decided),
        _supervisor("data", tuple(_gateway(role, settings[role], listeners, gateway) for role in gateways)),
    )
    classes = [SUPERVISOR, *keeping.values(), *observing.values(), *control.values(), gateway]
    return Plan(
        root=SupervisorSettings(children=(*kept, *looking_on, *supervisors), is_root=True),
        listeners=listeners,
        modules=(*(path.rpartition(".")[0] for path in classes), *(edge.partition(":")[0] for edge in edges)),
        roles=(ROOT, *keeping, *observing, *(spec.role for spec in supervisors), *control, *gateways),
    )


def _supervisor(name: str, children: tuple[ChildSpec, ...]) -> ChildSpec:
    return ChildSpec(
        role=f"supervisor:{name}",
        actor=SUPERVISOR,
        config=msgspec.msgpack.encode(SupervisorSettings(children=children)),
        vital=True,
        # It stops its children one after the other, each within its own time; one second is for itself.
        shutdown_s=sum(child.shutdown_s for child in children) + 1.0,
    )


def _gateway(role: Role, settings: bytes, listeners: tuple[Listener, ...], actor: str) -> ChildSpec:
    names = tuple(listener.name for listener in listeners if listener.role == role)
    return ChildSpec(role=role, actor=actor, config=settings, vital_group="gateways", sockets=names)


def _listeners(entry: Gateway) -> list[Listener]:
    role = gateway_role(entry)
    has_tls = entry.tls is not None
    found = [Listener(name=f"http-{entry.port}", role=role, host=entry.bind, port=entry.port, has_tls=has_tls)]
    if (path := entry.native.unix_path) is not None:
        found.append(Listener(name=f"native-unix-{entry.port}", role=role, path=path))
    if (address := entry.native.tcp_address) is not None:
        name = f"native-tcp-{entry.port}"
        found.append(Listener(name=name, role=role, host=address[0], port=address[1], has_tls=has_tls))
    return found
