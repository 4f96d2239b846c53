"""From a node's configuration to the typed settings of each role: what a child is started with, and what it is told when the
configuration changes while it runs. One function for both, so that they cannot differ.
"""

from __future__ import annotations

import msgspec

from majula.config.schema import Gateway, NodeConfig
from majula.gateway.settings import GatewayLimits, GatewaySettings
from majula.messages.base import Role
from majula.telemetry.settings import TelemetrySettings
from majula.topics.retained import RetainedSettings


def settings_of(config: NodeConfig, *, edges: tuple[str, ...] = (), version: str = "") -> dict[Role, msgspec.Struct]:
    """The settings of every role that has any.

    Args:
        edges: what the gateways serve, `module:Class`. Only a start needs it; a gateway that runs keeps its own.
        version: of Majula, likewise.
    """
    gateways = tuple(gateway_role(entry) for entry in config.majula_servers)
    found: dict[Role, msgspec.Struct] = {
        "telemetry": TelemetrySettings(
            version=version, data_dir=config.data_dir, level=config.log.level, levels=config.log.levels
        ),
        "topic_manager": RetainedSettings(limit_bytes=config.limits.retained_bytes),
    }
    for entry in config.majula_servers:
        found[gateway_role(entry)] = _gateway(entry, gateways, edges, version)
    return found


def gateway_role(entry: Gateway) -> Role:
    """The role of the gateway that an entry of `majula_servers` describes."""
    return f"gateway:{entry.port}"


def _gateway(entry: Gateway, gateways: tuple[Role, ...], edges: tuple[str, ...], version: str) -> GatewaySettings:
    return GatewaySettings(
        port=entry.port,
        bind=entry.bind,
        edges=edges,
        http_socket=f"http-{entry.port}",
        native_socket=f"native-unix-{entry.port}" if entry.native.unix_path is not None else "",
        native_tcp_socket=f"native-tcp-{entry.port}" if entry.native.tcp_address is not None else "",
        hosts=entry.hosts,
        origins=entry.origins,
        gateways=gateways,
        limits=_limits(entry, len(gateways)),
        version=version,
        auth=entry.auth,
        cert_file=entry.tls.cert_file if entry.tls is not None else "",
        key_file=entry.tls.key_file if entry.tls is not None else "",
        ip_allow=entry.ip_allow,
    )


def _limits(entry: Gateway, gateways: int) -> GatewayLimits:
    given, slow = entry.limits, entry.limits.slow_consumer
    return GatewayLimits(
        message_bytes=given.message_bytes,
        subscriptions=given.subscriptions_per_client,
        registrations=given.registrations_per_client,
        pending_calls=given.pending_calls_per_client,
        connections=given.connections,
        header_s=given.header_s,
        header_bytes=given.header_bytes,
        body_s=given.body_stall_s,
        nesting=given.nesting_depth,
        queue_bytes=slow.limit_bytes,
        queue_messages=slow.limit_messages,
        queue_age_s=slow.age_s,
        slow_policy=slow.policy,
        silent_s=slow.stalled_s,
        messages_per_s=given.messages_per_s,
        bytes_per_s=given.bytes_per_s,
        controls_per_s=given.controls_per_s,
        # Gateways do not count for each other: that would be a message between actors for each message of a client.
        gateway_messages_per_s=given.node_messages_per_s / gateways,
        gateway_bytes_per_s=given.node_bytes_per_s / gateways,
        loop_lag_ms=given.loop_lag_ms,
        memory_bytes=given.memory_bytes,
    )
