"""A plugin of pytest for slow machines: at most EXAMPLES examples for each test of hypothesis."""

import os

from hypothesis import HealthCheck, settings

MOST = int(os.environ["EXAMPLES"])


def pytest_collection_modifyitems(items):
    for item in items:
        function = item.obj
        if getattr(function, "is_hypothesis_test", False):
            own = function._hypothesis_internal_use_settings
            function._hypothesis_internal_use_settings = settings(
                own,
                max_examples=min(MOST, own.max_examples),
                suppress_health_check=[*own.suppress_health_check, HealthCheck.too_slow],
            )
