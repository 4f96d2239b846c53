"""May this client have this id: a gateway's part."""

from __future__ import annotations

from math import inf

import pytest

from majula.messages.routing import Claim, CloseSession, Granted, Refused, Release
from majula.routing.admission import CLAIM_S, CLAIMS, Admission, Admitted, AskRouter, Close, Rejected
from majula.routing.sessions import Session, encode_session

ONE, TWO = "gateway:1", "gateway:2"


def session(name: str, *, client: str = "ann", secret: bytes = b"secret", gateway: str = ONE, at: float = 0.0) -> Session:
    return Session(client, name, secret, gateway, at)


def with_router() -> Admission:
    admission = Admission(ONE)
    admission.router_changed(True)
    return admission


def know(admission: Admission, other: Session) -> None:
    """The table `clients` names a session at another gateway."""
    admission.apply({other.client_id: encode_session(other)}, ())


def test_router_is_asked_where_it_is_there() -> None:
    request, effects = with_router().claim(session("s1", at=3.0), 3.0)
    assert effects == [AskRouter(Claim(request, "ann", "s1", b"secret", 3.0))]


def test_routers_word_is_the_verdict() -> None:
    admission = with_router()
    first, _ = admission.claim(session("s1"), 0.0)
    second, _ = admission.claim(session("s2", client="bob"), 0.0)
    assert admission.receive(Granted(first)) == [Admitted(first)]
    assert admission.receive(Refused(second, "conflict")) == [Rejected(second, "conflict")]
    assert admission.next_deadline() == inf


def test_second_word_about_one_claim_has_no_effect() -> None:
    admission = with_router()
    request, _ = admission.claim(session("s1"), 0.0)
    admission.receive(Granted(request))
    assert admission.receive(Granted(request)) == []
    assert admission.receive(Refused(request, "conflict")) == []


def test_free_id_is_admitted_while_the_router_is_away() -> None:
    request, effects = Admission(ONE).claim(session("s1"), 0.0)
    assert effects == [Admitted(request)]


@pytest.mark.parametrize("where", [ONE, TWO])
def test_id_of_another_secret_is_refused_while_the_router_is_away(where: str) -> None:
    admission = Admission(ONE)
    other = session("s0", secret=b"other", gateway=where)
    if where == ONE:
        admission.opened(other)
    else:
        know(admission, other)
    request, effects = admission.claim(session("s1"), 0.0)
    assert effects == [Rejected(request, "conflict")]


@pytest.mark.parametrize(("secret", "reason"), [(b"secret", "taken_over"), (b"", "replaced")])
def test_own_older_session_is_closed_while_the_router_is_away(secret: bytes, reason: str) -> None:
    admission = Admission(ONE)
    admission.opened(session("s0", secret=secret))
    request, effects = admission.claim(session("s1", secret=secret), 0.0)
    assert effects == [Admitted(request), Close("ann", "s0", reason)]


def test_claims_under_way_are_decided_here_when_the_router_goes_away() -> None:
    admission = with_router()
    request, _ = admission.claim(session("s1"), 0.0)
    assert admission.router_changed(False) == [Admitted(request)]


def test_claim_is_decided_here_when_the_router_is_silent() -> None:
    admission = with_router()
    request, _ = admission.claim(session("s1"), 5.0)
    assert admission.next_deadline() == 5.0 + CLAIM_S
    assert admission.timer(5.0) == []
    assert admission.timer(5.0 + CLAIM_S) == [Admitted(request)]
    assert admission.receive(Granted(request)) == []


def test_client_that_left_before_the_verdict_is_released() -> None:
    admission = with_router()
    request, _ = admission.claim(session("s1"), 0.0)
    assert admission.abandon(request) == [AskRouter(Release("ann", "s1"))]
    assert admission.receive(Granted(request)) == []
    assert admission.abandon(request) == []


def test_client_that_left_between_verdict_and_opening_holds_no_id() -> None:
    admission = Admission(ONE)
    request, _ = admission.claim(session("s1"), 0.0)
    admission.abandon(request)
    second, effects = admission.claim(session("s2", secret=b"other"), 0.0)
    assert effects == [Admitted(second)]


def test_entry_of_the_older_session_leaves_the_slice_also_when_the_newer_never_opens() -> None:
    admission = Admission(ONE)
    admission.opened(session("s1"))
    request, effects = admission.claim(session("s2"), 0.0)
    assert effects == [Admitted(request), Close("ann", "s1", "taken_over")]
    assert admission.closed("ann", "s1") == ("ann", [])
    admission.abandon(request)
    assert list(admission.sessions()) == []


def test_end_of_a_session_leaves_the_slice_and_tells_the_router() -> None:
    admission = with_router()
    admission.opened(session("s1"))
    assert admission.closed("ann", "s1") == ("ann", [AskRouter(Release("ann", "s1"))])
    assert admission.where("ann") is None


def test_end_of_the_older_session_leaves_the_newer_in_the_slice() -> None:
    admission = with_router()
    admission.opened(session("s1"))
    admission.opened(session("s2"))
    assert admission.closed("ann", "s1") == (None, [])
    found = admission.where("ann")
    assert found is not None
    assert found.session == "s2"


@pytest.mark.parametrize(("secret", "is_admitted"), [(b"secret", True), (b"other", False)])
def test_grant_of_a_router_that_did_not_know_what_was_admitted_here_follows_the_rule(secret: bytes, is_admitted: bool) -> None:
    admission = with_router()
    slow, _ = admission.claim(session("s1"), 0.0)
    late, _ = admission.claim(session("s2", secret=secret), 0.5)
    assert admission.timer(CLAIM_S) == [Admitted(slow)]
    verdict = [Close("ann", "s1", "taken_over"), Admitted(late)]
    assert admission.receive(Granted(late)) == (
        verdict if is_admitted else [Rejected(late, "conflict"), AskRouter(Release("ann", "s2"))]
    )


def test_claims_that_are_decided_in_one_step_see_each_other() -> None:
    admission = with_router()
    first, _ = admission.claim(session("s1"), 0.0)
    second, _ = admission.claim(session("s2"), 0.0)
    assert admission.router_changed(False) == [Admitted(first), Admitted(second), Close("ann", "s1", "taken_over")]


def test_order_to_close_is_passed_on() -> None:
    assert with_router().receive(CloseSession("ann", "s1", "conflict")) == [Close("ann", "s1", "conflict")]


def test_sessions_of_a_lost_gateway_hold_no_id() -> None:
    admission = Admission(ONE)
    know(admission, session("s0", secret=b"other", gateway=TWO))
    admission.gateway_gone(TWO)
    request, effects = admission.claim(session("s1"), 0.0)
    assert effects == [Admitted(request)]


def test_sessions_of_the_node_are_listed_once() -> None:
    admission = Admission(ONE)
    admission.opened(session("s1"))
    know(admission, session("s0", gateway=TWO))
    know(admission, session("s9", client="bob", gateway=TWO))
    know(admission, session("s1"))
    assert [found.session for found in admission.sessions()] == ["s1", "s9"]


def test_claims_under_way_are_bounded() -> None:
    admission = with_router()
    for n in range(CLAIMS):
        admission.claim(session(f"s{n}", client=f"c{n}"), 0.0)
    request, effects = admission.claim(session("one.more", client="one.more"), 0.0)
    assert effects == [Rejected(request, "overloaded")]


@pytest.mark.parametrize("where", [ONE, TWO])
def test_id_is_of_another_for_everybody_but_its_owner(where: str) -> None:
    admission = Admission(ONE)
    owned = Session("ann", "s1", b"secret", where, 0.0, "native", "", "tok-a")
    if where == ONE:
        admission.opened(owned)
    else:
        know(admission, owned)
    assert admission.is_of_another("ann", "tok-b") and not admission.is_of_another("ann", "tok-a")
    assert not admission.is_of_another("bob", "tok-b")


def test_grant_that_does_not_say_whose_it_is_is_of_nobody_else() -> None:
    admission = Admission(ONE)
    know(admission, session("s1", gateway=TWO))
    assert not admission.is_of_another("ann", "tok-b")
