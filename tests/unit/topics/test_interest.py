"""Who wants what: own subscriptions, other gateways' interest, and the routes made of them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.topics.interest import Interest, InterestMerge, Interests, Wanted
from majula.topics.subjects import matches

ONE, TWO, THREE = "gateway:1", "gateway:2", "gateway:3"


def node(*gateways: str) -> tuple[InterestMerge, dict[str, Interests[str]]]:
    return InterestMerge(), {gateway: Interests(gateway) for gateway in gateways}


def subscribe(merge: InterestMerge, views: dict[str, Interests[str]], at: str, subject: str, **how: object) -> None:
    """A session named after its gateway subscribes, and everybody hears of it."""
    change = views[at].subscribe(f"{at}/s", subject, pattern=bool(how.get("pattern")), queue=str(how.get("queue", "")))
    if change is not None:
        publish(views, merge.apply(at, {change[0]: change[1]}, ()))


def publish(views: dict[str, Interests[str]], changes: dict[str, bytes | None]) -> None:
    for view in views.values():
        view.apply({k: v for k, v in changes.items() if v is not None}, [k for k, v in changes.items() if v is None])


def test_own_subscription_holds_at_once_without_a_topic_manager() -> None:
    view: Interests[str] = Interests(ONE)
    view.subscribe("ann", "a", pattern=False)
    assert view.route("a").sessions == ("ann",)
    assert view.route("a").gateways == ()


def test_subscription_at_another_gateway_leads_there() -> None:
    merge, views = node(ONE, TWO)
    subscribe(merge, views, TWO, "a.*", pattern=True)
    assert views[ONE].route("a.b").gateways == (TWO,)
    assert views[TWO].route("a.b").gateways == ()
    assert views[TWO].route("a.b").sessions == (f"{TWO}/s",)


def test_session_with_two_subscriptions_that_match_gets_it_once() -> None:
    view: Interests[str] = Interests(ONE)
    view.subscribe("ann", "a.b", pattern=False)
    view.subscribe("ann", "a.*", pattern=True)
    assert view.route("a.b").sessions == ("ann",)


def test_gateway_with_two_subjects_that_match_gets_it_once() -> None:
    merge, views = node(ONE, TWO)
    subscribe(merge, views, TWO, "a.b")
    subscribe(merge, views, TWO, "a.>", pattern=True)
    assert views[ONE].route("a.b").gateways == (TWO,)


def test_second_subscriber_of_a_subject_changes_nothing_in_the_slice() -> None:
    view: Interests[str] = Interests(ONE)
    assert view.subscribe("ann", "a", pattern=False) is not None
    assert view.subscribe("bob", "a", pattern=False) is None
    assert view.unsubscribe("ann", "a", pattern=False) is None
    assert view.unsubscribe("bob", "a", pattern=False) == ("=a", None)


def test_subscribing_twice_is_subscribing_once() -> None:
    view: Interests[str] = Interests(ONE)
    view.subscribe("ann", "a", pattern=False)
    assert view.subscribe("ann", "a", pattern=False) is None
    assert view.unsubscribe("ann", "a", pattern=False) == ("=a", None)
    assert view.unsubscribe("ann", "a", pattern=False) is None


def test_members_of_a_queue_group_are_counted_for_each_gateway() -> None:
    merge, views = node(ONE, TWO, THREE)
    views[TWO].subscribe("extra", "a", pattern=False, queue="q")
    subscribe(merge, views, TWO, "a", queue="q")
    subscribe(merge, views, THREE, "a", queue="q")
    (group,) = views[ONE].route("a").groups
    assert (group.name, group.members, dict(group.remote)) == ("q", (), {TWO: 2, THREE: 1})


def test_groups_of_one_name_are_one_group_whatever_their_subjects() -> None:
    merge, views = node(ONE, TWO)
    subscribe(merge, views, ONE, "a.b", queue="q")
    subscribe(merge, views, TWO, "a.*", pattern=True, queue="q")
    (group,) = views[ONE].route("a.b").groups
    assert (group.members, dict(group.remote)) == ((f"{ONE}/s",), {TWO: 1})


def test_plain_subscriber_and_member_are_both_served() -> None:
    view: Interests[str] = Interests(ONE)
    view.subscribe("ann", "a", pattern=False)
    view.subscribe("ann", "a", pattern=False, queue="q")
    route = view.route("a")
    assert route.sessions == ("ann",)
    assert route.group("q") is route.groups[0]


def test_lost_gateway_leaves_the_interest_of_the_others() -> None:
    merge, views = node(ONE, TWO, THREE)
    for gateway in (TWO, THREE):
        subscribe(merge, views, gateway, "a")
    publish(views, merge.owner_lost(TWO))
    assert views[ONE].route("a").gateways == (THREE,)
    publish(views, merge.owner_lost(THREE))
    assert views[ONE].route("a").is_empty()


def test_version_grows_with_every_change_of_a_route() -> None:
    merge, views = node(ONE, TWO)
    versions = [views[ONE].version]
    subscribe(merge, views, ONE, "a")
    versions.append(views[ONE].version)
    subscribe(merge, views, TWO, "a")
    versions.append(views[ONE].version)
    assert versions == sorted(set(versions))


def test_entry_that_cannot_be_read_counts_as_removed() -> None:
    merge = InterestMerge()
    merge.apply(ONE, {"=a": msgspec.msgpack.encode(Wanted(True, {}))}, ())
    assert merge.apply(ONE, {"=a": b"\xc1"}, ()) == {"=a": None}
    no_utf8 = msgspec.msgpack.encode(Wanted(True, {"q": 1})).replace(b"q", b"\xff")
    assert merge.apply(ONE, {"=b": no_utf8}, ()) == {}
    assert merge.unreadable == 2


STEP = st.tuples(
    st.sampled_from([ONE, TWO, THREE]),
    st.booleans(),
    st.sampled_from(["ann", "bob"]),
    st.sampled_from([("a", False), ("a.b", False), ("a.*", True), (">", True)]),
    st.sampled_from(["", "q", "r"]),
)


@pytest.mark.slow
@given(st.lists(STEP, max_size=40))
def test_routes_of_all_gateways_agree_with_all_subscriptions(
    steps: list[tuple[str, bool, str, tuple[str, bool], str]],
) -> None:
    merge, views = node(ONE, TWO, THREE)
    held: set[tuple[str, str, str, bool, str]] = set()
    for gateway, is_on, session, (subject, pattern), queue in steps:
        verb = views[gateway].subscribe if is_on else views[gateway].unsubscribe
        change = verb(session, subject, pattern=pattern, queue=queue)
        (held.add if is_on else held.discard)((gateway, session, subject, pattern, queue))
        if change is not None:
            key, value = change
            publish(views, merge.apply(gateway, {} if value is None else {key: value}, [key] if value is None else []))
    for topic in ("a", "a.b", "c"):
        fit = {(g, s, q) for g, s, sub, p, q in held if (matches(sub, topic) if p else sub == topic)}
        for gateway, view in views.items():
            route = view.route(topic)
            assert set(route.sessions) == {s for g, s, q in fit if g == gateway and not q}
            assert set(route.gateways) == {g for g, _, q in fit if g != gateway and not q}
            assert {group.name for group in route.groups} == {q for _, _, q in fit if q}
            for group in route.groups:
                assert set(group.members) == {s for g, s, q in fit if g == gateway and q == group.name}
                assert {g for g, _ in group.remote} == {g for g, _, q in fit if g != gateway and q == group.name}


def test_merged_value_names_gateways_in_the_same_order_whoever_came_first() -> None:
    wanted = msgspec.msgpack.encode(Wanted(True, {"q": 1}))
    first, second = InterestMerge(), InterestMerge()
    for gateway in (ONE, TWO):
        one = first.apply(gateway, {"=a": wanted}, ())
    for gateway in (TWO, ONE):
        two = second.apply(gateway, {"=a": wanted}, ())
    assert one == two
    value = one["=a"]
    assert value is not None
    assert msgspec.msgpack.decode(value, type=Interest) == Interest((ONE, TWO), {"q": {ONE: 1, TWO: 1}})


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("ab"), st.sampled_from("xy"), st.sampled_from(["", "q"])), max_size=30))
def test_count_of_subscriptions_is_that_of_those_that_stand(steps: list[tuple[bool, str, str, str]]) -> None:
    view: Interests[str] = Interests(ONE)
    standing: set[tuple[str, str, str]] = set()
    for is_new, session, topic, queue in steps:
        if is_new:
            view.subscribe(session, topic, pattern=False, queue=queue)
            standing.add((session, topic, queue))
        else:
            view.unsubscribe(session, topic, pattern=False, queue=queue)
            standing.discard((session, topic, queue))
    assert view.statistics()["subscriptions"] == len(standing)
