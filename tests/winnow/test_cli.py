"""The command as a person meets it."""

import subprocess
import sys
from pathlib import Path

import orjson
import polars as pl


def winnow(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "winnow", *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_missing_log_is_one_line_that_says_where_to_find_the_data(tmp_path: Path) -> None:
    result = winnow("evaluate", "nowhere.csv", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert "nowhere.csv" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_bad_setting_names_the_field_and_the_choices(tmp_path: Path) -> None:
    result = winnow("train", "--target", "magic", cwd=tmp_path)
    assert result.returncode == 2
    assert "target" in result.stderr
    assert "idl-aligned" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_simulated_log_is_evaluated_with_every_figure(tmp_path: Path) -> None:
    assert (
        winnow(
            "simulate", "log.csv.gz", "--events", "6000", "--users", "200", "--items", "100", cwd=tmp_path
        ).returncode
        == 0
    )
    result = winnow("evaluate", "log.csv.gz", "--json", "figures.json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    figures = orjson.loads((tmp_path / "figures.json").read_bytes())
    wanted = "auc gauc ndcg_at_10 log_loss ece recovery_auc recovery_ece positives events events_per_second"
    assert set(wanted.split()) <= figures.keys()
    assert 5_800 < figures["events"] <= 6_000


def test_doctor_finds_a_server_and_a_writable_home(tmp_path: Path) -> None:
    result = winnow("doctor", "--home", str(tmp_path / "home"), cwd=tmp_path)
    assert result.returncode == 0, result.stdout
    assert "event log: embedded" in result.stdout.replace("\n", "")


def test_doctor_fails_on_a_redis_that_does_not_answer(tmp_path: Path) -> None:
    result = winnow("doctor", "--redis-url", "redis://127.0.0.1:1/0", cwd=tmp_path)
    assert result.returncode == 1
    assert "WINNOW_REDIS_URL" in result.stdout


def test_serving_commands_need_no_torch(tmp_path: Path) -> None:
    code = "import sys, winnow.cli, service.app; print(sorted({'torch', 'onnx', 'pyarrow'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_an_empty_label_log_says_when_there_will_be_labels(tmp_path: Path) -> None:
    result = winnow("labels", "export", "out.parquet", "--home", str(tmp_path), cwd=tmp_path)
    assert result.returncode == 2
    assert "checkpoint" in result.stderr


def test_a_demo_with_a_broken_log_counts_its_rows_by_reason(tmp_path: Path) -> None:
    header = "user_id,video_id,time_ms,play_time_ms,duration_ms\n"
    good = "".join(f"{n % 7},{n % 5},{1_650_000_000_000 + n},{900 * n % 20_000},10000\n" for n in range(200))
    bad = "1,2,1650000000300,abc,10000\n1,2,1650000000301,-5,10000\n" + "1,2,1650000000302,100,0\n" * 2 + "1,2\n"
    (tmp_path / "log.csv").write_text(header + good + bad)
    result = winnow("demo", "--data", "log.csv", "--json", "demo.json", "--home", "h", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    printed = " ".join(result.stdout.split())
    for reason in ("text in a number: 1", "negative watch: 1", "duration unknown: 1", "duplicate row: 1"):
        assert reason in printed
    figures = orjson.loads((tmp_path / "demo.json").read_bytes())
    assert figures["acknowledged"] == figures["account"]["trained"] == 201
    assert pl.read_parquet(tmp_path / "h/labels/**/*.parquet").height == 201
