"""For all tiers: no test fails because the machine is busy."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "orch", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("orch")
