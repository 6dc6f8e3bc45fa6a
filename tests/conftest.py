"""What every test shares."""

import os

from hypothesis import settings

# No deadline: how long an example takes says nothing on a busy machine. CI must give the same
# result twice.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "local")

# The machine's own proxies are nothing to servers on loopback.
for name in list(os.environ):
    if name.lower().endswith("_proxy"):
        del os.environ[name]
