"""Every page of the console in a real browser, over a loop at work: what it shows, by keyboard, and what it changes."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tests.console.conftest import SCREENSHOTS
from tests.console.live_loop import BOT, LiveLoop, live_loop, until

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PAGES = ["loop", "directions", "labels", "audit", "models", "score"]
# What is there once a page has what it shows.
CONTENT = {
    "loop": ".tile",
    "directions": "table",
    "labels": "td .id",
    "audit": ".noise",
    "models": "table .badge",
    "score": "form",
}
GRAVE = {"serious", "critical"}


@pytest.fixture(scope="module")
def live(browser: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveLoop]:
    """The loop; `browser` first, so that nothing is started where there is none."""
    with live_loop(tmp_path_factory.mktemp("console")) as running:
        yield running


def opened(page: "Page", url: str, name: str, query: str = "") -> "Locator":
    """Open a page, wait until it has what it shows, and return its content."""
    page.goto(f"{url}/console/#/{name}{query}")
    page.wait_for_selector(f".page-{name} {CONTENT[name]}", state="attached")
    page.wait_for_selector("[aria-busy=true]", state="detached")
    return page.locator("main")


def some_row(live: LiveLoop, **query: str | int) -> dict[str, Any]:
    """Return a row of the label log that nothing was said about."""
    row: dict[str, Any] = live.ask("labels", label="unlabelled", hours=1, limit=1, **query)["rows"][0]
    return row


def grave_findings(page: "Page") -> list[tuple[str, str]]:
    """Return what axe calls serious or critical: the rule, and the first element that breaks it."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in GRAVE]


def expect_text(content: "Locator", *texts: str) -> None:
    for text in texts:
        content.get_by_text(re.compile(text)).first.wait_for()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_the_loop_in_light_and_dark_and_on_a_phone(page: "Page", live: LiveLoop, name: str) -> None:
    content = opened(page, live.url, name, "?user=" + some_row(live)["user_id"] if name == "score" else "")
    assert page.title() == f"{name.capitalize()} · Winnow"
    content.get_by_role("heading", level=1).wait_for()
    if name == "score":
        content.locator("td").first.wait_for()
    themes: list[Literal["light", "dark"]] = ["light", "dark"]
    for theme in themes:
        page.emulate_media(color_scheme=theme)
        assert grave_findings(page) == []
        page.screenshot(path=SCREENSHOTS / f"{name}_{theme}.png")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_every_page_is_reached_by_keyboard(page: "Page", live: LiveLoop) -> None:
    opened(page, live.url, "score")
    for name in PAGES:
        page.locator(f"#nav a[data-page={name}]").focus()
        page.keyboard.press("Enter")
        page.wait_for_selector(f"#nav a[data-page={name}][aria-current=page]")
        page.wait_for_selector(f"#main:focus .page-{name} h1")


def test_the_skip_link_leads_past_the_navigation(page: "Page", live: LiveLoop) -> None:
    opened(page, live.url, "models")
    page.keyboard.press("Tab")
    assert page.locator("a:focus").inner_text() == "Skip to the page"


def test_a_label_is_found_opened_and_left_by_keyboard(page: "Page", live: LiveLoop) -> None:
    row = some_row(live)
    content = opened(page, live.url, "labels")
    content.get_by_label("Its id").fill(row["user_id"])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**user={row['user_id']}")
    page.wait_for_selector("[aria-busy=true]", state="detached")
    button = content.get_by_role("button", name=row["event_id"])
    button.focus()
    page.keyboard.press("Enter")
    assert row["event_id"] in page.locator("h2:focus").inner_text()
    assert f"event={row['event_id']}" in page.url
    page.keyboard.press("Escape")
    assert row["event_id"] in page.locator("button:focus").inner_text()
    assert "event=" not in page.url


def test_a_link_to_an_event_shows_how_its_label_came_to_be(page: "Page", live: LiveLoop) -> None:
    row = some_row(live, flag="swipe")
    detail = opened(page, live.url, "labels", f"?event={row['event_id']}").locator(".detail")
    expect_text(detail, "swiped away", "longer than .* of views of like length", "before the watch", "Nothing")
    said = detail.get_by_role("img").get_attribute("aria-label") or ""
    assert all(
        word in said for word in ("before the watch", "after the evidence", "trained toward", "prior", "threshold")
    )
    assert detail.locator(".reasons li").count() >= len(row["reasons"])
    assert grave_findings(page) == []


def test_the_receipt_names_checkpoint_and_first_version(page: "Page", live: LiveLoop) -> None:
    oldest = live.ask("labels", hours=1, limit=200)["rows"][-1]
    receipt = opened(page, live.url, "labels", f"?event={oldest['event_id']}").locator(".receipt")
    expect_text(receipt, "Accepted", f"In checkpoint {oldest['checkpoint']}", "First served by")
    assert receipt.get_by_role("link").inner_text() in live.registry.versions()


def test_the_most_doubtful_come_first_when_asked(page: "Page", live: LiveLoop) -> None:
    content = opened(page, live.url, "labels")
    content.get_by_label("Order").select_option("doubtful")
    page.wait_for_url("**order=doubtful**")
    page.wait_for_selector("[aria-busy=true]", state="detached")
    shown = [int(text.split()[0]) for text in content.locator("tbody td:last-child").all_inner_texts()]
    assert len(shown) > 1
    assert shown == sorted(shown, reverse=True)
    assert shown[0] > shown[-1]


def test_the_audit_leads_from_a_suspect_to_its_labels(page: "Page", live: LiveLoop) -> None:
    content = opened(page, live.url, "audit")
    content.get_by_role("button", name="Watch", exact=True).focus()
    page.keyboard.press("Enter")
    content.get_by_role("heading", name="Estimated noise rate by watch").wait_for()
    content.get_by_role("cell", name="swipe").wait_for()
    content.get_by_role("region", name="Suspect users").get_by_role("link", name=BOT).click()
    page.wait_for_selector(f'.page-labels td .id[title="{BOT}"]')


def test_the_audit_is_saved_as_a_file(page: "Page", live: LiveLoop) -> None:
    content = opened(page, live.url, "audit", "?by=flag")
    with page.expect_download() as saved:
        content.get_by_role("button", name="Save as CSV").click()
    assert "swipe" in saved.value.path().read_text()


def test_a_version_is_opened_with_its_gates_and_compared(page: "Page", live: LiveLoop) -> None:
    newer, older = live.registry.versions()[-1], live.registry.versions()[0]
    content = opened(page, live.url, "models", f"?version={newer}")
    gates = content.get_by_role("region", name=f"Gates of version {newer}")
    assert gates.get_by_role("row").count() > 5
    content.get_by_label("Version", exact=True).select_option(older)
    content.get_by_role("button", name="Compare").click()
    expect_text(content, "Rank agreement", "Pairs that moved most")
    assert grave_findings(page) == []


def test_the_score_of_a_user_is_explained(page: "Page", live: LiveLoop) -> None:
    content = opened(page, live.url, "score")
    content.get_by_label("User").fill(some_row(live)["user_id"])
    content.get_by_role("button", name="Score", exact=True).click()
    content.locator("tbody tr").first.wait_for()


def test_the_callers_port_says_where_changes_are_made(page: "Page", live: LiveLoop) -> None:
    content = opened(page, live.url, "models", f"?version={live.registry.versions()[0]}")
    assert content.get_by_role("button", name=re.compile("…$")).count() == 0
    link = content.get_by_role("link", name="the admin port").get_attribute("href") or ""
    assert link.startswith(f"{live.admin_url}/console/#/models")


def test_an_override_comes_back_as_an_explicit_event(page: "Page", live: LiveLoop) -> None:
    row = some_row(live)
    detail = opened(page, live.admin_url, "labels", f"?event={row['event_id']}").locator(".detail")
    detail.get_by_label("negative").check()
    detail.get_by_label("Why").fill("watched by the cat")
    detail.get_by_role("button", name="Override…").click()
    page.get_by_role("dialog").get_by_role("button", name="Record as negative").click()
    expect_text(detail, "Overridden: negative", "watched by the cat")
    made = detail.locator(".entry").get_by_role("link").inner_text()
    until(lambda: [each["label"] for each in live.ask("labels", event=made, hours=1)["rows"]] == ["negative"])


def test_versions_are_promoted_pinned_rolled_back_and_unpinned(page: "Page", live: LiveLoop) -> None:
    live.change(f"/{live.champion()}:pin")  # what is learned meanwhile does not take its place
    first, older = live.champion(), live.registry.versions()[0]
    content = opened(page, live.admin_url, "models", f"?version={older}")

    def press(name: str, confirm: str) -> None:
        content.get_by_role("button", name=name, exact=True).click()
        page.get_by_role("dialog").get_by_label("Why").fill("to see it")
        page.get_by_role("dialog").get_by_role("button", name=re.compile(confirm)).click()
        page.get_by_role("dialog").wait_for(state="detached")

    press("Pin…", f"Serve {older} and keep it")
    assert live.champion() == older
    expect_text(content, "to see it")
    press("Roll back…", f"Roll back to {first}")
    assert live.champion() == first
    press("Unpin…", f"Unpin {first}")
    press("Promote…", f"Serve {older}")
    until(lambda: older in {change.version for change in live.registry.history() if change.act == "promote"})
    assert page.locator("#announce").inner_text().startswith("Done, promote")


def test_a_refused_change_is_shown_with_its_detail(page: "Page", live: LiveLoop, complaints: list[str]) -> None:
    other = next(version for version in live.registry.versions() if version != live.champion())
    content = opened(page, live.admin_url, "models", f"?version={other}")
    if content.get_by_role("button", name="Unpin…").count():
        live.change(":unpin")
        page.reload()
    content.get_by_role("button", name="Promote…").click()
    live.change(f"/{live.champion()}:pin")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Why").fill("too late")
    dialog.get_by_role("button", name=f"Serve {other}").click()
    expect_text(dialog, "is pinned")
    assert [each for each in complaints if "409" not in each] == []
    complaints.clear()  # the browser tells its console of every refusal
