"""The exporter follows the config: a courier where there is a queue, else none."""

from __future__ import annotations

import asyncio

from .exporting import SERVICE, Scene, play


def test_a_courier_is_there_with_the_first_queue_and_goes_with_it() -> None:
    async def script(scene: Scene) -> None:
        scene.follow(interval=3600.0)
        assert len(asyncio.all_tasks()) == 2
        scene.follow(interval=3600.0)
        assert len(asyncio.all_tasks()) == 2, "the same one goes on"

    play(script)


def test_where_export_is_switched_off_what_waits_still_leaves() -> None:
    async def script(scene: Scene) -> None:
        scene.follow(interval=3600.0)
        scene.add()
        scene.exporter.follow(None, None, SERVICE)
        await scene.until(lambda: scene.post.closed)
        assert scene.counts() == {"sent": 2}
        scene.add(1000)
        assert len(scene.post.bodies) == 1, "nobody listens to the old queue"
        while scene.spans.held:
            scene.spans.forget(scene.spans.first())

    play(script)


def test_without_export_there_is_no_task_and_no_sample() -> None:
    async def script(scene: Scene) -> None:
        scene.exporter.follow(None, None, SERVICE)
        assert list(scene.exporter.samples()) == []

    play(script)
