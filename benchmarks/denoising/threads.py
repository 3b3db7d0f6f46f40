"""One thread for each worker: the bench runs cells side by side, and speeds are of one thread.

The numeric libraries read their thread counts when they are loaded, so workers must be born with them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let processes started meanwhile use one thread."""
    before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ.update(dict.fromkeys(_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def use_one_thread() -> None:
    """Keep torch of this process to one thread."""
    import torch

    torch.set_num_threads(1)
