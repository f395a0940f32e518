"""A bounded number of simulated runs; see the package's docstring."""

from __future__ import annotations

import pytest

from tests.sim.cluster import Cluster


@pytest.mark.parametrize("seed", range(1, 151))
def test_run(seed: int) -> None:
    try:
        Cluster(seed).run()
    except Exception as error:
        pytest.fail(
            f"{type(error).__name__}: {error}\nreplay: python -m tests.sim {seed} --trace", pytrace=False
        )
