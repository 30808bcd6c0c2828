"""Progress bars on standard error; none where that is not a terminal."""

from __future__ import annotations

import threading
from typing import Any

from tqdm import tqdm

# The defaults, a monitor thread and a lock shared between processes, would make a
# fork copy a running thread and leave semaphores to be tracked.
tqdm.monitor_interval = 0
tqdm.set_lock(threading.RLock())


def progress_bar(total: int, label: str, unit: str) -> tqdm[Any]:
    """Return a bar to be used as a context manager and moved on by ``update``."""
    return tqdm(total=total, desc=label, unit=unit, disable=None, leave=False)
