"""A good file takes over, a bad one changes nothing but the record of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from meshproxy.control.reload import Outcome, Reloader
from meshproxy.control.watch import Text, Watch
from meshproxy.core.route import Snapshot
from meshproxy.settings.errors import ConfigError, Problem


@dataclass
class Built:
    snapshot: Snapshot


@dataclass
class Proxy:
    """The app's side: a config is text, `bad` is refused, `taken` cannot be adopted."""

    time: float = 100.0
    adopted: list[int] = field(default_factory=list)
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    bugs: list[Exception] = field(default_factory=list)

    def load(self, data: bytes, generation: int) -> Built:
        text = data.decode()
        if text == "bad":
            raise ConfigError("f.yaml", [Problem(3, 5, ("inbound", "app"), "no such thing")])
        if text == "bug":
            raise KeyError("oops")
        return Built(Snapshot(generation, f"digest of {text.strip()}", {}, (), {"text": text}))

    async def adopt(self, built: Built) -> None:
        await asyncio.sleep(0)
        if built.snapshot.source == {"text": "taken"}:
            raise OSError(98, "Address already in use")
        self.adopted.append(built.snapshot.generation)

    def tell(self, event: str, **fields: Any) -> None:
        self.told.append((event, fields))

    def wall(self) -> float:
        return self.time


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "meshproxy.yaml"
    path.write_text("one")
    return path


def run(file: Path, steps: Callable[[Reloader[Built], Proxy], Any]) -> Any:
    async def whole() -> Any:
        proxy = Proxy()
        reloader = Reloader(
            Watch(file), proxy.load, proxy.adopt, proxy.tell, proxy.wall, proxy.bugs.append
        )
        await reloader.begin()
        return await steps(reloader, proxy)

    return asyncio.run(whole())


async def looked(reloader: Reloader[Built]) -> list[Outcome]:
    """What a few looks in a row bring."""
    return [outcome for _ in range(4) if (outcome := await reloader.look())]


def test_the_first_load_is_generation_one(file: Path) -> None:
    async def steps(reloader: Reloader[Built], proxy: Proxy) -> None:
        standing = reloader.standing
        assert (standing.ok, standing.generation, standing.digest) == (True, 1, "digest of one")
        assert (standing.at, standing.succeeded_at) == (100.0, 100.0)
        assert proxy.adopted == [1]
        assert proxy.told == []

    run(file, steps)


@pytest.mark.parametrize(("text", "error"), [("bad", ConfigError), ("taken", OSError)])
def test_a_first_load_that_fails_is_the_callers_to_tell(
    file: Path, text: str, error: type[Exception]
) -> None:
    file.write_text(text)
    with pytest.raises(error):
        run(file, lambda *_: asyncio.sleep(0))


def test_a_new_file_takes_over_and_its_changes_are_told(file: Path) -> None:
    async def steps(reloader: Reloader[Built], proxy: Proxy) -> None:
        file.write_text("two")
        proxy.time = 200.0
        outcome = await reloader.reload("admin")
        assert outcome == Outcome(True, "admin", 2, "digest of two", (), ("text: one -> two",))
        assert proxy.adopted == [1, 2]
        assert reloader.snapshot is not None
        assert reloader.snapshot.generation == 2
        assert reloader.standing.succeeded_at == 200.0
        ((event, fields),) = proxy.told
        assert (event, fields["changes"]) == ("config_reloaded", ["text: one -> two"])

    run(file, steps)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bad", "f.yaml:3:5: inbound.app: no such thing"),
        ("bug", "KeyError"),
        ("taken", "Address already in use"),
        ("\udcff", "UnicodeDecodeError"),
    ],
)
def test_whatever_is_wrong_the_old_one_stays(file: Path, text: str, words: str) -> None:
    async def steps(reloader: Reloader[Built], proxy: Proxy) -> None:
        file.write_bytes(text.encode("utf-8", "surrogateescape"))
        proxy.time = 200.0
        outcome = await reloader.reload("signal")
        assert (outcome.ok, outcome.generation, outcome.digest) == (False, 1, "digest of one")
        assert len(proxy.bugs) == (words in ("KeyError", "UnicodeDecodeError"))
        assert words in outcome.errors[0]
        standing = reloader.standing
        assert (standing.ok, standing.at, standing.succeeded_at) == (False, 200.0, 100.0)
        assert standing.errors == outcome.errors
        assert proxy.adopted == [1]
        ((event, fields),) = proxy.told
        assert (event, fields["level"]) == ("config_rejected", "error")

    run(file, steps)


def test_after_a_bad_file_the_old_one_again_is_a_success_without_a_swap(file: Path) -> None:
    async def steps(reloader: Reloader[Built], proxy: Proxy) -> None:
        file.write_text("bad")
        assert not (await reloader.reload("admin")).ok
        file.write_text("one")
        outcome = await reloader.reload("admin")
        assert (outcome.ok, outcome.generation, outcome.changes) == (True, 1, ())
        assert reloader.standing.errors == ()
        assert proxy.adopted == [1]

    run(file, steps)


def test_the_same_meaning_in_other_bytes_is_adopted_for_its_line_numbers(file: Path) -> None:
    async def steps(reloader: Reloader[Built], proxy: Proxy) -> None:
        file.write_text("\none")
        assert (await reloader.reload("admin")).generation == 2

    run(file, steps)


def test_a_failed_reload_does_not_use_up_a_generation(file: Path) -> None:
    async def steps(reloader: Reloader[Built], proxy: Proxy) -> None:
        for text in ("bad", "taken", "bug", "two"):
            file.write_text(text)
            outcome = await reloader.reload("admin")
        assert outcome.generation == 2

    run(file, steps)


def test_a_look_reloads_once_per_change(file: Path) -> None:
    async def steps(reloader: Reloader[Built], proxy: Proxy) -> None:
        assert await looked(reloader) == []
        file.write_text("two")
        (outcome,) = await looked(reloader)
        assert (outcome.ok, outcome.reason, outcome.generation) == (True, "file", 2)
        file.write_text("bad")
        (outcome,) = await looked(reloader)
        assert not outcome.ok
        assert await looked(reloader) == []

    run(file, steps)


def test_a_vanished_file_is_told_once_and_its_return_repairs(file: Path) -> None:
    async def steps(reloader: Reloader[Built], proxy: Proxy) -> None:
        file.unlink()
        (outcome,) = await looked(reloader)
        assert outcome.errors == (f"{file}: No such file or directory",)
        assert not reloader.standing.ok
        assert await looked(reloader) == []
        file.write_text("one")
        (outcome,) = await looked(reloader)
        assert (outcome.ok, outcome.generation) == (True, 1)
        file.unlink()
        assert len(await looked(reloader)) == 1, "a second time is told again"

    run(file, steps)


def test_reloads_come_one_after_the_other_and_the_newest_wins(file: Path) -> None:
    async def steps(reloader: Reloader[Built], proxy: Proxy) -> None:
        first = asyncio.ensure_future(reloader.reload("signal"))
        file.write_text("two")
        second = asyncio.ensure_future(reloader.reload("admin"))
        file.write_text("three")
        third = asyncio.ensure_future(reloader.reload("file"))
        await asyncio.gather(first, second, third)
        assert reloader.standing.digest == "digest of three"
        assert proxy.adopted == [1, 2]

    run(file, steps)


def test_watching_sees_a_change_and_ends_when_cancelled(file: Path) -> None:
    async def steps(reloader: Reloader[Built], proxy: Proxy) -> None:
        reloaded = asyncio.Event()
        proxy.tell = lambda event, **fields: reloaded.set()  # type: ignore[method-assign]
        reloader._tell = proxy.tell
        watching = asyncio.ensure_future(reloader.watch())
        file.write_text("two")
        await asyncio.wait_for(reloaded.wait(), 5)
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching
        assert reloader.standing.generation == 2

    run(file, steps)


def test_a_config_without_a_file_reloads_to_itself() -> None:
    async def steps() -> None:
        proxy = Proxy()
        text = Text("standard input", b"one")
        reloader = Reloader(
            text, proxy.load, proxy.adopt, proxy.tell, proxy.wall, proxy.bugs.append
        )
        await reloader.begin()
        assert (await reloader.reload("admin")).ok
        assert await looked(reloader) == []
        assert proxy.adopted == [1]

    asyncio.run(steps())
