"""The house checks itself: who imports whom, how long things are, and what each must have.

The tables are the rules. An exception stands in a table of its own with its reason; one that
is no longer needed fails too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from meshproxy.policies.registry import REGISTRY

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "meshproxy"
TESTS = ROOT / "tests"

MAY_IMPORT: dict[str, set[str]] = {
    "logic": set(),
    "core": {"logic"},
    "fleet": {"core", "logic"},
    "policies": {"core", "logic"},
    "telemetry": {"core", "logic"},
    "settings": {"policies", "core", "logic"},
    "dataplane": {"core", "logic"},
    "control": {"settings", "telemetry", "core"},
    "commands": {"settings", "control", "app", "supervisor"},
    "parts": {"core", "telemetry", "dataplane", "control"},
    "shown": {"core", "telemetry", "dataplane", "control", "parts"},
    "leaving": {"dataplane", "logic", "control", "settings"},
    "ties": {"control", "core", "leaving", "telemetry"},
    "supervisor": {
        "app",
        "control",
        "fleet",
        "logic",
        "dataplane",
        "settings",
        "telemetry",
        "worker",
    },
    "app": {
        "leaving",
        "ties",
        "logic",
        "core",
        "policies",
        "telemetry",
        "settings",
        "dataplane",
        "control",
        "parts",
        "shown",
    },
    "worker": {"app", "control", "core", "fleet", "leaving", "telemetry"},
    "__main__": {"commands"},
    "__init__": set(),
}
"""Down is dependency. The package's own version is everybody's to know."""

NEVER: dict[str, set[str]] = {
    "logic": {"asyncio", "time", "random", "logging", "os", "socket", "threading"},
    "core": {"asyncio", "time", "random", "logging", "os", "socket", "threading"},
    "policies": {"asyncio", "time", "random", "logging", "os", "socket", "threading"},
    "settings": {"asyncio", "time", "random", "socket"},
    "dataplane": {"pydantic", "logging", "random"},
}
"""Clocks, entropy and I/O come in as arguments; the data plane never sees a model."""

ONLY_IN: dict[str, set[str]] = {
    "aiohttp": {
        "control/admin.py",
        "control/collector.py",
        "control/dashboard.py",
        "control/live.py",
        "control/debug.py",
        "control/probes.py",
        "control/serving.py",
        "control/tap.py",
    },
    "yaml": {"settings/load.py", "commands/documents.py", "commands/anew.py"},
    "httptools": {"dataplane/chunks.py", "dataplane/heads.py"},
    "uvloop": {"app.py"},
    "logging": set(),
}
"""What would spread if nobody looked."""

WITHOUT_TEST: dict[str, str] = {
    "leaving.py": "real sockets and real seconds: tests/e2e/test_lifecycle.py",
    "dataplane/parting.py": "the end of connections: tests/e2e/test_lifecycle.py",
    "control/child.py": "processes: tests/e2e/test_lifecycle.py",
    "dataplane/samples.py": "counts of real connections: tests/e2e/test_telemetry.py",
    "dataplane/flow.py": "needs two transports that are full: tests/e2e/test_bodies.py",
    "dataplane/front.py": "rebinds real sockets: tests/e2e/test_reload.py",
    "dataplane/kinds.py": "a table: tests/dataplane/test_requests.py",
    "dataplane/choice.py": "part of the walk: tests/dataplane/test_conductor.py",
    "dataplane/endings.py": "part of the walk: tests/dataplane/test_conductor.py",
    "dataplane/keeping.py": "part of the walk: tests/dataplane/test_conductor.py",
    "dataplane/rare.py": "part of reading a head: tests/dataplane/test_requests.py",
    "dataplane/refusals.py": "constants: tests/dataplane/test_requests.py meets each",
    "dataplane/sides.py": "Protocols",
    "dataplane/link.py": "a transport, held and let go: tests/e2e/test_bodies.py",
    "dataplane/upstream.py": "a protocol shell: tests/e2e/test_responses.py, test_bad_origins.py",
    "parts.py": "only makes things: tests/e2e/test_telemetry.py and all others there",
    "shown.py": "what the ports ask of it: tests/e2e/test_admin.py",
    "app.py": "the wiring of everything: all of tests/e2e",
    "worker.py": "the wiring of one of several: tests/e2e/test_workers.py",
    "supervisor.py": "the other root: tests/e2e/test_workers.py, test_lifecycle.py",
    "ties.py": "a Protocol and an event: tests/e2e/test_workers.py, test_lifecycle.py",
    "control/serving.py": "what both ports stand on: tests/control/test_admin.py, test_probes.py",
    "control/view.py": "a Protocol and two records",
    "core/explanation.py": "records and Protocols",
    "core/foretold.py": "records and Protocols",
    "core/checkup.py": "a Protocol and two records",
    "core/exchange.py": "a record that the data plane fills: tests/dataplane",
    "core/ledger.py": "a dictionary with two views: tests/settings/test_compile.py",
    "core/report.py": "two Protocols and a record",
    "core/sharing.py": "Protocols",
    "core/route.py": "records and Protocols",
    "core/verdict.py": "records and one table: tests/dataplane/test_conductor.py walks it",
    "logic/rehearsal.py": "its counts equal those of real places: tests/policies/test_played.py",
    "policies/cache_foreseen.py": "held to the other half: tests/dataplane/test_foresight.py",
    "policies/learner.py": "the half of a policy: tests/policies/test_concurrency.py",
    "policies/places.py": "the half of a policy: tests/policies/test_concurrency.py",
    "policies/sheds.py": "one counter: tests/policies/test_concurrency.py, test_overload.py",
    "policies/contract.py": "Protocols; gather is tests/dataplane/test_conductor.py's",
    "policies/registry.py": "the list of policies",
}
"""Modules that no test file of their own covers, and what does."""

MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 70
LONGER: dict[str, str] = {
    "dataplane/conductor.py": "the walk, which is worth being read in one piece",
}
LONG_FUNCTIONS: dict[str, str] = {}

CATCHES_ALL: dict[str, str] = {
    "control/reload.py": "even a bug in loading must leave the old config serving",
    "control/rulebook.py": "even a bug in loading must leave the old config serving",
    "fleet/tie.py": "whoever asked a worker waits for its answer, and the next in its turn",
    "supervisor.py": "a bug in looking after workers must not be the end of them",
    "worker.py": "what ends a worker is told before it ends: its exit code says nothing",
    "control/serving.py": "a bug in a page is a line of the log and a 500, not text on stderr",
    "app.py": "a bug in one sweep must not be the end of all sweeps",
    "dataplane/conductor.py": "a bug in a policy ends its exchange with 500, and no other",
    "dataplane/dial.py": "whoever waits for a connection must hear that none comes",
    "dataplane/downstream.py": "a head or body that trips a bug ends its own exchange",
    "dataplane/upstream.py": "an answer that trips a bug ends its own exchange",
}
"""`except Exception`: a file each, with what would be lost without it."""


@dataclass(frozen=True)
class Module:
    """One file of the package, parsed."""

    path: str
    tree: ast.Module = field(repr=False)
    text: str = field(repr=False)

    @property
    def room(self) -> str:
        """The folder, or the module at the top of the package."""
        return self.path.partition("/")[0].removesuffix(".py")

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2].removesuffix(".py")

    def imports(self) -> Iterator[str]:
        """Full names of what it imports anywhere in it, also for types alone."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.path}: relative import"
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    def rooms(self) -> set[str]:
        """The rooms of ours that it imports from, without its own."""
        ours = {name.split(".")[1] for name in self.imports() if name.startswith("meshproxy.")}
        return ours - {self.room, "__version__"}

    def tops(self) -> set[str]:
        """The libraries that it imports."""
        return {name.partition(".")[0] for name in self.imports()}


def parsed(path: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    return Module(path.relative_to(PACKAGE).as_posix(), ast.parse(text), text)


MODULES = [parsed(path) for path in sorted(PACKAGE.rglob("*.py"))]
EACH = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.path)


@EACH
def test_a_room_imports_only_what_lies_below_it(module: Module) -> None:
    assert module.rooms() <= MAY_IMPORT[module.room]


@EACH
def test_clock_entropy_and_input_come_as_arguments(module: Module) -> None:
    assert module.tops() & NEVER.get(module.room, set()) == set()


@EACH
def test_a_library_stays_where_it_belongs(module: Module) -> None:
    spread = {name for name in module.tops() & ONLY_IN.keys() if module.path not in ONLY_IN[name]}
    assert spread == set()


@EACH
def test_a_module_says_what_it_is(module: Module) -> None:
    if module.text.strip():
        assert ast.get_docstring(module.tree), "no docstring"


@EACH
def test_a_file_fits_the_mind(module: Module) -> None:
    count = module.text.count("\n")
    assert (count > MOST_LINES) == (module.path in LONGER), f"{count} lines"


@EACH
def test_a_function_fits_the_eye(module: Module) -> None:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    long = {
        f"{module.path}:{node.name}"
        for node in ast.walk(module.tree)
        if isinstance(node, kinds)
        and (node.end_lineno or 0) - node.lineno + 1 > MOST_LINES_OF_A_FUNCTION
    }
    assert long == {name for name in LONG_FUNCTIONS if name.startswith(f"{module.path}:")}


@EACH
def test_a_module_has_its_tests(module: Module) -> None:
    if module.name == "__init__":
        return
    folder = TESTS if "/" not in module.path else TESTS / module.room
    name = module.name.strip("_")
    assert (folder / f"test_{name}.py").is_file() != (module.path in WITHOUT_TEST)


@EACH
def test_nothing_is_caught_without_a_word(module: Module) -> None:
    broad = [
        node.lineno
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type)
    ]
    assert bool(broad) == (module.path in CATCHES_ALL), f"except Exception at lines {broad}"


def _is_broad(caught: ast.expr | None) -> bool:
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(
        name is None or (isinstance(name, ast.Name) and name.id in {"Exception", "BaseException"})
        for name in names
    )


def test_a_policy_that_asks_for_its_route_is_built_for_each() -> None:
    """Others stand in many routes: what one of these says of itself must hold in them all."""
    asks = {
        module.name
        for module in MODULES
        if module.room == "policies" and re.search(r"\bscope\.(route\b|beside\b)", module.text)
    }
    assert asks == {spec.__module__.rpartition(".")[2] for spec in REGISTRY if spec.of_route}


@pytest.mark.parametrize("spec", REGISTRY, ids=lambda spec: spec.key)
def test_a_policy_has_its_tests_and_says_what_it_is_for(spec: type) -> None:
    name = spec.__module__.rpartition(".")[2]
    assert (TESTS / "policies" / f"test_{name}.py").is_file()
    assert spec.__doc__


def test_exceptions_are_made_for_files_that_exist() -> None:
    paths = {module.path for module in MODULES}
    named = {*WITHOUT_TEST, *LONGER, *CATCHES_ALL, *set().union(*ONLY_IN.values())}
    named |= {name.partition(":")[0] for name in LONG_FUNCTIONS}
    assert named <= paths


def test_every_room_is_in_the_table() -> None:
    assert {module.room for module in MODULES} == set(MAY_IMPORT)


def test_the_map_names_every_module_and_no_other() -> None:
    """The package's docstring is our page of architecture; its second half is prose."""
    page = ast.get_docstring(parsed(PACKAGE / "__init__.py").tree) or ""
    rooms = page.partition("Rooms.")[2].partition("The walk of a request")[0]
    drawn = {word for word in rooms.replace(":", " ").split() if word.strip("_").islower()}
    names = {module.name for module in MODULES} - {"__init__"}
    folders = {f"{module.room}/" for module in MODULES if "/" in module.path}
    assert (names | folders) - drawn == set()
    listed = {
        word for line in rooms.splitlines() if line.startswith("        ") for word in line.split()
    }
    assert listed - names == set()


def test_the_table_itself_has_no_circle() -> None:
    def below(room: str) -> set[str]:
        return MAY_IMPORT[room].union(*(below(one) for one in MAY_IMPORT[room]))

    assert all(room not in below(room) for room in MAY_IMPORT)
