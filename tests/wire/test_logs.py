"""Logs: one line per event, whatever is in it."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from arktos.wire import logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where a configured process would write; logging as it was afterwards."""
    root = logging.getLogger()
    before, level, loud = root.handlers[:], root.level, logging.raiseExceptions
    output = io.StringIO()
    logs.configure("apiserver", output)
    yield output
    root.handlers[:] = before
    root.setLevel(level)
    logging.raiseExceptions = loud


def test_an_event_is_one_line_of_json_with_its_fields(stream: io.StringIO) -> None:
    logs.get_logger("arktos.x").info("range_taken", tenant="acme\nevil", revision=17, path=Path("/a"))
    (line,) = stream.getvalue().splitlines()
    found = json.loads(line)
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "info",
        "component": "apiserver",
        "event": "range_taken",
        "tenant": "acme\nevil",
        "revision": 17,
        "path": "/a",
    }


def test_fields_cannot_pretend_to_be_another_event(stream: io.StringIO) -> None:
    fields: dict[str, object] = {"level": "error", "component": "other"}
    logs.get_logger("arktos.x").warning("odd", **fields)
    found = json.loads(stream.getvalue())
    assert (found["level"], found["component"]) == ("warning", "apiserver")


def test_fields_can_be_bound_once(stream: io.StringIO) -> None:
    bound = logs.get_logger("arktos.x").bind(tenant="acme", name="a")
    bound.info("seen", name="b")
    found = json.loads(stream.getvalue())
    assert (found["tenant"], found["name"]) == ("acme", "b")


def test_an_exception_brings_its_traceback_in_the_same_line(stream: io.StringIO) -> None:
    try:
        raise ValueError("broken %s")
    except ValueError:
        logs.get_logger("arktos.x").exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: broken %s" in json.loads(line)["exception"]


def test_what_libraries_say_has_the_same_form(stream: io.StringIO) -> None:
    logging.getLogger("asyncio").error("Task %s was destroyed", "t1")
    logging.getLogger("asyncio").debug("too much")
    assert json.loads(stream.getvalue())["event"] == "Task t1 was destroyed"


def test_text_for_people() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s", ("serving",), None)
    record.__dict__["arktos_fields"] = {"port": 6443}
    assert logs.TextLines("apiserver").format(record).endswith("info    apiserver   serving port=6443")


def test_a_log_that_cannot_be_written_is_no_failure() -> None:
    program = (
        "import sys; from arktos.wire import logs\n"
        "logs.configure('x', open('/dev/full', 'w')); logs.get_logger('a').info('lost'); print('alive')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "alive\n"
    assert "Traceback" not in done.stderr
