"""A headless Chromium that is driven through a pipe: real keys, any width, light and dark, no library needed."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (1200, 390)
_FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-sync", "--disable-component-update", "--remote-debugging-pipe"),
]
_AXE = ("axe-playwright-python", "axe-core-python")
"""Packages that bring the accessibility checker axe-core."""
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowDown": 40, "ArrowRight": 39}

needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium: install the package chromium to look at pages")


_BEGIN = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Chromium reads commands from descriptor 3 and answers on 4."""


class Page:
    """One page; `log` has what it wrote to its console, and its errors."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers, self._rest = commands, answers, b""
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self.log = list[str]()
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> Any:
        """The answer to a command of the DevTools protocol."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": params}
        os.write(self._commands, json.dumps(command | ({"sessionId": self._session} if self._session else {})).encode())
        os.write(self._commands, b"\0")
        while True:
            message = self._read()
            if message.get("id") == number:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            if message.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                self.log.append(json.dumps(message["params"]))

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._answers, 1 << 16)
            assert part, "the browser has ended"
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def open(self, url: str, width: int, dark: bool = False) -> None:
        """Show a page at a width, once it is loaded."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Page.navigate", url=url)
        self.until(f"location.href !== 'about:blank' && document.readyState === 'complete' && {json.dumps(url)}")

    def run(self, expression: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        found = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, condition: str) -> None:
        """Wait for something to be so."""
        looked = f"(async () => {{ while (!({condition})) await new Promise(done => setTimeout(done, 20)); }})()"
        self.run(looked)

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        code = KEYS[key]
        text = {"text": {"Enter": "\r", " ": " "}[key]} if key in ("Enter", " ") else {}
        for kind, more in (("keyDown", text), ("keyUp", {})):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)

    def write(self, text: str) -> None:
        """Type a text."""
        self.ask("Input.insertText", text=text)

    def picture(self, path: Path) -> None:
        """Keep a picture of the whole page."""
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A new browser with a profile in `folder`; it ends with the context."""
    read, commands = os.pipe()
    answers, write = os.pipe()
    line = [str(BROWSER), *_FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
    begin = [sys.executable, "-c", _BEGIN, str(read), str(write), *line]
    process = subprocess.Popen(begin, pass_fds=(read, write), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    os.close(read)
    os.close(write)
    try:
        yield Page(commands, answers)
    finally:
        process.kill()
        process.wait()
        os.close(commands)
        os.close(answers)


def axe() -> str:
    """The source of axe-core, from whichever package brings it; the test is skipped without one."""
    for name in _AXE:
        try:
            files = metadata.files(name) or []
        except metadata.PackageNotFoundError:
            continue
        for file in files:
            if file.name == "axe.min.js":
                return Path(str(file.locate())).read_text(encoding="utf-8")
    pytest.skip(f"axe-core is not installed: the extra a11y, or one of {', '.join(_AXE)}")


def violations(page: Page, source: str) -> list[str]:
    """What axe-core finds wrong with the page: the rule, and where."""
    page.run(f"{source}; 0")
    found = page.run(
        "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.flatMap("
        "each => each.nodes.map(node => each.id + ': ' + node.target.join(' ') + ' ' + node.html.slice(0, 160))))"
    )
    return list(found)


STRUCTURE = """(() => {
  const all = what => [...document.querySelectorAll(what)], wrong = [];
  if (!document.documentElement.lang) wrong.push('no language');
  if (!document.title) wrong.push('no title');
  if (all('main').length !== 1) wrong.push('main landmarks: ' + all('main').length);
  if (all('h1').length !== 1) wrong.push('h1: ' + all('h1').length);
  let level = 0;
  for (const h of all('h1,h2,h3,h4,h5,h6')) {
    const next = Number(h.tagName[1]);
    if (next > level + 1) wrong.push('heading skips a level: ' + h.textContent);
    level = next;
  }
  for (const n of all('input,select,textarea')) if (!n.labels.length) wrong.push('no label: ' + n.outerHTML);
  for (const n of all('img')) if (!n.hasAttribute('alt')) wrong.push('no alternative text: ' + n.outerHTML);
  for (const n of all('button,a,summary')) {
    if (!(n.textContent.trim() || n.getAttribute('aria-label'))) wrong.push('no name: ' + n.outerHTML);
  }
  for (const n of all('.wide,[role=img],nav,section')) {
    if (!(n.getAttribute('aria-label') || n.getAttribute('aria-labelledby'))) wrong.push('no name: ' + n.className);
  }
  for (const n of all('[aria-labelledby]')) {
    if (!document.getElementById(n.getAttribute('aria-labelledby'))) wrong.push('its name is absent: ' + n.id);
  }
  for (const n of all('th')) if (!n.scope) wrong.push('a header without scope: ' + n.textContent);
  for (const n of all('table')) if (!n.caption) wrong.push('a table without a caption');
  if (all('[tabindex]').some(n => n.tabIndex > 0)) wrong.push('an order of tabs of its own');
  const ids = all('[id]').map(n => n.id);
  for (const id of new Set(ids)) if (ids.filter(each => each === id).length > 1) wrong.push('twice: ' + id);
  return wrong;
})()"""
"""What is wrong with the structure of a page."""
FOCUS = """(() => {
  const n = document.activeElement, s = getComputedStyle(n);
  return {tag: n.tagName, id: n.id, type: n.type || '', text: (n.textContent || n.value || '').trim().slice(0, 40),
          seen: n === document.body || (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 1)};
})()"""
"""What has the focus, and whether one sees it."""


def tabbed(page: Page, most: int = 400) -> list[dict[str, Any]]:
    """What gets the focus, Tab by Tab, until the page is left."""
    places = []
    for _ in range(most):
        page.press("Tab")
        now = page.run(FOCUS)
        if now["tag"] == "BODY":
            return places
        places.append(now)
    raise AssertionError(f"the focus never leaves the page: {places[-3:]}")
