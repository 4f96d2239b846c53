"""The ledger: who may make which token, which of N claims wins, what is shown and what is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.auth import digest_of
from majula.auth.book import LEEWAY_S, TokenEntry
from majula.auth.ledger import (
    REMEMBERED_S,
    Applied,
    Claim,
    Create,
    Ledger,
    Noted,
    Revoke,
    TokenRecord,
    Touch,
    decode_ledger,
    encode_ledger,
)
from majula.auth.operations import TokenCreateAnswer, TokenCreateRequest, TokenLine, TokensRequest
from majula.errors import InvalidRequest, LimitReached, NotFound, Unauthorized

NOW = 1_700_000_000.0


def randomness(seed: int = 1) -> Callable[[int], bytes]:
    return Random(seed).randbytes


def create(ledger: Ledger, *, wall: float = NOW, seed: int = 1, who: str = "uid:1000", **fields: object) -> TokenCreateAnswer:
    request = TokenCreateRequest(**{"scopes": ("publish:a",), **fields})  # type: ignore[arg-type] # fields by name
    answer = ledger.apply(Create(request, who), wall, randomness(seed)).answer
    assert isinstance(answer, TokenCreateAnswer)
    return answer


def record(number: int, **fields: object) -> TokenRecord:
    return TokenRecord(id=f"tok-{number}", digest=digest_of(str(number)), scopes=("publish:a",), created_at=NOW, **fields)  # type: ignore[arg-type] # fields by name


# --- to make


def test_token_that_was_made_is_in_the_table_under_its_digest() -> None:
    ledger = Ledger()
    answer = create(ledger, clients=("ann",), messages_per_s=5.0, bytes_per_s=9.0)
    expected = TokenEntry(answer.token.id, ("publish:a",), ("ann",), messages_per_s=5.0, bytes_per_s=9.0)
    assert ledger.entries(NOW) == {digest_of(answer.secret): expected}


def test_secret_of_a_token_is_nowhere_in_the_ledger() -> None:
    ledger = Ledger()
    answer = create(ledger)
    assert answer.secret.encode() not in encode_ledger(ledger)
    assert answer.secret[4:] not in repr(list(ledger))


def test_line_says_by_whom_and_until_when() -> None:
    line = create(Ledger(), expires_in_s=60.0, note="for the sensor", who="tok-admin").token
    assert (line.created, line.expires) == ("2023-11-14T22:13:20Z", "2023-11-14T22:14:20Z")
    assert (line.created_by, line.note, line.state, line.last_used) == ("tok-admin", "for the sensor", "active", "")


def test_making_a_token_is_noted_without_its_secret() -> None:
    request = TokenCreateRequest(scopes=("publish:a",), note="n", single_use=True)
    applied = Ledger().apply(Create(request, "uid:1"), NOW, randomness())
    assert isinstance(applied.answer, TokenCreateAnswer)
    assert applied.noted == (
        "uid:1",
        "tokens.create",
        {"token": applied.answer.token.id, "scopes": ["publish:a"], "clients": ["*"], "note": "n", "single_use": True},
    )


def test_ids_stay_apart_when_random_bytes_come_twice() -> None:
    ledger = Ledger()
    source = iter([bytes(8), bytes(32), bytes(8), bytes(8), bytes([1] * 8), bytes([1] * 32)])
    request = TokenCreateRequest(scopes=("publish:a",))
    for _ in range(2):
        ledger.apply(Create(request, ""), NOW, lambda _: next(source))
    assert [found.id for found in ledger] == ["tok-aaaaaaaa", "tok-bbbbbbbb"]


@pytest.mark.parametrize(
    "fields",
    [
        {"scopes": ()},
        {"scopes": ("fly:a",)},
        {"scopes": tuple(f"publish:t{n}" for n in range(129))},
        {"clients": ()},
        {"clients": ("a.>.b",)},
        {"clients": ("ä" * 129,)},
        {"scopes": ("publish:" + "a" * 249,)},
        {"clients": tuple(f"c{n}" for n in range(33))},
        {"expires_in_s": -1.0},
        {"expires_in_s": 10 * 366 * 86_400.0},
        {"expires_in_s": inf},
        {"expires_in_s": nan},
        {"messages_per_s": -1.0},
        {"messages_per_s": nan},
        {"bytes_per_s": inf},
        {"note": "x" * 257},
        {"note": "a\nb"},
        {"note": "\x1b[2J"},
        {"note": "\ud800"},
        {"note": "mjl_" + "a" * 43},
    ],
)
def test_token_that_makes_no_sense_is_refused(fields: dict[str, object]) -> None:
    ledger = Ledger()
    with pytest.raises(InvalidRequest):
        create(ledger, **fields)  # type: ignore[arg-type] # fields by name
    assert len(ledger) == 0


def test_ledger_is_bounded_and_says_so() -> None:
    ledger = Ledger([record(1), record(2)], most=2)
    with pytest.raises(LimitReached) as caught:
        create(ledger)
    assert caught.value.detail == {"limit": "tokens"}


def test_full_ledger_makes_room_by_forgetting_what_ended_first() -> None:
    ended = [record(2, revoked_at=NOW - 5), record(3, expires_at=NOW - 1_000), record(4, used_at=1.0)]
    ledger = Ledger([record(1), *ended], most=4)
    answer = create(ledger)
    assert [found.id for found in ledger] == ["tok-1", "tok-2", "tok-4", answer.token.id]


def test_full_ledger_forgets_the_used_up_token_that_was_used_last_the_longest_ago() -> None:
    used = [record(2, used_at=1.0, last_used_at=9.0), record(3, used_at=2.0, last_used_at=8.0)]
    ledger = Ledger([record(1), *used], most=3)
    answer = create(ledger)
    assert [found.id for found in ledger] == ["tok-1", "tok-2", answer.token.id]


# --- to revoke, to expire


def test_revoked_token_leaves_the_table_and_stays_in_the_list() -> None:
    ledger = Ledger([record(1)])
    applied = ledger.apply(Revoke("tok-1", "uid:1"), NOW, randomness())
    assert isinstance(applied.answer, TokenLine)
    assert applied.answer.state == "revoked"
    assert applied.noted == ("uid:1", "tokens.revoke", {"token": "tok-1"})
    assert ledger.entries(NOW) == {}
    assert len(ledger) == 1


def test_revoking_twice_changes_nothing_and_is_noted_once() -> None:
    ledger = Ledger([record(1)])
    ledger.apply(Revoke("tok-1", "uid:1"), NOW, randomness())
    assert ledger.apply(Revoke("tok-1", "uid:1"), NOW + 9, randomness()).noted is None
    assert ledger.get("tok-1").revoked_at == NOW


def test_unknown_token_is_not_revoked() -> None:
    with pytest.raises(NotFound):
        Ledger().apply(Revoke("tok-1", "uid:1"), NOW, randomness())


def test_token_leaves_the_table_when_its_expiry_and_the_leeway_have_passed() -> None:
    ledger = Ledger([record(1, expires_at=NOW)])
    assert len(ledger.entries(NOW + LEEWAY_S - 1)) == 1
    assert ledger.entries(NOW + LEEWAY_S) == {}
    assert ledger.get("tok-1").state(NOW + LEEWAY_S) == "expired"


def test_what_ended_a_month_ago_is_forgotten() -> None:
    ledger = Ledger([record(1, revoked_at=NOW), record(2, expires_at=NOW), record(3), record(4, single_use=True, used_at=NOW)])
    assert ledger.forget(NOW + REMEMBERED_S - 1) == []
    forgotten = ledger.forget(NOW + REMEMBERED_S + LEEWAY_S)
    assert [found.id for found in forgotten] == ["tok-1", "tok-2"]
    assert [found.id for found in ledger] == ["tok-3", "tok-4"]


# --- single use


@given(claimants=st.lists(st.sampled_from([f"s{n}" for n in range(50)]), min_size=1, max_size=60))
def test_of_many_claims_of_a_single_use_token_exactly_one_claimant_wins(claimants: list[str]) -> None:
    ledger = Ledger([record(1, single_use=True)])
    winners = set()
    for claimant in claimants:
        try:
            ledger.apply(Claim("tok-1", claimant), NOW, randomness())
            winners.add(claimant)
        except Unauthorized:
            pass
    assert winners == {claimants[0]}


def test_claim_is_noted_once_and_wins_again_for_its_claimant() -> None:
    ledger = Ledger([record(1, single_use=True)])
    first = ledger.apply(Claim("tok-1", "s1", "ann"), NOW, randomness())
    assert first == Applied(None, Noted("tok-1", "tokens.spend", {"token": "tok-1", "client": "ann"}))
    assert ledger.apply(Claim("tok-1", "s1", "ann"), NOW + 1, randomness()).noted is None
    assert ledger.get("tok-1").state(NOW) == "used"


def test_used_token_stays_in_the_table_for_the_session_that_used_it() -> None:
    ledger = Ledger([record(1, single_use=True)])
    ledger.apply(Claim("tok-1", "s1"), NOW, randomness())
    (entry,) = ledger.entries(NOW).values()
    assert entry.used_by == "s1"


@pytest.mark.parametrize("fields", [{"revoked_at": NOW}, {"expires_at": NOW - LEEWAY_S}])
def test_dead_token_is_not_claimed(fields: dict[str, float]) -> None:
    with pytest.raises(Unauthorized):
        Ledger([record(1, single_use=True, **fields)]).apply(Claim("tok-1", "s1"), NOW, randomness())


def test_unknown_token_is_not_claimed() -> None:
    with pytest.raises(Unauthorized):
        Ledger().apply(Claim("tok-1", "s1"), NOW, randomness())


def test_claim_of_a_token_for_many_uses_changes_nothing() -> None:
    ledger = Ledger([record(1)])
    assert ledger.apply(Claim("tok-1", "s1"), NOW, randomness()) == Applied(None, None)
    assert ledger.get("tok-1") == record(1)


# --- to look


def test_last_use_is_the_latest_that_was_told_and_never_in_the_future() -> None:
    ledger = Ledger([record(1), record(2)])
    ledger.apply(Touch({"tok-1": NOW - 10, "tok-2": NOW + 999, "tok-3": NOW}), NOW, randomness())
    ledger.apply(Touch({"tok-1": NOW - 20}), NOW, randomness())
    assert [found.last_used_at for found in ledger] == [NOW - 10, NOW]


def test_list_is_in_the_order_of_creation_and_paged() -> None:
    ledger = Ledger(record(number) for number in range(5))
    page = ledger.lines(TokensRequest(offset=1, limit=2), NOW)
    assert [line.id for line in page.tokens] == ["tok-1", "tok-2"]
    assert page.of == 5


def test_list_stops_at_1024() -> None:
    ledger = Ledger(record(number) for number in range(2_000))
    assert len(ledger.lines(TokensRequest(limit=5_000), NOW).tokens) == 1_024


def test_negative_offset_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        Ledger().lines(TokensRequest(offset=-1), NOW)


def test_copy_is_changed_by_itself() -> None:
    ledger = Ledger([record(1)])
    ledger.copy().apply(Revoke("tok-1", ""), NOW, randomness())
    assert ledger.get("tok-1") == record(1)


# --- the file


def test_ledger_reads_back_as_it_was_written() -> None:
    ledger = Ledger([record(1, note="ä"), record(2, single_use=True, used_by="s", used_at=NOW, expires_at=NOW, revoked_at=1.5)])
    assert list(decode_ledger(encode_ledger(ledger))) == list(ledger)


def test_empty_ledger_reads_back() -> None:
    assert list(decode_ledger(encode_ledger(Ledger()))) == []


@pytest.mark.parametrize(
    "data",
    [b"{", b"[]", b'{"version":2,"tokens":[]}', b'{"version":1,"tokens":[{}]}', b"\xff", encode_ledger(Ledger([record(1)]))[:-4]],
)
def test_damaged_file_is_told(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode_ledger(data)


def edited(before: bytes, after: bytes) -> bytes:
    data = encode_ledger(Ledger([record(1)]))
    assert before in data
    return data.replace(before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"publish:a", b"fly:a"),
        (b'"scopes":["publish:a"]', b'"scopes":["publish:a"],"clients":["a.>.b"]'),
        (b'"created_at":1700000000.0', b'"created_at":1e300'),
        (b'"created_at":1700000000.0', b'"created_at":-1'),
        (digest_of("1").encode(), b"secret"),
        (b'"tok-1"', b'""'),
    ],
)
def test_file_that_an_editor_has_spoilt_is_told(before: bytes, after: bytes) -> None:
    with pytest.raises(ValueError):
        decode_ledger(edited(before, after))


@given(data=st.binary(max_size=200))
def test_no_file_is_read_in_another_way_than_by_a_refusal(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode_ledger(data)


@pytest.mark.parametrize("twin", [record(1), TokenRecord(id="tok-2", digest=digest_of("1"), scopes=())])
def test_file_with_a_token_twice_is_told(twin: TokenRecord) -> None:
    with pytest.raises(ValueError, match="twice"):
        Ledger([record(1), twin])
