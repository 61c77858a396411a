"""Reports in a real browser: no errors, nothing loaded from elsewhere, plots that are seen, text that can be read."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-sync", "--disable-component-update", "--virtual-time-budget=2000", "--enable-logging=stderr"),
]
PHONE, DESKTOP = (500, 900), (1200, 900)
"""500 is the least width of Chromium's window; the pages' own narrow layout starts at 600."""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium: install the package chromium to look at reports"),
]

PROBE = """
<script>
function rgb(text) { return text.match(/[\\d.]+/g).map(Number); }
function light(c) {
  const [r, g, b] = c.map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function behind(node) {
  for (let n = node; n; n = n.parentElement) {
    const c = rgb(getComputedStyle(n).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c.slice(0, 3);
  }
  return [255, 255, 255];
}
function contrast(node, colour) {
  const a = light(rgb(colour).slice(0, 3)), b = light(behind(node));
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}
window.addEventListener("load", () => {
  document.querySelectorAll("details").forEach(d => d.open = true);
  const texts = [...document.querySelectorAll("h1,h2,h3,p,a,th,td,caption,figcaption,summary,code,span")]
    .filter(n => n.textContent.trim()).map(n => [n.tagName, contrast(n, getComputedStyle(n).color)]);
  const letters = [...document.querySelectorAll("svg text")]
    .map(n => ["text", contrast(n.closest("figure"), getComputedStyle(n).fill)]);
  const marks = [...document.querySelectorAll("svg path[class^=m],svg path.curve,svg path.bar")].map(n => {
    const s = getComputedStyle(n);
    return [n.getAttribute("class"), contrast(n.closest("figure"), s.fill === "none" ? s.stroke : s.fill)];
  });
  const plots = [...document.querySelectorAll("svg")].map(svg => {
    const box = svg.getBoundingClientRect();
    const inside = [...svg.querySelectorAll("text")].every(t => {
      const b = t.getBoundingClientRect();
      return b.left >= box.left - 1 && b.right <= box.right + 1 && b.top >= box.top - 1 && b.bottom <= box.bottom + 1;
    });
    const size = Math.min(...[...svg.querySelectorAll("text")].map(t => t.getBoundingClientRect().height));
    return { width: box.width, height: box.height, inside, size, role: svg.getAttribute("role"),
             label: svg.getAttribute("aria-label") };
  });
  const regions = [...document.querySelectorAll(".wide")].every(n => n.getAttribute("aria-label"));
  const found = { texts, letters, marks, plots, regions, overflow: document.documentElement.scrollWidth - innerWidth,
                  loaded: performance.getEntriesByType("resource").map(e => e.name),
                  dark: matchMedia("(prefers-color-scheme: dark)").matches };
  const text = JSON.stringify(found).replace(/&/g, "&amp;").replace(/</g, "&lt;");
  document.body.innerHTML = "<" + "pre>" + text + "</pre>";
});
</script>
"""


def look(page: Path, folder: Path, size: tuple[int, int], dark: bool) -> tuple[dict[str, Any], str]:
    """What the probe finds in the page at that size, and what the browser logs."""
    probed = folder / "page.html"
    probed.write_text(page.read_text(encoding="utf-8").replace("</head>", PROBE + "</head>"), encoding="utf-8")
    theme = ["--blink-settings=preferredColorScheme=0"] if dark else ["--blink-settings=preferredColorScheme=1"]
    where = [f"--user-data-dir={folder / 'profile'}", f"--window-size={size[0]},{size[1]}", "--dump-dom"]
    line = [str(BROWSER), *FLAGS, *theme, *where, probed.as_uri()]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<pre>(.*)</pre>", done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found.group(1))), done.stderr


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["narrow", "wide"])
@pytest.mark.parametrize("name", ["experiments", "run"])
def test_a_report_in_a_browser(
    pages: dict[str, Path], tmp_path: Path, name: str, size: tuple[int, int], dark: bool
) -> None:
    found, log = look(pages[name], tmp_path, size, dark)
    assert "CONSOLE" not in log
    assert found["dark"] == dark
    assert found["loaded"] == []
    assert found["overflow"] <= 0
    assert found["regions"]
    assert len(found["plots"]) >= (3 if name == "run" else 8)
    for plot in found["plots"]:
        assert plot["width"] > 200
        assert plot["height"] > 80
        assert plot["inside"], plot["label"]
        assert plot["size"] >= 11
        assert plot["role"] == "img"
        assert len(plot["label"]) > 20
    assert found["texts"]
    assert [text for text in found["texts"] + found["letters"] if text[1] < 4.5] == []
    assert [mark for mark in found["marks"] if mark[1] < 3] == []


@pytest.mark.parametrize("name", ["experiments", "run"])
def test_nothing_in_a_report_points_elsewhere(pages: dict[str, Path], name: str) -> None:
    text = pages[name].read_text(encoding="utf-8")
    assert "<script" not in text
    assert re.findall(r"(?:src|href)=\"(?!#|data:,)[^\"]*\"|url\(|@import|https?:", text) == []
