"""What every test may lean on: hypothesis profiles, and nothing hidden.

The machine that runs the tests may be slow and shared: no example is failed for its duration.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")
