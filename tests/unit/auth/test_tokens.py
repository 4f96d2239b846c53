"""What a token looks like, and how it is found."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from majula.auth import Secret, TokenIndex, digest_of, has_token, is_token, make_token, without_tokens
from majula.auth.tokens import make_token_id

RANDOM = st.binary(min_size=32, max_size=32)


@given(random=RANDOM)
def test_token_is_a_prefix_and_43_characters(random: bytes) -> None:
    text = make_token(random).reveal()
    assert text.startswith("mjl_")
    assert len(text) == 47
    assert is_token(text)


@given(first=RANDOM, second=RANDOM)
def test_different_random_bytes_are_different_tokens(first: bytes, second: bytes) -> None:
    assert (make_token(first) == make_token(second)) == (first == second)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_token_is_made_of_256_bits(size: int) -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        make_token(bytes(size))


@pytest.mark.parametrize("text", ["", "mjl_", "mjl_" + "a" * 42, "mjl_" + "a" * 44, "mjl_" + "a" * 42 + "=", "mjl-" + "a" * 43])
def test_what_is_no_token_is_told_by_its_shape(text: str) -> None:
    assert not is_token(text)


def test_token_is_seen_within_a_text_and_taken_out() -> None:
    token = make_token(bytes(range(32))).reveal()
    assert has_token(f"GET /pub?token={token}&x=1")
    assert without_tokens(f"a {token} b") == "a mjl_*** b"


def test_text_without_a_token_stays() -> None:
    assert not has_token("mjl_short")
    assert without_tokens("mjl_short") == "mjl_short"


@given(random=st.binary(min_size=8, max_size=8))
def test_id_of_a_token_is_short_and_has_no_ambiguous_letters(random: bytes) -> None:
    found = make_token_id(random)
    assert len(found) == 12
    assert not set(found[4:]) & set("ilo01")


def test_secret_is_not_printed() -> None:
    secret = Secret("canary")
    assert [repr(secret), str(secret), f"{secret}", f"{secret!r:>5}", "".join(["<", str(secret), ">"])] == [
        "***",
        "***",
        "***",
        "  ***",
        "<***>",
    ]


def test_secret_is_compared_by_content() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"


def test_secret_is_neither_pickled_nor_copied_by_pickling() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret("canary"))
    with pytest.raises(TypeError):
        copy.deepcopy(Secret("canary"))


def test_secret_cannot_become_a_key() -> None:
    with pytest.raises(TypeError):
        hash(Secret("canary"))


def test_index_finds_the_value_of_a_token() -> None:
    index = TokenIndex[str]()
    index.put(digest_of("one"), "first")
    index.put(digest_of("two"), "second")
    assert index.find("one") == "first"
    assert index.find("two") == "second"
    assert index.find("three") is None


def test_index_forgets_a_removed_token() -> None:
    index = TokenIndex[str]()
    index.put(digest_of("one"), "first")
    index.remove(digest_of("one"))
    index.remove(digest_of("one"))
    assert index.find("one") is None


def test_index_tells_digests_apart_that_begin_alike() -> None:
    index = TokenIndex[str]()
    digest = digest_of("one")
    index.put(digest[:16] + "0" * 48, "stranger")
    assert index.find("one") is None
    index.put(digest, "first")
    assert index.find("one") == "first"


def test_digest_of_an_undecodable_text_is_no_exception() -> None:
    assert len(digest_of("\udcff")) == 64
    assert len(digest_of("ä")) == 64
