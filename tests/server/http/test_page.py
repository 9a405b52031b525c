import asyncio
import threading
import time

from webhook.server.http.page import Page


def run(program):
    return asyncio.run(asyncio.wait_for(program, 10))


def test_who_asks_at_the_same_time_shares_one_rendering():
    rendered = []

    async def program():
        page = Page(lambda: rendered.append(threading.current_thread()) or len(rendered))
        return await asyncio.gather(*(page() for _ in range(100)))

    assert set(run(program())) == {1}
    assert rendered[0] is not threading.main_thread()


def test_who_asks_while_it_is_rendered_gets_what_is_rendered_afterwards():
    begun, go_on = threading.Event(), threading.Event()
    at_once = []

    def render():
        at_once.append(1)
        assert len(at_once) == 1
        begun.set()
        assert go_on.wait(5)
        at_once.pop()
        return time.monotonic()

    async def program():
        page = Page(render)
        first = asyncio.create_task(page())
        await asyncio.to_thread(begun.wait)
        asked = time.monotonic()
        others = [asyncio.create_task(page()) for _ in range(10)]
        await asyncio.sleep(0)
        go_on.set()
        return asked, await first, set(await asyncio.gather(*others))

    asked, first, others = run(program())
    assert len(others) == 1
    assert min(others) > first > asked


def test_after_a_rendering_the_thread_rests():
    async def program():
        page = Page(lambda: time.sleep(0.05))
        begun = time.monotonic()
        for _ in range(3):
            await page()
        return time.monotonic() - begun

    assert run(program()) > 0.5


def test_a_rendering_that_fails_is_tried_again():
    answers = iter([ValueError("broken"), "well"])

    def render():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def program():
        page = Page(render)
        failed = await asyncio.gather(page(), return_exceptions=True)
        return failed, await page()

    failed, answer = run(program())
    assert (type(failed[0]), answer) == (ValueError, "well")
