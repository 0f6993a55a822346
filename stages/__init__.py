"""One script per stage. This is imported before any of them, and so before torch."""

import os

from mygo.launch.guard import stop_with_parent

# Threads that wait by spinning slow a stage down a hundredfold where another program holds a core.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
stop_with_parent()
