"""The work queue's promises, each alone; and all of them together under random work."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest

from podpin.core.names import Key
from podpin.queue import LONGEST_BACKOFF, WorkQueue
from tests.virtual_time import in_virtual_time, now

A, B, C, D = (Key("shop", name) for name in "abcd")


async def drain(queue: WorkQueue) -> list[Key]:
    """All keys that can be had at once, each given back before the next is taken."""
    had = []
    while len(queue):
        had.append(await take(queue))
        queue.done(had[-1])
    return had


async def take(queue: WorkQueue) -> Key:
    key = await queue.get()
    assert key is not None
    return key


@in_virtual_time
async def test_nothing_added_is_nothing_to_do() -> None:
    queue = WorkQueue()
    getting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(3600)
    assert queue.idle
    assert not getting.done()
    queue.stop()
    assert await getting is None


@in_virtual_time
async def test_keys_come_in_the_order_in_which_they_were_added() -> None:
    queue = WorkQueue()
    for key in (B, A, C):
        queue.add(key)
    assert await drain(queue) == [B, A, C]
    assert queue.idle


@in_virtual_time
async def test_a_key_that_is_added_twice_waits_once() -> None:
    queue = WorkQueue()
    for key in (A, A, B, A):
        queue.add(key)
    assert len(queue) == 2
    assert await drain(queue) == [A, B]


@in_virtual_time
async def test_a_key_that_was_added_twice_has_no_second_place_in_line() -> None:
    queue = WorkQueue()
    for key in (A, A, B):
        queue.add(key)
    assert await take(queue) == A
    queue.add(A)
    queue.done(A)
    assert await drain(queue) == [B, A]


@in_virtual_time
async def test_whoever_waits_for_a_key_is_woken() -> None:
    queue = WorkQueue()
    workers = [asyncio.ensure_future(queue.get()) for _ in range(3)]
    await asyncio.sleep(1)
    queue.add(A)
    queue.add(B)
    await asyncio.sleep(1)
    assert sorted(worker.result() or "" for worker in workers if worker.done()) == [A, B]
    queue.stop()
    assert None in await asyncio.gather(*workers)


@in_virtual_time
async def test_a_key_is_never_worked_on_twice_at_the_same_time() -> None:
    queue = WorkQueue()
    queue.add(A)
    assert await take(queue) == A
    queue.add(A)
    queue.add(A)
    second = asyncio.ensure_future(queue.get())
    await asyncio.sleep(1)
    assert not second.done()
    queue.done(A)
    assert await second == A
    queue.done(A)
    assert queue.idle


@in_virtual_time
async def test_a_key_that_was_left_alone_while_it_was_worked_on_does_not_come_back() -> None:
    queue = WorkQueue()
    queue.add(A)
    await take(queue)
    assert not queue.idle
    queue.done(A)
    assert queue.idle
    assert len(queue) == 0


@in_virtual_time
async def test_live_news_goes_before_the_bulk() -> None:
    queue = WorkQueue()
    for key in (A, B, C):
        queue.add(key, bulk=True)
    queue.add(D)
    assert await drain(queue) == [D, A, B, C]


@in_virtual_time
async def test_live_news_of_a_key_in_the_bulk_lifts_it_and_it_comes_once() -> None:
    queue = WorkQueue()
    for key in (A, B, C):
        queue.add(key, bulk=True)
    queue.add(C)
    queue.add(C)
    assert len(queue) == 3
    assert await drain(queue) == [C, A, B]


@in_virtual_time
async def test_the_bulk_does_not_hold_back_what_is_live_already() -> None:
    queue = WorkQueue()
    queue.add(B)
    queue.add(A)
    queue.add(A, bulk=True)
    assert await drain(queue) == [B, A]


@in_virtual_time
async def test_a_key_served_from_the_live_line_leaves_no_place_in_the_bulk() -> None:
    queue = WorkQueue()
    queue.add(A, bulk=True)
    queue.add(B, bulk=True)
    queue.add(A)
    assert await take(queue) == A
    queue.done(A)
    queue.add(A, bulk=True)
    assert await drain(queue) == [B, A]


@in_virtual_time
async def test_a_key_comes_later_when_it_is_due() -> None:
    queue = WorkQueue()
    queue.add_later(A, 30)
    assert queue.idle
    assert await queue.get() == A
    assert now() == pytest.approx(30)


@pytest.mark.parametrize("waits", [(30, 10, 20), (10, 30), (10, 10)])
@in_virtual_time
async def test_the_earliest_time_asked_for_counts_and_only_once(waits: tuple[int, ...]) -> None:
    queue = WorkQueue()
    for wait in waits:
        queue.add_later(A, wait)
    assert await take(queue) == A
    assert now() == pytest.approx(10)
    queue.done(A)
    await asyncio.sleep(3600)
    assert queue.idle


@in_virtual_time
async def test_work_on_a_key_takes_the_place_of_what_was_due_later() -> None:
    queue = WorkQueue()
    queue.add_later(A, 30)
    queue.add(A)
    assert await take(queue) == A
    queue.done(A)
    await asyncio.sleep(3600)
    assert queue.idle


@in_virtual_time
async def test_what_falls_due_during_work_on_the_key_is_done_afterwards() -> None:
    queue = WorkQueue()
    queue.add(A)
    await take(queue)
    queue.add_later(A, 5)
    await asyncio.sleep(60)
    assert len(queue) == 0
    queue.done(A)
    assert await drain(queue) == [A]


@in_virtual_time
async def test_failures_come_back_ever_later_up_to_a_bound_and_for_that_key_alone() -> None:
    queue = WorkQueue()
    waits = [queue.failed(A) for _ in range(40)]
    assert waits[:4] == pytest.approx([0.005, 0.01, 0.02, 0.04])
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_BACKOFF
    assert queue.failed(B) == pytest.approx(0.005)


@in_virtual_time
async def test_a_failed_key_comes_back_by_itself_after_its_backoff() -> None:
    queue = WorkQueue()
    times = []
    queue.add(A)
    for _ in range(5):
        await take(queue)
        times.append(now())
        queue.failed(A)
        queue.done(A)
    assert [later - earlier for earlier, later in itertools.pairwise(times)] == pytest.approx([0.005, 0.01, 0.02, 0.04])


@in_virtual_time
async def test_a_wait_that_the_other_side_asked_for_is_kept() -> None:
    queue = WorkQueue()
    assert queue.failed(A, at_least=7) == 7
    assert await queue.get() == A
    assert now() == pytest.approx(7)


@in_virtual_time
async def test_a_backoff_can_be_given_an_end_which_a_wait_that_was_asked_for_may_pass() -> None:
    queue = WorkQueue()
    assert max(queue.failed(A, at_most=60) for _ in range(40)) == 60
    assert queue.failed(A, at_least=90, at_most=60) == 90
    assert queue.failed(A) == LONGEST_BACKOFF


@in_virtual_time
async def test_what_was_due_later_and_has_been_overtaken_takes_no_memory() -> None:
    queue = WorkQueue()
    queue.add_later(B, 50)
    for _ in range(10_000):
        queue.add_later(A, 3600)
        queue.add(A)
        await take(queue)
        queue.done(A)
    queue.add_later(A, 20)
    assert len(queue._later) < 100
    assert [await take(queue), now()] == [A, pytest.approx(20)]
    assert [await take(queue), now()] == [B, pytest.approx(50)]


@in_virtual_time
async def test_success_ends_the_backoff() -> None:
    queue = WorkQueue()
    for _ in range(10):
        queue.failed(A)
    queue.succeeded(A)
    queue.succeeded(B)
    assert queue.failed(A) == pytest.approx(0.005)


@in_virtual_time
async def test_a_forgotten_key_neither_comes_back_nor_keeps_its_backoff() -> None:
    queue = WorkQueue()
    queue.failed(A)
    queue.failed(A)
    queue.add_later(B, 1)
    queue.forget(A)
    await asyncio.sleep(3600)
    assert await drain(queue) == [B]
    assert queue.failed(A) == pytest.approx(0.005)


@in_virtual_time
async def test_a_stopped_queue_hands_out_nothing_and_takes_in_nothing() -> None:
    queue = WorkQueue()
    queue.add(A)
    queue.add(B)
    assert await take(queue) == A
    queue.add_later(C, 1)
    queue.stop()
    queue.add(D)
    queue.add(A)
    queue.add_later(D, 1)
    queue.failed(A)
    queue.done(A)
    await asyncio.sleep(60)
    assert await queue.get() is None
    assert await queue.get() is None


@pytest.mark.parametrize("seed", range(20))
@in_virtual_time
async def test_under_any_work_each_news_is_followed_by_a_look_and_no_two_work_on_one_key(seed: int) -> None:
    chance = random.Random(seed)
    keys = [Key("shop", str(number)) for number in range(5)]
    queue = WorkQueue()
    changed = dict.fromkeys(keys, 0)
    looked = dict.fromkeys(keys, 0)
    busy: set[Key] = set()

    async def work() -> None:
        while (key := await queue.get()) is not None:
            assert key not in busy
            busy.add(key)
            looked[key] = changed[key]
            await asyncio.sleep(chance.random())
            busy.remove(key)
            if chance.random() < 0.3:
                queue.failed(key)
            else:
                queue.succeeded(key)
                if chance.random() < 0.3:
                    queue.add_later(key, chance.random() * 10)
            queue.done(key)

    workers = [asyncio.ensure_future(work()) for _ in range(3)]
    for _ in range(300):
        key = chance.choice(keys)
        changed[key] += 1
        queue.add(key, bulk=chance.random() < 0.5)
        await asyncio.sleep(chance.random() * 0.2)
    await asyncio.sleep(3600)
    assert queue.idle
    assert looked == changed
    queue.stop()
    await asyncio.gather(*workers)
