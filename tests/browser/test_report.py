"""The page of a fabric's verdict in a real browser: what it says, that it can be read, that it asks for nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.rdma.answers import FabricVerdict, Fingerprint, Reason
from orchestrator.rdma.page import page
from orchestrator.rdma.past import past
from orchestrator.rdma.words import day
from tests import fabrics
from tests.browser.conftest import Browser

CELLS = """[...document.querySelectorAll('.heat tbody tr')].map(row => [...row.querySelectorAll('td')].map(cell => {
  const box = cell.firstElementChild, style = getComputedStyle(box);
  return {words: cell.innerText.split(/\\s+/).filter(x => x), colour: style.backgroundColor, ink: style.color}}))"""
# contrast as WCAG 2.1 defines it, of every text in a coloured cell or a state's word, against what lies below it
WORST_CONTRAST = """(() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(x => x / 255)
    .map(x => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4)
    .reduce((sum, x, i) => sum + x * [.2126, .7152, .0722][i], 0);
  const below = one => { for (; one; one = one.parentElement) { const c = rgb(getComputedStyle(one).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c } return [255, 255, 255] };
  const texts = '.cell, .legend li, .state, .soft, .note, dd, dt, th, td, .differs, .fallen';
  return [...document.querySelectorAll(texts)].map(one => {
    const [a, b] = [light(rgb(getComputedStyle(one).color)), light(below(one))];
    return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), one.className + ': ' + one.innerText.slice(0, 40)] })
    .sort((a, b) => a[0] - b[0])[0] })()"""
FOLDED = "document.querySelector('details.more').open"


def written(folder: Path, verdict: FabricVerdict, runs: list[FabricVerdict] | None = None) -> Path:
    pasts = {
        one.name: [
            past(run, each) for run in runs or [] for each in run.links if each.name == one.name
        ]
        for one in verdict.links
    }
    path = folder / "report.html"
    path.write_text(page(verdict, pasts), encoding="utf-8")
    return path


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    verdict = fabrics.ring()
    return written(tmp_path, verdict, [*fabrics.earlier(verdict), verdict])


def quiet(browser: Browser, path: Path) -> None:
    """Nothing in the console, nothing asked for but the file itself."""
    assert browser.complaints == []
    assert browser.requests == [path.as_uri()]


def test_cells_say_number_and_state_and_direction_matters(browser: Browser, ring: Path) -> None:
    browser.open(ring)
    cells: list[list[dict[str, Any]]] = browser.ask(CELLS)
    words = [[cell["words"] for cell in row] for row in cells]
    good, stuck, cut = ["186.3", "●", "healthy", "101", "%"], ["13.1", "✕", "failed", "7", "%"], [
        "?", "✕", "failed", "?", "%"]  # fmt: skip
    assert words == [[["–"], good, cut], [good, ["–"], stuck], [cut, good, ["–"]]]
    colours = {cells[0][1]["colour"], cells[1][2]["colour"], cells[0][2]["colour"]}
    assert len(colours) == 3
    assert cells[0][1]["colour"] == cells[2][1]["colour"]
    heading = browser.ask("document.querySelector('h1').innerText")
    assert heading == "Failed: 2 failed, 1 healthy of 3 links"
    quiet(browser, ring)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_stands_out_from_what_is_below_it(
    browser: Browser, ring: Path, tmp_path: Path, dark: bool
) -> None:
    browser.open(ring, dark=dark)
    worst, where = browser.ask(WORST_CONTRAST)
    assert worst >= 4.5, where
    ground = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 21, 24)" if dark else "rgb(251, 251, 250)")
    picture = tmp_path / "page.png"
    browser.picture(picture)
    assert picture.stat().st_size > 50_000  # something was drawn


def test_all_steps_of_the_scale_can_be_read(browser: Browser, tmp_path: Path) -> None:
    """One link for each colour."""
    rates = [fabrics.Rates((r, r), (r, r)) for r in (10.0, 30.0, 60.0, 78.0, 93.0)]
    links = [fabrics.link("hub", f"h{n}", one, one) for n, one in enumerate(rates)]
    path = written(tmp_path, fabrics.fabric(*links))
    for dark in (False, True):
        browser.open(path, dark=dark)
        shown = browser.ask("[...document.querySelectorAll('.cell')].map(x => x.classList[1])")
        assert set(shown) == {"h0", "h1", "h2", "h3", "h4"}
        worst, where = browser.ask(WORST_CONTRAST)
        assert worst >= 4.5, where


@pytest.mark.parametrize(("width", "media"), [(390, ""), (720, "print")], ids=["phone", "print"])
def test_nothing_sticks_out(browser: Browser, ring: Path, width: int, media: str) -> None:
    browser.open(ring, width=width, media=media)
    assert browser.ask("document.documentElement.scrollWidth") <= width
    quiet(browser, ring)


def test_causes_and_history_are_there(browser: Browser, ring: Path) -> None:
    browser.open(ring)
    told = browser.ask("document.querySelector('main').innerText")
    assert fabrics.SLOW.cause in told
    assert fabrics.SLOW.remedy in told
    assert f"Slower since {day(fabrics.START - 4 * fabrics.DAY)}" in told
    assert "changed then: spark-3 kernel: 6.11 → 6.14" in told
    assert "Couldn't connect to 10.20.0.2:18515" in told
    drawn = "[...document.querySelectorAll('svg')].map(x => x.querySelectorAll('{}').length)"
    # worst first: two with failures since the change, one always healthy and not concerned by it
    assert browser.ask(drawn.format(".d-failed")) == [5, 5, 0]
    assert browser.ask(drawn.format(".d-healthy")) == [8, 8, 13]
    assert browser.ask(drawn.format(".mark")) == [1, 1, 0]


def test_what_hosts_say_stays_text(browser: Browser, tmp_path: Path) -> None:
    evil = "<script>document.title='had'</script><img src=http://10.0.0.1/x onerror=alert(1)>\"'\x1b[2J"
    reason = Reason(evil, evil, evil, evil)
    link = fabrics.link("a", "b", fabrics.CUT, fabrics.CUT, name=evil)
    verdict = fabrics.fabric(replace(link, reasons=(reason,)))
    parts = Fingerprint({f"a {evil}": evil})
    path = written(
        tmp_path, replace(verdict, notes=(evil,), fingerprint=parts, run=evil), [verdict]
    )
    browser.open(path)
    assert browser.ask("document.querySelectorAll('script, img').length") == 0
    assert browser.ask("document.title").startswith("Fabric failed")
    assert browser.ask("document.body.innerText").count("<script>") >= 6
    assert "\x1b" not in path.read_text(encoding="utf-8")
    quiet(browser, path)


def test_a_cell_leads_to_its_folded_link(browser: Browser, tmp_path: Path) -> None:
    path = written(tmp_path, fabrics.switch(16))
    browser.open(path)
    assert browser.ask("document.querySelectorAll('.cell').length") == 16 * 15
    assert browser.ask("document.querySelectorAll('details.link').length") == 120
    assert browser.ask(FOLDED) is False
    browser.ask("document.querySelector('.cell').click()")
    assert browser.ask(FOLDED) is True
    assert browser.ask("document.querySelectorAll('details.link[open]').length") == 1


def test_nothing_measured_is_unknown(browser: Browser, tmp_path: Path) -> None:
    path = written(tmp_path, fabrics.fabric())
    browser.open(path)
    told = browser.ask("document.body.innerText")
    assert "Unknown: no link was measured" in told
    assert "healthy" not in told
    quiet(browser, path)


def test_tcp_is_said_to_be_tcp(browser: Browser, tmp_path: Path) -> None:
    path = written(tmp_path, fabrics.tcp())
    browser.open(path)
    assert browser.ask("document.querySelector('.note').innerText") == "Note: no RDMA; TCP measured"
    assert "TCP, not RDMA" in browser.ask("document.body.innerText")
