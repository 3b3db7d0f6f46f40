"""Files that are not what was written: torn checkpoints, a log with its tail cut or a byte changed (P3, P8)."""

import random
import shutil
import time
from pathlib import Path

import httpx

from benchmarks.chaos.judge import checkpoint_files, different, newest, weights_of
from benchmarks.chaos.kills import facts, rest
from benchmarks.chaos.rig import Rig
from benchmarks.chaos.scenario import Effort, Figure, Outcome, scenario
from benchmarks.serving.processes import until
from contract.errors import CheckpointError, SetupError
from trainer.checkpoint import CheckpointStore


@scenario(
    "the newest checkpoint cut short, one bit flipped, or its tail zeroed",
    "each damage is found, the checkpoint before is taken, and the log replayed to the same weights",
)
def torn_checkpoint(directory: Path, effort: Effort) -> Outcome:
    """Damage files; for three of them let a trainer start on them, too."""
    damages, draw = effort.of(300, 3_000), random.Random(effort.seed)
    with Rig(directory) as rig:
        with rig.start().feeding(seed=effort.seed) as fed:
            until(lambda: len(checkpoint_files(rig.home)) >= 4, 60, "four checkpoints")
        rig.settle()
        final = newest(rig.home)
        assert final is not None
        found = sum(_is_found(rig.home, directory / "torn", kind % 3, draw) for kind in range(damages))
        unequal, wrong = [], []
        for kind in range(3):
            files = checkpoint_files(rig.home)
            files[-1].write_bytes(_damaged(files[-1].read_bytes(), kind, draw))
            rig.settle()
            after = newest(rig.home)
            assert after is not None
            unequal += different(weights_of(final), weights_of(after))
            wrong += [f"{after.account} is not {final.account}"] if _sums(after.account) != _sums(final.account) else []
        judgement = rig.judge(fed)
    why = [judgement.why()] if not judgement.holds else []
    why += [f"only {found} of {damages} damages were found"] if found < damages else []
    why += [f"{len(unequal)} arrays differ after a start on a damaged checkpoint"] if unequal else []
    return Outcome(not (why or wrong), {"damages": damages, "found": found, **facts(judgement)}, "; ".join(why + wrong))


@scenario(
    "the server killed, the tail of its append-only file cut, its clock an hour back (faketime)",
    "no new event is skipped and none trained twice: ids go on behind what the checkpoint covers",
    needs=("faketime",),
)
def aof_tail_cut(directory: Path, effort: Effort) -> Outcome:
    """Take from a server what it had promised, as a lying disk does, and see that what comes after is not lost too."""
    cuts, draw = effort.of(3, 100), random.Random(effort.seed)
    lost = missed = 0
    twice: list[str] = []
    for number in range(cuts):
        with Rig(directory / str(number)) as rig:
            with rig.start().feeding(seed=effort.seed + number) as before:
                time.sleep(draw.uniform(0.5, 2.0))  # the moment of the cut is drawn
            until(lambda now=rig: newest(now.home, arrays=False) is not None, 60, "a checkpoint")  # type: ignore[misc]
            rig.trainer.kill()
            rig.server.kill()
            _cut_tail(rig.server.directory, draw.randrange(100, 20_000))
            rig.server.around = ["faketime", "-f", "-1h"]
            rig.server.start()
            rig.start_trainer()
            with rig.feeding(seed=effort.seed + number, prefix="n") as after:
                until(lambda fed=after: len(fed.ledger.acknowledged()) > 200, 60, "feedback after the cut")  # type: ignore[misc]
            late = set(after.ledger.acknowledged())
            try:
                rig.settle(60.0)
            except SetupError:  # not all is learned: what came after the cut and is missing is counted as skipped
                rig.trainer.close()
            judgement = rig.judge(after, weights=False)
            missed += len(late & set(judgement.lost))
            twice += judgement.twice
            gone = rig.judge(before, weights=False)
            lost += len(gone.lost)
    why = [f"{missed} events that came after the cut were skipped"] if missed else []
    why += [f"{len(twice)} events twice"] if twice else []
    return Outcome(
        not why, {"cuts": cuts, "lost_with_the_bytes": lost, "skipped": missed, "twice": len(twice)}, "; ".join(why)
    )


@scenario(
    "a byte in the middle of the append-only file changed while the server is down",
    "the server refuses to start, scoring goes on, feedback answers 503; the check tool mends the file",
)
def aof_middle_corrupt(directory: Path, effort: Effort) -> Outcome:
    """Corrupt the log, see what still answers, then mend it by the book."""
    with Rig(directory) as rig:
        with rig.start().feeding(seed=effort.seed) as before:
            until(lambda: len(before.ledger.acknowledged()) > 500, 60, "feedback before the damage")
        rig.server.kill()
        file = max((rig.server.directory / "appendonlydir").glob("*.incr.aof"), key=lambda one: one.stat().st_size)
        content = bytearray(file.read_bytes())
        place = content.index(b"\r\n*", len(content) // 2) + 2
        content[place] = 0x21
        file.write_bytes(content)
        why = []
        try:
            rig.server.start(10.0)
            why.append("the server took a corrupt file")
        except SetupError:
            pass
        rig.server.close()
        score = httpx.post(
            f"{rig.service.url}/v1/score", json={"user_id": "u1", "candidates": ["v1"]}, timeout=5, trust_env=False
        ).status_code
        event = {"event_id": "x", "user_id": "u", "item_id": "v", "at": 1, "watch_ms": 1}
        feedback = httpx.post(f"{rig.service.url}/v1/feedback", json=event, timeout=5, trust_env=False).status_code
        why += [f"score answered {score}"] if score != httpx.codes.OK else []
        why += [f"feedback answered {feedback}"] if feedback != httpx.codes.SERVICE_UNAVAILABLE else []
        mended = _mend(file, directory)
        if not rig.trainer.is_alive():
            why.append("the trainer ended")
            rig.start_trainer()
        rig.server.start()
        with rig.feeding(seed=effort.seed, prefix="n") as fed:
            until(lambda: len(fed.ledger.acknowledged()) > 200, 60, "feedback after the mending")
        judgement = rest(rig, fed, weights=False)
        skipped = len(judgement.lost)
    why += [f"{skipped} events that came after the mending were lost"] if skipped else []
    figures: dict[str, Figure] = {
        "score_status": score,
        "feedback_status": feedback,
        "mended": mended,
        "skipped": skipped,
    }
    return Outcome(not why, figures, "; ".join(why))


def _is_found(home: Path, torn: Path, kind: int, draw: random.Random) -> bool:
    """Damage a copy of the newest checkpoint and return whether the store refuses it."""
    shutil.rmtree(torn, ignore_errors=True)
    torn.mkdir()
    whole = checkpoint_files(home)[-1]
    copy = torn / whole.name
    copy.write_bytes(_damaged(whole.read_bytes(), kind, draw))
    try:
        CheckpointStore(torn, 2).read(copy)
    except CheckpointError:
        return True
    return False


def _damaged(content: bytes, kind: int, draw: random.Random) -> bytes:
    place = draw.randrange(len(content))
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]
    length = len(content)
    start = max(1, length - draw.randrange(1, 65_536))
    zeroed = content[:start] + bytes(length - start)
    return zeroed if zeroed != content else content[:-1]


def _cut_tail(directory: Path, count: int) -> None:
    file = max((directory / "appendonlydir").glob("*.incr.aof"), key=lambda one: one.stat().st_size)
    content = file.read_bytes()
    file.write_bytes(content[: max(0, len(content) - count)])


def _mend(file: Path, directory: Path) -> str:
    """Cut the file at the first command that cannot be read, as the server's own check tool does."""
    import subprocess

    from benchmarks.chaos.parts import server_binary

    tool = directory / "valkey-check-aof"
    tool.symlink_to(server_binary())  # the server does the tool's work when it is called by that name
    run = subprocess.run([tool, "--fix", file], input=b"y\n", capture_output=True, check=False)
    return "by valkey-check-aof --fix" if run.returncode == 0 else f"the tool ended with {run.returncode}"


def _sums(account: dict[str, int]) -> tuple[int, int]:
    return account["trained"], account["dead"]
