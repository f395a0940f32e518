"""What all tests share: how hypothesis behaves here and in CI."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A busy machine is no failure, so nothing is judged by the clock.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# In CI the same examples run each time: a red run is the change's doing, and repeats at home with
# HYPOTHESIS_PROFILE=ci. New examples are found on the machines of those who write the tests.
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "local"))
