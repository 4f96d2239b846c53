"""The configuration becomes a tree whose every child has its settings."""

from __future__ import annotations

import msgspec

from majula.config import Gateway, Limits, NativePort, NodeConfig, SlowConsumer
from majula.config.actor import ConfigActorSettings
from majula.gateway.settings import GatewaySettings
from majula.messages.supervision import ChildSpec
from majula.runner.plan import Plan, make_plan
from majula.supervision import SupervisorSettings, validate
from majula.topics.retained import RetainedSettings


def config(*gateways: Gateway) -> NodeConfig:
    return NodeConfig(node_id="n1", majula_servers=gateways)


def below(plan: Plan, role: str) -> tuple[ChildSpec, ...]:
    (spec,) = [child for child in plan.root.children if child.role == role]
    return msgspec.msgpack.decode(spec.config, type=SupervisorSettings).children


def gateway(**fields: object) -> Gateway:
    native = NativePort(unix="/run/n.sock")
    return Gateway(**({"port": 18080, "native": native} | fields))  # type: ignore[arg-type] # fields by name


def test_every_supervisor_of_the_tree_is_valid() -> None:
    plan = make_plan(config(gateway(), gateway(port=18081)))
    validate(plan.root)
    for child in plan.root.children:
        if child.role.startswith("supervisor:"):
            validate(msgspec.msgpack.decode(child.config, type=SupervisorSettings))


def test_both_supervisors_are_vital() -> None:
    vital = {child.role for child in make_plan(config(gateway())).root.children if child.vital}
    assert vital >= {"supervisor:control", "supervisor:data"}


def test_owner_of_tokens_and_configuration_is_vital_and_starts_first() -> None:
    first = make_plan(NodeConfig(node_id="n1", data_dir="/data", majula_servers=(gateway(),))).root.children[0]
    assert (first.role, first.vital) == ("config", True)
    assert msgspec.msgpack.decode(first.config, type=ConfigActorSettings).data_dir == "/data"


def test_node_serves_without_telemetry() -> None:
    (telemetry,) = [child for child in make_plan(config(gateway())).root.children if child.role == "telemetry"]
    assert not telemetry.vital


def test_control_supervisor_starts_before_the_data_supervisor() -> None:
    started = [child.role for child in make_plan(config(gateway())).root.children]
    assert started[-3:] == ["telemetry", "supervisor:control", "supervisor:data"]


def test_gateways_are_vital_together() -> None:
    plan = make_plan(config(gateway(), gateway(port=18081)))
    assert {child.vital_group for child in below(plan, "supervisor:data")} == {"gateways"}


def test_control_actors_are_not_vital() -> None:
    assert not any(child.vital for child in below(make_plan(config(gateway())), "supervisor:control"))


def test_gateway_gets_its_limits_from_the_configuration() -> None:
    limits = Limits(message_bytes=4_096, slow_consumer=SlowConsumer(policy="disconnect", limit_messages=7))
    (child,) = below(make_plan(config(gateway(limits=limits))), "supervisor:data")
    found = msgspec.msgpack.decode(child.config, type=GatewaySettings).limits
    assert (found.message_bytes, found.slow_policy, found.queue_messages) == (4_096, "disconnect", 7)


def test_topic_manager_gets_the_limit_of_retained_values_from_the_configuration() -> None:
    plan = make_plan(NodeConfig(node_id="n1", majula_servers=(gateway(),), limits=Limits(retained_bytes=4_096)))
    (child,) = [child for child in below(plan, "supervisor:control") if child.role == "topic_manager"]
    assert msgspec.msgpack.decode(child.config, type=RetainedSettings).limit_bytes == 4_096


def test_gateway_asks_for_exactly_the_sockets_that_the_runner_binds() -> None:
    plan = make_plan(config(gateway(native=NativePort(unix="/run/n.sock", tcp="127.0.0.1:9000"))))
    (child,) = below(plan, "supervisor:data")
    assert child.sockets == ("http-18080", "native-unix-18080", "native-tcp-18080")
    assert tuple(listener.name for listener in plan.listeners) == child.sockets


def test_native_port_that_is_off_is_neither_bound_nor_asked_for() -> None:
    plan = make_plan(config(gateway(native=NativePort(unix="off"))))
    (child,) = below(plan, "supervisor:data")
    settings = msgspec.msgpack.decode(child.config, type=GatewaySettings)
    assert (settings.native_socket, child.sockets) == ("", ("http-18080",))


def test_node_is_ready_when_supervisors_control_actors_and_gateways_run() -> None:
    assert set(make_plan(config(gateway())).roles) >= {
        "supervisor:root",
        "config",
        "telemetry",
        "supervisor:control",
        "supervisor:data",
        "router",
        "topic_manager",
        "rpc_broker",
        "gateway:18080",
    }
