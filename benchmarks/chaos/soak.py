"""Hours of feedback with a fault every few minutes: what grows slowly shows here and nowhere else (P2, P3, P11)."""

import os
import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.chaos.hostile import rss_mb
from benchmarks.chaos.kills import facts, rest
from benchmarks.chaos.rig import Rig
from benchmarks.chaos.scenario import Effort, Figure, Outcome, scenario

_HOURS = 4
_SEGMENTS = 4  # service and trainer live through one, so that their growth can be told
_EVERY_S = 120.0
_RATE = 200.0  # half of what the other scenarios send
_SLOPE_MB_H = 16.0
_FDS_MORE = 8
_STOPPED_S = 3.0


@dataclass
class Growth:
    """What one process held, over a segment."""

    at_s: list[float] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)  # MB
    fds: list[int] = field(default_factory=list)

    def look(self, pid: int) -> None:
        """Note what a process holds now."""
        self.at_s.append(time.monotonic())
        self.rss.append(rss_mb(pid))
        self.fds.append(len(os.listdir(f"/proc/{pid}/fd")))

    def slope_mb_h(self) -> float:
        """Return the growth in MB an hour over the second half: caches are full by then."""
        half = len(self.at_s) // 2
        if len(self.at_s) - half < 3:
            return 0.0
        return float(np.polyfit(np.array(self.at_s[half:]) / 3_600, self.rss[half:], 1)[0])

    def more_fds(self) -> int:
        """Return how many descriptors were gained from the second quarter to the last.

        By medians: a version that is opened while another is compared with it holds its tables, for a moment.
        """
        quarter = len(self.fds) // 4
        if not quarter:
            return 0
        return int(np.median(self.fds[-quarter:]) - np.median(self.fds[quarter : 2 * quarter]))


@scenario(
    f"{_HOURS} hours of feedback; every two minutes the log's server killed or stopped, each hour everything killed",
    f"0 lost, 0 twice; service and trainer grow by at most {_SLOPE_MB_H:g} MB an hour and hold no more descriptors",
)
def soak(directory: Path, effort: Effort) -> Outcome:
    """Run for hours. Weights are not compared: the kills are judged by them, and a second run would take as long."""
    if not effort.long:
        return Outcome(False, {"not_run": f"takes {_HOURS} hours: --long"})
    return soaked(directory, _HOURS * 3_600.0, _EVERY_S, effort.seed)


def soaked(directory: Path, seconds: float, every_s: float, seed: int) -> Outcome:
    """Run for so long, with a fault every so often."""
    draw, faults, died = random.Random(seed), 0, 0
    grown: dict[str, list[Growth]] = {"service": [], "trainer": []}
    with Rig(directory) as rig:
        with rig.start().feeding(seed=seed, rate=_RATE) as fed:
            for _ in range(_SEGMENTS):
                parts = {"service": rig.service, "trainer": rig.trainer}
                pids = {name: part.pid for name, part in parts.items()}
                growth = {name: Growth() for name in parts}
                ends = time.monotonic() + seconds / _SEGMENTS
                while time.monotonic() < ends:
                    time.sleep(draw.uniform(0.5, 1.5) * every_s)
                    for name, each in growth.items():
                        each.look(pids[name])
                    _disturb(rig, kill=draw.random() < 0.5)
                    faults += 1
                    died += sum(not part.is_alive() for part in parts.values())
                for name, each in growth.items():
                    grown[name].append(each)
                _kill_everything(rig)
        judgement = rest(rig, fed, weights=False)
    slopes = {name: max(each.slope_mb_h() for each in several) for name, several in grown.items()}
    more = {name: max(each.more_fds() for each in several) for name, several in grown.items()}
    why = [judgement.why()] if not judgement.holds else []
    why += [f"the {name} grows by {slope:.1f} MB an hour" for name, slope in slopes.items() if slope > _SLOPE_MB_H]
    why += [f"the {name} holds {count} more descriptors" for name, count in more.items() if count > _FDS_MORE]
    why += [f"{died} times service or trainer ended by a fault of the server's"] if died else []
    figures: dict[str, Figure] = {"hours": round(seconds / 3_600, 2), "faults": faults}
    figures |= {f"{name}_mb_an_hour": round(slope, 1) for name, slope in slopes.items()}
    figures |= {f"{name}_more_descriptors": count for name, count in more.items()}
    return Outcome(not why, {**figures, **facts(judgement, weights=False)}, "; ".join(why))


def _disturb(rig: Rig, kill: bool) -> None:
    if kill:
        rig.server.kill()
        rig.server.start()
        return
    rig.server.signal(signal.SIGSTOP)
    time.sleep(_STOPPED_S)
    rig.server.signal(signal.SIGCONT)


def _kill_everything(rig: Rig) -> None:
    for part in (rig.server, rig.service, rig.trainer):
        part.kill()
    rig.server.start()
    rig.service.start()
    rig.start_trainer()
