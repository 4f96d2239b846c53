"""Delivery between actors of one process: later, in order, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from majula.actorsystem.local import LocalPost
from majula.actorsystem.outbox import DATA_HIGH_BYTES
from majula.messages.base import Address, Message


class Note(Message, frozen=True, array_like=True, tag="test.local.Note"):
    """Numbered."""

    number: int


class TurnedLoop:
    """Runs what was called soon when the test says so."""

    def __init__(self) -> None:
        self._soon: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def call_soon(self, call: Callable[..., object], *values: object) -> None:
        self._soon.append((call, values))

    def turn(self) -> None:
        soon, self._soon = self._soon, []
        for call, values in soon:
            call(*values)


class Recorder:
    """A mailbox that notes what came; `on_receive` does something on top."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        self.on_receive: Callable[[], object] = lambda: None

    def receive(self, message: Message, sender: Address) -> None:
        self.seen.append((message, sender))
        self.on_receive()

    def receive_frames(self, frames: bytes, sender: Address) -> None:
        self.seen.append((len(frames), sender))

    def returned(self, message: Message, target: Address) -> None:
        self.seen.append(("returned", message, target))

    def writable(self, target: Address) -> None:
        self.seen.append(("writable", target))


@pytest.fixture
def loop() -> TurnedLoop:
    return TurnedLoop()


@pytest.fixture
def boxes() -> dict[int, Recorder]:
    return {1: Recorder(), 2: Recorder()}


@pytest.fixture
def post(loop: TurnedLoop, boxes: dict[int, Recorder]) -> LocalPost:
    return LocalPost(cast(asyncio.AbstractEventLoop, loop), "a7", boxes, lambda: False)


def test_message_is_delivered_in_a_later_turn_with_its_senders_address(
    post: LocalPost, loop: TurnedLoop, boxes: dict[int, Recorder]
) -> None:
    assert post.send(2, 1, Note(0))
    assert boxes[2].seen == []
    loop.turn()
    assert boxes[2].seen == [(Note(0), "a7#1")]


def test_messages_keep_their_order(post: LocalPost, loop: TurnedLoop, boxes: dict[int, Recorder]) -> None:
    for number in range(10):
        post.send(2, 1, Note(number))
    loop.turn()
    assert boxes[2].seen == [(Note(number), "a7#1") for number in range(10)]


def test_what_is_sent_while_delivering_waits_for_the_next_turn(
    post: LocalPost, loop: TurnedLoop, boxes: dict[int, Recorder]
) -> None:
    boxes[2].on_receive = lambda: post.send(2, 2, Note(9))
    post.send(2, 1, Note(0))
    loop.turn()
    assert len(boxes[2].seen) == 1
    loop.turn()
    assert len(boxes[2].seen) == 2


def test_nothing_is_queued_for_a_target_that_does_not_exist(post: LocalPost) -> None:
    assert not post.send(3, 1, Note(0))


def test_message_whose_target_ended_meanwhile_goes_back_to_its_sender(
    post: LocalPost, loop: TurnedLoop, boxes: dict[int, Recorder]
) -> None:
    post.send(2, 1, Note(0))
    del boxes[2]
    loop.turn()
    assert boxes[1].seen == [("returned", Note(0), "a7#2")]


def test_batches_beyond_the_mark_are_refused_and_their_sender_is_told_when_there_is_room(
    post: LocalPost, loop: TurnedLoop, boxes: dict[int, Recorder]
) -> None:
    assert post.send(2, 1, bytes(DATA_HIGH_BYTES))
    assert not post.send(2, 1, b"x")
    loop.turn()
    loop.turn()
    assert boxes[1].seen == [("writable", "a7#2")]
    assert post.send(2, 1, b"x")


def test_messages_pass_while_batches_are_refused(post: LocalPost) -> None:
    post.send(2, 1, bytes(DATA_HIGH_BYTES))
    assert post.send(2, 1, Note(0))


def test_messages_that_wait_are_bounded(post: LocalPost) -> None:
    sent = 0
    while post.send(2, 1, Note(0)):
        sent += 1
    assert sent == 100_000


def test_a_batch_whose_target_ended_meanwhile_is_counted(post: LocalPost, loop: TurnedLoop, boxes: dict[int, Recorder]) -> None:
    post.send(2, 1, b"x")
    del boxes[2]
    loop.turn()
    assert post.batches_lost == 1


def test_who_was_refused_a_message_hears_when_half_of_the_queue_is_gone(loop: TurnedLoop, boxes: dict[int, Recorder]) -> None:
    post = LocalPost(cast(asyncio.AbstractEventLoop, loop), "a7", boxes, lambda: False, items_limit=4)
    assert [post.send(2, 1, Note(number)) for number in range(5)] == [True, True, True, True, False]
    loop.turn()
    loop.turn()
    assert boxes[1].seen == [("writable", "a7#2")]
