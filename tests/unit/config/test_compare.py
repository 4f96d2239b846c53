"""What is different, what a running node takes over, and what waits for a restart."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from majula.config import Limits, Log
from majula.config.compare import differences, in_force, waits_for_restart
from majula.config.plain import complete
from majula.config.schema import Gateway, NodeConfig, Tls

STARTED = NodeConfig(node_id="n", data_dir="/d", run_dir="/r", majula_servers=(Gateway(port=1), Gateway(port=2)))


def paths(old: NodeConfig, new: NodeConfig) -> list[str]:
    return [found.path for found in differences(complete(old), complete(new))]


def with_(**fields: object) -> NodeConfig:
    return replace(STARTED, **fields)


def effects(new: NodeConfig) -> dict[str, str]:
    waiting = differences(complete(in_force(STARTED, new)), complete(new))
    found = differences(complete(STARTED), complete(new))
    return {item.path: "restart" if waits_for_restart(item, waiting) else "applied" for item in found}


def test_same_configuration_has_no_differences() -> None:
    assert paths(STARTED, with_()) == []


def test_gateways_in_another_order_are_the_same() -> None:
    assert paths(STARTED, with_(majula_servers=STARTED.majula_servers[::-1])) == []


def test_difference_says_where_it_stands_in_the_new_file() -> None:
    new = with_(majula_servers=(Gateway(port=2, hosts=("a.example",)), Gateway(port=1)))
    assert paths(STARTED, new) == ["majula_servers[0].hosts"]


def test_secret_is_hidden_on_both_sides() -> None:
    (found,) = differences(complete(with_(token="one")), complete(with_(token="two")))
    assert (found.path, found.old, found.new) == ("token", "***", "***")


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (with_(limits=Limits(connections=5)), {"limits.connections": "applied"}),
        (with_(drain_s=3.0), {"drain_s": "applied"}),
        (with_(log=Log(level="debug")), {"log.level": "applied"}),
        (with_(log=Log(format="json")), {"log.format": "restart"}),
        (with_(data_dir="/e"), {"data_dir": "restart"}),
        (with_(node_id="m"), {"node_id": "restart"}),
        (
            with_(majula_servers=(Gateway(port=1, origins=("https://a",)), Gateway(port=2))),
            {"majula_servers[0].origins": "applied"},
        ),
        (
            with_(majula_servers=(Gateway(port=1, ip_allow=("10.0.0.0/8",)), Gateway(port=2))),
            {"majula_servers[0].ip_allow": "applied"},
        ),
        (with_(majula_servers=(Gateway(port=1, bind="::1"), Gateway(port=2))), {"majula_servers[0].bind": "restart"}),
        (with_(majula_servers=(Gateway(port=1, auth="token"), Gateway(port=2))), {"majula_servers[0].auth": "restart"}),
        (with_(majula_servers=(Gateway(port=1),)), {"majula_servers[1]": "restart"}),
        (with_(majula_servers=(*STARTED.majula_servers, Gateway(port=3))), {"majula_servers[2]": "restart"}),
        (
            with_(majula_servers=(Gateway(port=1, tls=Tls(cert_file="c", key_file="k")), Gateway(port=2))),
            {"majula_servers[0].tls": "restart"},
        ),
    ],
)
def test_each_key_is_taken_over_or_waits(new: NodeConfig, expected: dict[str, str]) -> None:
    assert effects(new) == expected


def test_certificate_of_a_port_that_has_tls_is_taken_over() -> None:
    before = with_(majula_servers=(Gateway(port=1, tls=Tls(cert_file="c", key_file="k")),))
    after = with_(majula_servers=(Gateway(port=1, tls=Tls(cert_file="d", key_file="k")),))
    assert in_force(before, after).majula_servers == after.majula_servers


def test_change_below_a_key_that_waits_waits_too() -> None:
    first = with_(majula_servers=(Gateway(port=1, tls=Tls(cert_file="c", key_file="k")), Gateway(port=2)))
    second = with_(majula_servers=(Gateway(port=1, tls=Tls(cert_file="d", key_file="k")), Gateway(port=2)))
    (found,) = differences(complete(first), complete(second))
    assert found.path == "majula_servers[0].tls.cert_file"
    assert waits_for_restart(found, differences(complete(in_force(STARTED, second)), complete(second)))
