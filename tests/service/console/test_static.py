"""The files of the page: open, with rules of their own, and none from elsewhere."""

from pathlib import Path

import pytest

from service.console.static import PAGES, read_pages
from service.settings import ServiceSettings
from tests.service.console.ports import Ports, ports_of


@pytest.mark.parametrize("path", ["/console", "/console/"])
def test_the_page_is_on_both_ports_and_may_load_from_beside_it_only(ports: Ports, path: str) -> None:
    for client in (ports.callers, ports.admin):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert answer.content == (PAGES / "index.html").read_bytes()
        policy = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        assert answer.headers.get_list("content-security-policy") == [policy]
        assert answer.headers.get_list("cache-control") == ["no-cache"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_every_file_is_served_and_not_again_while_it_has_not_changed(ports: Ports) -> None:
    for path, page in read_pages().items():
        answer = ports.callers.get(f"/console/{path}")
        assert (answer.content, answer.headers["content-type"]) == (page.content, page.media_type), path
        again = ports.callers.get(f"/console/{path}", headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "../static.py",
        "%2e%2e/static.py",
        "..%2fstatic.py",
        "//etc/passwd",
        "%00",
        "index.html%00.js",
        "a" * 5_000,
        "INDEX.HTML",
    ],
)
def test_a_path_that_is_none_of_the_files_leads_nowhere(ports: Ports, path: str) -> None:
    answer = ports.callers.get(f"/console/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.headers["content-security-policy"] == "default-src 'none'"


def test_only_files_of_known_kinds_are_read(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    for name in ("a.js", "lib/b.css", "c.py", ".hidden"):
        (tmp_path / name).write_text("x")
    assert list(read_pages(tmp_path)) == ["a.js", "lib/b.css"]


def test_it_can_be_turned_off(settings: ServiceSettings) -> None:
    with ports_of(settings.model_copy(update={"console": False})) as ports:
        for client in (ports.callers, ports.admin):
            assert client.get("/console").status_code == 404
            assert client.get("/console/api/session").status_code == 404
