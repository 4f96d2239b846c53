"""From messages to changes of the ledger and back."""

from __future__ import annotations

import msgspec
import pytest

from majula.auth import make_token
from majula.auth.desk import as_answer, as_change, as_note, happening, is_own_end
from majula.auth.ledger import Applied, Claim, Create, Noted, Revoke, Touch
from majula.auth.operations import TokenCreateAnswer, TokenCreateRequest, TokenLine, TokenRequest
from majula.errors import DiskFull, InvalidRequest, Unauthorized
from majula.messages.auth import Audit, Spend, Spent, Used
from majula.messages.operations import Caller, Perform

LINE = TokenLine(id="tok-a", note="", scopes=("publish:a",))
CHANGED = Noted("uid:1", "tokens.create", {})


def perform(operation: str, request: msgspec.Struct) -> Perform:
    return Perform(7, operation, msgspec.msgpack.encode(request), Caller("uid:1", "ann"))


def test_messages_become_changes() -> None:
    request = TokenCreateRequest(scopes=("publish:a",))
    assert as_change(perform("tokens.create", request)) == Create(request, "uid:1")
    assert as_change(perform("tokens.revoke", TokenRequest("tok-a"))) == Revoke("tok-a", "uid:1")
    assert as_change(Spend(1, "tok-a", "s1", "ann")) == Claim("tok-a", "s1", "ann")
    assert as_change(Used({"tok-a": 1.0})) == Touch({"tok-a": 1.0})


def test_what_only_looks_is_no_change() -> None:
    assert as_change(perform("tokens.show", TokenRequest("tok-a"))) is None
    assert as_change(Audit("uid:1", "a.b")) is None


@pytest.mark.parametrize("data", [b"", b"\x07", b"\x81\xa6scopes\x07", b"\xc1"])
def test_parameters_that_are_none_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        as_change(Perform(1, "tokens.create", data, Caller("", "")))


def test_answer_of_an_operation_goes_back_under_its_number() -> None:
    answer = as_answer(perform("tokens.revoke", TokenRequest("tok-a")), Applied(LINE, None))
    assert answer is not None
    assert answer.number == 7
    assert msgspec.msgpack.decode(answer.answer, type=TokenLine) == LINE  # type: ignore[union-attr] # a Performed


def test_refusal_says_why() -> None:
    answer = as_answer(perform("tokens.revoke", TokenRequest("tok-a")), DiskFull())
    assert answer is not None
    assert answer.code == "disk_full"


def test_spent_says_whether_the_claim_has_won() -> None:
    spend = Spend(3, "tok-a", "s1")
    assert as_answer(spend, Applied(None, None)) == Spent(3)
    assert as_answer(spend, Unauthorized("too late")) == Spent(3, "unauthorized", "too late")


def test_nobody_is_told_about_last_uses_and_notes() -> None:
    assert as_answer(Used({}), Applied(None, None)) is None
    assert as_answer(Audit("", "a.b"), DiskFull()) is None


def test_note_of_somebody_else_is_kept_as_it_was_told() -> None:
    assert as_note(Audit("signal", "config.reload", {"x": 1})) == Noted("signal", "config.reload", {"x": 1})


def test_change_of_the_tokens_is_an_event() -> None:
    made = Applied(TokenCreateAnswer(token=LINE, secret="mjl_x"), CHANGED)
    assert happening(made) == ("token.created", {"token": "tok-a", "who": "uid:1"})
    assert happening(Applied(LINE, CHANGED)) == ("token.revoked", {"token": "tok-a", "who": "uid:1"})


def test_what_changed_nothing_is_no_event() -> None:
    assert happening(Applied(LINE, None)) is None
    assert happening(DiskFull()) is None
    assert happening(Applied(None, CHANGED)) is None


def test_secret_of_a_new_token_is_not_printed() -> None:
    secret = make_token(bytes(32)).reveal()
    assert secret not in repr(TokenCreateAnswer(token=LINE, secret=secret))


def test_end_of_the_own_token_is_known() -> None:
    request = msgspec.msgpack.encode(TokenRequest("tok-a"))
    assert is_own_end(Perform(7, "tokens.revoke", request, Caller("tok-a", "ann")))
    assert not is_own_end(Perform(7, "tokens.revoke", request, Caller("tok-b", "ann")))
    assert not is_own_end(Spend(1, "tok-a", "s1"))
