"""The page at / in a real browser: a list is shown, a switch moves an item, nothing comes from elsewhere."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
import uvicorn
from fastapi.responses import HTMLResponse
from service_cases import make_case

from milk_np.service.app import make_app
from milk_np.service.core import Service
from milk_np.service.workers import listen

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-sync", "--disable-component-update", "--virtual-time-budget=8000", "--enable-logging=stderr"),
]
PROBE = """<!DOCTYPE html><body style="margin:0">
<iframe id="f" src="ADDRESS" style="border:0;width:WIDTHpx;height:1500px"></iframe><script>
const until = async what => { while (!what()) await new Promise(r => setTimeout(r, 50)); };
document.getElementById('f').addEventListener('load', async event => {
  const win = event.target.contentWindow, page = win.document;
  await until(() => page.querySelector('#list li') || page.querySelector('#said.bad'));
  const box = page.querySelector('.switches input');
  if (box) { box.click(); await until(() => page.querySelector('.moved').textContent); }
  const found = {
    said: page.getElementById('said').textContent,
    names: [...page.querySelectorAll('#list .name')].map(n => n.textContent),
    reasons: page.querySelectorAll('#list .why b').length,
    moved: box ? page.querySelector('.moved').textContent : '',
    overflow: page.documentElement.scrollWidth - win.innerWidth,
    loaded: win.performance.getEntriesByType('resource').map(e => new URL(e.name).origin),
    labelled: [...page.querySelectorAll('input,select')].every(n => n.labels.length === 1 && n.labels[0].textContent),
    tall: Math.min(...[...page.querySelectorAll('button,.fields input,select')].map(n => n.offsetHeight)),
    focusable: [...page.querySelectorAll('a,button,input,select')].every(n => n.tabIndex === 0),
  };
  const shown = document.createElement('pre');
  shown.textContent = JSON.stringify(found);
  document.body.replaceChildren(shown);
});
</script></body>"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium: install the package chromium to look at the page"),
]


@contextmanager
def shown(service: Service, probe: Path) -> Iterator[str]:
    """The address of the service, which also gives the probe: a frame can be looked into by its own host alone."""
    app, sock = make_app(service), listen("127.0.0.1", 0)
    app.get("/probe")(lambda: HTMLResponse(probe.read_text()))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        sock.close()


def look(url: str, query: str, probe: Path, width: int) -> tuple[dict[str, Any], str]:
    """What the probe finds in the page at that width, and what the browser logs; a picture is kept beside the probe."""
    probe.write_text(PROBE.replace("ADDRESS", f"/?{html.escape(query)}").replace("WIDTH", str(width)))
    where = [f"--user-data-dir={probe.parent / 'profile'}", f"--window-size={max(width, 500)},1500"]
    line = [str(BROWSER), *FLAGS, *where, "--dump-dom", f"{url}/probe"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=True)
    picture = [str(BROWSER), *FLAGS, *where, f"--screenshot={probe.parent / f'page-{width}.png'}", f"{url}/?{query}"]
    subprocess.run(picture, capture_output=True, timeout=120, check=True)
    found = re.search(r"<pre>(.*)</pre>", done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found.group(1))), done.stderr


@pytest.mark.parametrize("width", [1200, 390])
def test_the_page_in_a_browser(tmp_path: Path, width: int) -> None:
    case, probe = make_case(tmp_path), tmp_path / "probe.html"
    service = replace(
        case.service(tmp_path / "journal.jsonl"), titles={f"i{n}": f"T{n} <img src=x>" for n in range(80)}
    )
    with shown(service, probe) as url:
        found, log = look(url, "user=u1", probe, width)
        assert "CONSOLE" not in log
        wanted = [f"T{name[1:]} <img src=x> ({name})" for name in case.model.recommend(["u1"], 10).found[0]]
        assert found["names"] == wanted
        assert found["reasons"] == 30
        assert re.match(r"Without \w+: place \d+ in place of 1 of \d+ ", found["moved"])
        assert set(found["loaded"]) == {url}
        assert (found["overflow"] <= 0, found["labelled"], found["focusable"]) == (True, True, True)
        assert found["tall"] >= 36
        found, _ = look(url, "user=nobody", probe, width)
        assert (found["names"], "'nobody' is not in the data set" in found["said"]) == ([], True)
        found, _ = look(url, "history=i1,i2", probe, width)
        assert len(found["names"]) == 10
