"""What scopes permit."""

from __future__ import annotations

import pytest

from majula.auth import ALL, Grants, grants_of
from majula.auth.scopes import VERBS
from majula.errors import InvalidRequest, PermissionDenied


def grants(*scopes: str) -> Grants:
    return grants_of(scopes)


@pytest.mark.parametrize("verb", VERBS)
def test_session_without_scopes_may_do_nothing(verb: str) -> None:
    nothing = grants_of(())
    assert not nothing.allows(verb, "a")
    assert not nothing.is_all


@pytest.mark.parametrize("verb", VERBS)
def test_session_that_has_to_prove_nothing_may_do_everything(verb: str) -> None:
    assert ALL.is_all
    assert ALL.allows(verb, "a.b.c")
    assert ALL.allows(verb, ">", pattern=True)
    assert ALL.allows(verb, "$SYS.>", pattern=True)


def test_scope_permits_its_verb_only() -> None:
    assert grants("publish:orders.eu").allows("publish", "orders.eu")
    assert not grants("publish:orders.eu").allows("subscribe", "orders.eu")


def test_missing_scope_is_named() -> None:
    assert grants("publish:orders.>").missing("publish", "invoices.eu") == "publish:invoices.eu"


def test_refusal_carries_the_missing_scope() -> None:
    with pytest.raises(PermissionDenied) as caught:
        grants_of(()).require("call", "add")
    assert caught.value.detail == {"scope": "call:add"}


def test_deny_wins_over_allow_whatever_the_order() -> None:
    assert not grants("publish:orders.>", "-publish:orders.secret").allows("publish", "orders.secret")
    assert not grants("-publish:orders.secret", "publish:orders.>").allows("publish", "orders.secret")


def test_denying_scope_is_named() -> None:
    found = grants("publish:*", "-publish:orders.*")
    assert found.missing("publish", "orders.eu") == "-publish:orders.*"
    assert found.allows("publish", "invoices")


def test_star_alone_is_everything_however_many_levels() -> None:
    assert grants("publish:*").allows("publish", "a.b.c")


def test_star_beside_other_levels_is_one_level() -> None:
    assert grants("publish:a.*").allows("publish", "a.b")
    assert not grants("publish:a.*").allows("publish", "a.b.c")
    assert not grants("publish:a.*").allows("publish", "a")


def test_verb_star_is_every_verb() -> None:
    found = grants("*:orders.>", "-*:orders.secret")
    assert all(found.allows(verb, "orders.eu") for verb in VERBS)
    assert not any(found.allows(verb, "orders.secret") for verb in VERBS)


def test_subscription_within_what_is_allowed_is_permitted() -> None:
    assert grants("subscribe:orders.>").allows("subscribe", "orders.*", pattern=True)
    assert grants("subscribe:orders.>").allows("subscribe", "orders.eu.>", pattern=True)


@pytest.mark.parametrize("pattern", [">", "*", "*.eu", "*.>"])
def test_subscription_that_reaches_beyond_what_is_allowed_is_refused_as_a_whole(pattern: str) -> None:
    assert grants("subscribe:orders.>").missing("subscribe", pattern, pattern=True) == f"subscribe:{pattern}"


@pytest.mark.parametrize("pattern", ["orders.>", "orders.*", "orders.secret", "*.secret", ">"])
def test_subscription_that_overlaps_a_deny_is_refused_and_the_deny_is_named(pattern: str) -> None:
    assert (
        grants("subscribe:>", "-subscribe:orders.secret").missing("subscribe", pattern, pattern=True)
        == "-subscribe:orders.secret"
    )


def test_subscription_beside_a_deny_is_permitted() -> None:
    assert grants("subscribe:>", "-subscribe:orders.secret").allows("subscribe", "orders.eu.>", pattern=True)


def test_literal_topic_that_looks_like_a_pattern_is_a_name() -> None:
    assert grants("subscribe:a.>").allows("subscribe", "a.>")
    assert not grants("subscribe:b").allows("subscribe", ">")


@pytest.mark.parametrize("scope", ["subscribe:>", "subscribe:*", "subscribe:$SYS.>"])
def test_topics_of_the_node_are_read_by_observe_only(scope: str) -> None:
    assert grants(scope).missing("subscribe", "$SYS.client.connected") == "observe:$SYS.client.connected"
    assert grants(scope).missing("subscribe", "$SYS.>", pattern=True) == "observe:$SYS.>"


def test_observe_grants_the_topics_of_the_node() -> None:
    assert grants("observe:*").allows("subscribe", "$SYS.>", pattern=True)
    assert grants("observe:$SYS.client.*").allows("subscribe", "$SYS.client.connected")
    assert not grants("observe:>").allows("subscribe", "$SYS.client.connected")


def test_broadcast_needs_everybody() -> None:
    assert grants("send:*").allows("send", "*")
    assert grants("send:team.*").missing("send", "*") == "send:*"


def test_broadcast_is_refused_where_one_client_is_denied() -> None:
    assert grants("send:*", "-send:boss").missing("send", "*") == "-send:boss"


def test_no_object_means_all_there_are() -> None:
    assert grants("observe:*").allows("observe", "")
    assert grants("observe:clients").missing("observe", "") == "observe:*"


def test_every_verb_on_everything_is_all() -> None:
    assert grants(*(f"{verb}:*" for verb in VERBS)).is_all
    assert not grants("*:*", "-admin:tokens").is_all


def test_unknown_verb_of_an_operation_is_permitted_to_nobody_but_all() -> None:
    assert not grants("publish:*").allows("fly", "a")


def test_equal_scopes_share_their_grants() -> None:
    assert grants_of(("publish:a",)) is grants_of(("publish:a",))


def test_what_is_no_scope_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        grants_of(("publish",))


def test_answers_are_remembered_within_a_bound() -> None:
    found = grants("publish:a.>")
    for number in range(2_000):
        assert found.allows("publish", f"a.{number}")
        assert not found.allows("publish", f"b.{number}")
