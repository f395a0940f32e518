"""`--rewrite` prints the traces of the scenarios anew: the diff is the review."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    try:
        parser.addoption("--rewrite", action="store_true", help="write the traces of scenario files anew")
    except ValueError:
        pass  # another folder's scenarios have brought the option already
