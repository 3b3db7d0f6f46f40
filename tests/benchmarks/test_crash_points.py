"""Steps of a checkpoint and of a publication, every fourth killed once; the scenarios kill all."""

from pathlib import Path

from benchmarks.chaos.crash_points import kill_each_checkpoint_step, kill_each_publish_step
from benchmarks.chaos.crash_scenarios import send, small_worker
from benchmarks.chaos.drawn import drawn


def test_a_kill_within_a_checkpoint_leaves_the_state_before_or_after(log_url: str, home: Path) -> None:
    send(log_url, drawn(120, 1, "a"))
    small_worker(home, log_url).drain()
    send(log_url, drawn(120, 2, "b"))
    steps, wrong = kill_each_checkpoint_step(lambda: small_worker(home, log_url), home, log_url, stride=4)
    assert wrong == []
    assert steps > 20


def test_a_kill_within_a_publication_leaves_a_whole_champion(log_url: str, home: Path) -> None:
    send(log_url, drawn(120, 1, "a"))
    worker = small_worker(home, log_url)
    worker.drain()
    worker.publish()
    steps, wrong = kill_each_publish_step(lambda: small_worker(home, log_url), home, log_url, stride=4)
    assert wrong == []
    assert steps > 20
