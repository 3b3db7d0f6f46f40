"""What goes on in a thread while a block runs."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor


@contextlib.contextmanager
def meanwhile(act: Callable[[], object], every_s: float) -> Iterator[None]:
    """Act every `every_s` seconds until the block ends; then raise what `act` raised, which ended it."""
    stopping = threading.Event()

    def go_on() -> None:
        while not stopping.wait(every_s):
            act()

    with ThreadPoolExecutor(1, "meanwhile") as pool:
        going = pool.submit(go_on)
        try:
            yield
        finally:
            stopping.set()
        going.result()
