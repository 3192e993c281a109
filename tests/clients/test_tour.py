"""The README's first tour, as it stands there, on a fresh installation; the user guide too.

Both are taken whole on a node, with the kubectl on PATH, and with every kubectl found on a control plane alone, without
the sections whose headings end in `(on a node)`.

A `sh` block is run command by command in one shell; the `text` block that follows it, if any, is what it prints,
loosely: its lines must appear in this order, others may stand between them, runs of blanks are alike, `…` is anything.
A command that ends in `# refused` must fail, others must not; one that ends in `# kubectl 1.N or newer` is left out for
older ones. A block that only looks is tried again until it shows what it should, as a reader would.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import click
import pytest
from tests.conftest import System, kubectl_binaries

from arktos.cli import main
from arktos.cli.agent_limits import FLAGS as limit_flags

ROOT = Path(__file__).resolve().parents[2]
LOOKS = re.compile(
    r"(acme|globex|operator|kubectl \S+ \S+|arktos) (get|describe|status|events|exec|logs|top)\b|\w+=\$\("
)
SINCE = re.compile(r"# kubectl 1\.(\d+) or newer$")
ON_A_NODE = re.compile(r"^#{2,3} [^\n]* \(on a node\)\n.*?(?=^#{2,3} |\Z)", re.MULTILINE | re.DOTALL)
PAUSE = 0.1
"""Seconds between two looks: each is several processes."""
PATIENCE = 15.0
PATIENCE_ON_A_NODE = 90.0


@dataclass(frozen=True)
class Step:
    """Commands, and the lines that they shall print."""

    commands: tuple[str, ...]
    shown: tuple[str, ...]

    @property
    def looks(self) -> bool:
        return all(LOOKS.match(command) for command in self.commands)


def tour() -> str:
    """The section "The first tour" of the README."""
    return (ROOT / "README.md").read_text().split("\n## The first tour\n")[1].split("\n## ")[0]


def user_guide() -> str:
    return (ROOT / "docs/user-guide.md").read_text()


def without_node(page: str) -> str:
    """A page without the sections that need a node."""
    return ON_A_NODE.sub("", page)


def steps(page: str) -> list[Step]:
    found: list[Step] = []
    for language, body in re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        lines = tuple(body.splitlines())
        if language == "sh":
            found.append(Step(lines, ()))
        elif language == "text":
            found[-1] = Step(found[-1].commands, lines)
    return found


def missing(shown: Sequence[str], printed: str) -> str | None:
    """The first line that was not printed where it should have been."""
    rest = iter(printed.splitlines())
    for line in shown:
        pattern = re.compile(r"\s+".join(re.escape(word).replace("…", ".*") for word in line.split()))
        if not any(pattern.search(printed_line) for printed_line in rest):
            return line
    return None


class Shell:
    """A bash that takes commands one at a time."""

    def __init__(self, folder: Path, env: dict[str, str], within: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [*within, "bash"],
            cwd=folder,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, command: str, seconds: float = 120.0) -> tuple[str, int]:
        """What a command printed, standard error included, and its exit code."""
        assert self._process.stdin is not None and self._process.stdout is not None
        overdue = threading.Timer(seconds, self._process.kill)
        overdue.start()
        self._process.stdin.write(f'{{ {command}\n}} </dev/null\necho "@@done $?"\n')
        self._process.stdin.flush()
        printed: list[str] = []
        for line in self._process.stdout:
            before, mark, code = line.rpartition("@@done ")
            if mark:
                overdue.cancel()
                return "".join(printed) + before, int(code)
            printed.append(line)
        pytest.fail(f"{command} did not end in {seconds} s:\n{''.join(printed)}")


def take(shell: Shell, step: Step, minor: int, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        printed, wrong = "", ""
        for command in step.commands:
            since = SINCE.search(command)
            if since and minor < int(since[1]):
                continue
            output, code = shell.run(command)
            printed += output
            if (code != 0) != command.endswith("# refused"):
                wrong = f"{command} ended with {code}"
        absent = missing(step.shown, printed)
        if not wrong and absent is None:
            return
        if not step.looks or time.monotonic() > deadline:
            pytest.fail(f"{wrong or f'not printed: {absent}'}\n{chr(10).join(step.commands)}\n---\n{printed}")
        time.sleep(PAUSE)


def binaries() -> list[Any]:
    """Every kubectl, those that `ARKTOS_KUBECTL` names included; those between the oldest and the newest are heavy."""
    extra = [name for name in os.environ.get("ARKTOS_KUBECTL", "").split(":") if name]
    found = kubectl_binaries()
    return [
        *(pytest.param(found[i], id=Path(found[i]).name) for i in sorted({0, 1, len(found) - 1}) if i < len(found)),
        *(pytest.param(name, id=Path(name).name, marks=pytest.mark.heavy) for name in found[2:-1]),
        *(pytest.param(name, id=f"extra-{i}") for i, name in enumerate(extra)),
    ]


def walk(cluster: System, folder: Path, binary: str, page: str, patience: float = PATIENCE) -> None:
    """Does what a page says, as a reader in a copy of this directory would."""
    tools, here = folder / "bin", folder / "here"
    tools.mkdir(parents=True)
    here.mkdir()
    (tools / "kubectl").symlink_to(binary)
    (here / ".venv").symlink_to(ROOT / ".venv")
    shutil.copytree(ROOT / "examples", here / "examples")
    told = subprocess.run([binary, "version", "--client", "-o", "json"], capture_output=True, check=False).stdout
    minor = int(json.loads(told)["clientVersion"]["minor"].rstrip("+"))
    env = {
        **os.environ,
        "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(cluster.home),
        "ARKTOS_DATA_DIR": cluster.settings.data_dir,
        "ARKTOS_UP_PORT": str(cluster.settings.port),
    }
    with Shell(here, env, cluster.within) as shell:
        for step in steps(page):
            take(shell, step, minor, patience)
    assert {path.name for path in here.iterdir()} == {"examples", ".venv"}


@pytest.mark.parametrize("binary", binaries())
def test_tour(cluster: System, tmp_path: Path, binary: str) -> None:
    walk(cluster, tmp_path, binary, without_node(tour()))


def test_user_guide(cluster: System, tmp_path: Path) -> None:
    walk(cluster, tmp_path, kubectl_binaries()[0], without_node(user_guide()))


@pytest.mark.parametrize("page", [tour, user_guide])
def test_on_a_node(own_node: System, tmp_path: Path, page: Callable[[], str]) -> None:
    walk(own_node, tmp_path / "reader", kubectl_binaries()[0], page(), PATIENCE_ON_A_NODE)


def test_what_needs_a_node() -> None:
    page = "# A\na\n## B (on a node)\nb\n### C\nc\n## D (on a node)\nd\n"
    assert without_node(page) == "# A\na\n### C\nc\n"
    assert len(without_node(tour())) < len(tour())


def test_what_counts_as_printed() -> None:
    printed = "NAME  READY   AGE\nweb   0/3     5s\nother 1/1     9s\n"
    assert missing(["web 0/3 …", "other   1/1"], printed) is None
    assert missing(["other 1/1", "web 0/3"], printed) == "web 0/3"
    assert missing(["web 1/3"], printed) == "web 1/3"


def test_every_block_is_read() -> None:
    for page in (tour(), user_guide()):
        found = steps(page)
        assert len(found) == page.count("```sh\n") > 5
        assert sum(1 for step in found if step.shown) == page.count("```text\n")


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path) -> None:
    """Also to a heading, where a link names one."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}, link


COMMANDS = ("up", "down", "apiserver", "controllers", "scheduler", "node token", "node join")
"""Those whose flags the pages for operators name, each of them."""


def flags(words: str) -> set[str]:
    """Those of a command."""
    found: click.Command = main
    for word in words.split():
        assert isinstance(found, click.Group)
        inner = found.get_command(click.Context(found), word)
        assert inner is not None
        found = inner
    return {option for param in found.params for option in param.opts if option.startswith("--")}


def test_operators_pages_name_every_flag() -> None:
    """And the page on operations no other."""
    operations, node = ((ROOT / "docs" / name).read_text() for name in ("operations.md", "node.md"))
    named = {page: set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page)) for page in (operations, node)}
    known = set().union(*map(flags, COMMANDS)) | {"--config"}
    assert known - named[operations] - named[node] == set()
    assert named[operations] - known == set()
    limits = {name for name, *_ in limit_flags}
    assert limits - named[node] == set()


def test_picture_is_drawn_by_its_script() -> None:
    drawn = subprocess.run(
        [sys.executable, ROOT / "scripts/draw_system.py"], capture_output=True, text=True, check=True
    ).stdout
    assert drawn == (ROOT / "docs/system.svg").read_text()
