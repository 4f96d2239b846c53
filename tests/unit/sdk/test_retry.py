"""When an idempotent call is made again."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.api.sdk import Retry
from majula.errors import (
    BY_CODE,
    DeadlineExceeded,
    InvalidRequest,
    NoProvider,
    Overloaded,
    RemoteError,
    Unavailable,
)
from majula.wire.frames import encode_frame
from majula.wire.headers import Call, Fault, Header, Result
from tests.unit.sdk.conftest import Clients
from tests.unit.sdk.gateway import FakeGateway, FakeSession


def refusing(gateway: FakeGateway, times: int, code: str, retry_after_s: float = 0.0) -> list[int]:
    """Calls are refused so often, then answered with null; the timeouts that they came with."""
    came: list[int] = []

    def answer(_session: FakeSession, header: Header) -> list[bytes]:
        assert isinstance(header, Call)
        came.append(header.timeout_ms)
        if len(came) <= times:
            return [encode_frame(Result(header.call, fault=Fault(code, "not now", retry_after_s=retry_after_s)))]
        return [encode_frame(Result(header.call, 1), b"\xc0")]

    gateway.answers[Call] = answer
    return came


@pytest.mark.parametrize("code", ["overloaded", "unavailable", "draining", "provider_lost"])
async def test_what_passes_is_tried_again(gateway: FakeGateway, clients: Clients, code: str) -> None:
    came = refusing(gateway, 2, code)
    client = await clients.connect()
    assert await client.call("f", idempotent=True, retry=Retry(3, first_s=0.001)) is None
    assert len(came) == 3


async def test_the_last_error_is_raised(gateway: FakeGateway, clients: Clients) -> None:
    came = refusing(gateway, 9, "overloaded")
    client = await clients.connect()
    with pytest.raises(Overloaded):
        await client.call("f", idempotent=True, retry=Retry(2, first_s=0.001))
    assert len(came) == 2


@pytest.mark.parametrize("code", ["no_provider", "remote_error", "invalid_request", "permission_denied"])
async def test_what_does_not_pass_is_raised_at_once(gateway: FakeGateway, clients: Clients, code: str) -> None:
    came = refusing(gateway, 9, code)
    client = await clients.connect()
    with pytest.raises(BY_CODE[code]):
        await client.call("f", idempotent=True, retry=Retry(5, first_s=0.001))
    assert len(came) == 1


async def test_all_attempts_have_one_deadline(gateway: FakeGateway, clients: Clients) -> None:
    came = refusing(gateway, 1, "overloaded", retry_after_s=0.05)
    client = await clients.connect()
    await client.call("f", timeout_s=5.0, idempotent=True, retry=Retry(2, first_s=0.0))
    assert came[0] == 5_000
    assert came[1] <= 4_950


async def test_a_pause_beyond_the_deadline_is_not_waited_for(gateway: FakeGateway, clients: Clients) -> None:
    came = refusing(gateway, 9, "overloaded", retry_after_s=3_000)
    client = await clients.connect()
    with pytest.raises(Overloaded):
        await client.call("f", timeout_s=60.0, idempotent=True, retry=Retry(5))
    assert len(came) == 1


async def test_a_call_that_is_not_idempotent_is_never_made_again(clients: Clients) -> None:
    client = await clients.connect()
    with pytest.raises(InvalidRequest, match="idempotent"):
        await client.call("f", retry=Retry())


@given(st.integers(1, 60), st.floats(0, 10), st.floats(0, 60))
def test_a_pause_is_never_shorter_than_what_was_asked_for(attempt: int, limit_s: float, after_s: float) -> None:
    pause_s = Retry(100, first_s=0.05, limit_s=limit_s).pause_s(attempt, Overloaded("", retry_after_s=after_s), Random(1))
    assert pause_s is not None
    assert after_s <= pause_s <= max(limit_s, after_s)


def test_pauses_grow_up_to_their_limit() -> None:
    pauses = [Retry(100, 0.1, 0.8).pause_s(n, Unavailable(), Random(3)) for n in range(1, 8)]
    assert pauses[0] is not None and pauses[-1] is not None
    assert (pauses[0] <= 0.1, 0.4 <= pauses[-1] <= 0.8) == (True, True)


@pytest.mark.parametrize("error", [DeadlineExceeded(), RemoteError(), NoProvider()])
def test_some_errors_are_final(error: DeadlineExceeded | RemoteError | NoProvider) -> None:
    assert Retry().pause_s(1, error, Random(1)) is None


@pytest.mark.parametrize("fields", [{"attempts": 0}, {"first_s": -1.0}, {"limit_s": float("nan")}, {"limit_s": float("inf")}])
def test_a_policy_without_sense_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(InvalidRequest):
        Retry(**fields)  # type: ignore[arg-type]  # attempts is an int among them
