"""What the tests of every folder share."""

import os
import signal
from contextlib import suppress

pytest_plugins = ["tests.labs"]

# Where modules may not be kept compiled, as in many containers, each of the Pythons that tests start compiles pytest anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# `kill`, a pipeline's time limit or a machine that goes down end us as Ctrl-C does: what tests started is ended with them.
with suppress(ValueError):  # not in the main thread
    signal.signal(signal.SIGTERM, signal.default_int_handler)

# `nohup` has us ignore lost sessions, and all that we start would inherit that.
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

# So does a script that starts us in its background with Ctrl-C.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGINT, signal.default_int_handler)
