"""What a log line looks like: one per record, its fields named, no line break, no secret of another's making."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from pve_evpn import logs

log = logging.getLogger("pve_evpn.engine.example")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def broken() -> None:
    raise ValueError("first\nsecond")


def test_text_ends_with_the_fields_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "text")
    with logs.fields(cluster="dc1"):
        log.info("applied %d changes", 3, extra={"transaction": "ab12", "object": "VNet lab/web"})
    line = capsys.readouterr().err
    assert line.endswith(' INFO engine.example: applied 3 changes cluster=dc1 object="VNet lab/web" transaction=ab12\n')
    assert line[:20].endswith(("Z", ".")), "UTC"


def test_json_has_one_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", "json")
    log.warning("it waits", extra={"cluster": "dc1"})
    record = json.loads(capsys.readouterr().err)
    assert (record["event"], record["level"], record["cluster"]) == ("it waits", "warning", "dc1")
    assert record["timestamp"].endswith("Z")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_stays_on_its_line(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", form)  # type: ignore[arg-type]
    try:
        broken()
    except ValueError:
        log.exception("a sync failed\nin two lines")
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert "ValueError: first | second (at test_logs.py" in text
    assert "broken < test_logs.py" in text


def test_what_others_log_below_warning_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("DEBUG", "text")
    logging.getLogger("proxmoxer.core").info("POST https://pve1 password=secret")
    log.debug("GET /version: ok in 3 ms")
    written = capsys.readouterr().err
    assert "secret" not in written
    assert "GET /version: ok in 3 ms" in written
