"""The page in a real browser, opened from a disk: a silent console, search and sort that work, nothing from outside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from dispatcher.core import events as ev
from dispatcher.report.page import page

pytestmark = pytest.mark.slow

ABOUT = {"submission": "5" * 40, "where": "/proj/runs", "machine": "Slurm behind SSHContext"}
EVIL = "</script><script>document.title = 'taken'</script>"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


def made(told: Any, jobs: int) -> str:
    run = told(jobs)
    cause = ev.Cause(ev.CauseKind.task, code=1, task=0, stderr=f"error: {EVIL}")
    for n in range(jobs):
        run.attempt(n, 1, n, n + 10 * (n % 7), n + 100, cause if n % 5 == 2 else None)
    return page(run.chronicle, ABOUT, run.history.began + jobs + 100)


def opened(chromium: Any, path: Path, **how: Any) -> tuple[Any, list[str]]:
    said: list[str] = []
    view = chromium.new_page(**how)
    view.on("console", lambda message: said.append(message.text))
    view.on("pageerror", lambda error: said.append(str(error)))
    view.on("request", lambda request: request.url.startswith(("file:", "data:", "blob:")) or said.append(request.url))
    view.goto(path.as_uri())
    view.wait_for_selector("body[data-ready=yes]")
    return view, said


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_search_and_sort(told: Any, chromium: Any, tmp_path: Path, scheme: str, width: int) -> None:
    (tmp_path / "report.html").write_text(made(told, 40))
    size = {"width": width, "height": 900}
    view, said = opened(chromium, tmp_path / "report.html", viewport=size, color_scheme=scheme)
    assert view.inner_text("#count") == "40 of 40 tasks"
    view.fill("#search", "error")
    assert view.inner_text("#count") == "8 of 40 tasks"
    view.fill("#search", "")
    view.select_option("#state", label="terminated (8)")
    assert view.inner_text("#count") == "8 of 40 tasks"
    view.select_option("#state", label="all")
    view.focus("th[data-name=task] button")
    for last in ("c0", "c39"):
        view.keyboard.press("Enter")
        assert view.inner_text("#body tr:not(.fill) td") == last
    assert view.get_attribute("th[data-name=task]", "aria-sort") == "descending"
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    assert "taken" not in view.title()
    assert said == []


def test_many_tasks_stay_light(told: Any, chromium: Any, tmp_path: Path) -> None:
    text = made(told, 5000)
    assert len(text) < 50 * 5000
    (tmp_path / "report.html").write_text(text)
    view, said = opened(chromium, tmp_path / "report.html")
    assert view.inner_text("#count") == "5,000 of 5,000 tasks"
    assert view.evaluate("document.querySelectorAll('#body tr').length") < 200
    assert said == []


def test_nothing_is_asked_of_the_network(told: Any) -> None:
    assert re.findall(r"(?:src|href)=\"(?!#|data:)", made(told, 3)) == []
