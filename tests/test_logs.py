"""Log lines, as people and as programs read them."""

from __future__ import annotations

import json
import logging
import sys

from ironkv.logs import JsonLines


def test_a_json_line_holds_everything() -> None:
    try:
        raise ValueError("of\ntwo lines")
    except ValueError:
        record = logging.LogRecord(
            "ironkv.node", logging.ERROR, "x.py", 1, "it %s", ("broke",), sys.exc_info()
        )
    record.created = 1_700_000_000.25
    text = JsonLines().format(record)
    assert "\n" not in text
    line = json.loads(text)
    assert line.pop("error").endswith("ValueError: of\ntwo lines")
    assert line == {
        "time": "2023-11-14T22:13:20.250+00:00",
        "level": "error",
        "logger": "ironkv.node",
        "message": "it broke",
    }
