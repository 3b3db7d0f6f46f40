"""Requests made from the OpenAPI document by schemathesis, against a real service (P11; F30)."""

import re
import subprocess
import sys
from pathlib import Path

from benchmarks.chaos.scenario import Effort, Outcome, scenario
from benchmarks.serving.processes import winnow_service

CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance,status_code_conformance"
_CASES = re.compile(r"(\d+) (?:test cases )?generated")


@scenario(
    fault="requests that schemathesis makes of the OpenAPI document, valid ones and broken ones",
    invariant="no server error, and every answer is one that the document describes",
)
def schemathesis_cases(work: Path, effort: Effort) -> Outcome:
    """Run schemathesis; its own exit status and report are the judge."""
    each = effort.of(110, 4_000)  # of every operation, and there are a dozen
    (work / "labels").mkdir(exist_ok=True)  # where there is none, a receipt is a documented 501
    with winnow_service(work) as service:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json"]
        options = ["--checks", CHECKS, "--phases", "fuzzing", "-n", str(each), "--seed", str(effort.seed)]
        ran = subprocess.run(
            [*command, *options, "--no-color"],
            cwd=work,  # it keeps notes there
            capture_output=True,
            text=True,
            timeout=effort.of(300, 7_200),
            check=False,
        )
    cases = _CASES.search(ran.stdout)
    said = (ran.stdout + ran.stderr).strip()[-1_500:]
    figures = {"cases": int(cases[1]) if cases else 0, "exit_status": ran.returncode}
    return Outcome(ran.returncode == 0 and cases is not None, figures, "" if ran.returncode == 0 else said)
