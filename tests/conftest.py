"""For all tests: compute threads that do not spin, because several processes compute side by side on few cores.

Set before torch is imported, in this process and in all that tests start.
"""

from __future__ import annotations

import os

from llm_core.backend.thread_waiting import thread_environment

os.environ.update(thread_environment())
