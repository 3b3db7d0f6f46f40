"""The console's files: nothing from elsewhere, nothing that the content policy forbids, and the vendored as it came."""

import hashlib
import re
from pathlib import Path

import service.console

PAGES = Path(service.console.__file__).parent / "pages"
OURS = sorted(path for path in PAGES.rglob("*.*") if "vendor" not in path.parts)
_NAMESPACE = "http://www.w3.org/2000/svg"  # a name, never asked


def test_vendored_files_are_those_that_their_digests_name() -> None:
    vendored = PAGES / "vendor" / "uplot"
    lines = (vendored / "VERSION").read_text().splitlines()[1:]
    digests = {name: digest for digest, name in (line.split() for line in lines)}
    assert set(digests) == {path.name for path in vendored.iterdir()} - {"VERSION"}
    assert digests == {name: hashlib.sha256((vendored / name).read_bytes()).hexdigest() for name in digests}


def test_no_file_asks_another_host() -> None:
    for path in OURS:
        text = path.read_text().replace(_NAMESPACE, "")
        assert re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text) == [], path


def test_no_file_has_a_style_or_script_that_the_policy_forbids() -> None:
    page = (PAGES / "index.html").read_text()
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", page) == []
    for path in OURS:
        if path.suffix == ".js":
            assert (
                re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\(|new Function", path.read_text()) == []
            ), path


def test_every_module_that_is_imported_is_there() -> None:
    for path in OURS:
        if path.suffix == ".js":
            for name in re.findall(r'from "(\.[^"]+)"', path.read_text()):
                assert (path.parent / name).is_file(), f"{path.name} imports {name}"


def test_files_are_short_enough_to_read_in_one_go() -> None:
    assert {path.name: n for path in OURS if (n := len(path.read_text().splitlines())) > 300} == {}
