"""Pages in headless Chromium: what axe-core finds in them, and how wide they are, at fixed widths. Nothing is fetched.

axe-core is no dependency: the environment variable ASSAY_AXE names its `axe.min.js`, or a `node_modules` folder here has it.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

WIDTHS = (360, 768, 1280)
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')     # which forbids the script that asks
_ASK = """
addEventListener('load', () => Promise.all([...document.querySelectorAll('iframe')].map(async frame => {
  const page = frame.contentDocument.documentElement;
  page.querySelectorAll('details').forEach(hidden => { hidden.open = true; });
  const axe = frame.contentWindow.axe;
  const found = axe ? await axe.run(frame.contentDocument) : {violations: [], passes: []};
  return {width: frame.width, scrollWidth: page.scrollWidth, clientWidth: page.clientWidth,
    wide: [...frame.contentDocument.body.querySelectorAll('*')].filter(e => !e.closest('.scroll') && !e.closest('svg')
      && e.getBoundingClientRect().right > page.clientWidth + 1).slice(0, 5).map(e => e.tagName + '.' + e.className),
    rules: found.violations.length + found.passes.length,
    violations: found.violations.map(v => [v.id, v.nodes.length, v.nodes[0].html.slice(0, 200),
      v.nodes[0].failureSummary])};
})).then(all => { const out = document.createElement('pre'); out.id = 'answer'; out.textContent = JSON.stringify(all);
                  document.body.replaceChildren(out); }));
"""


def axe() -> Path | None:
    """Where axe.min.js is, if anywhere."""
    places = [Path(os.environ["ASSAY_AXE"])] if os.environ.get("ASSAY_AXE") else []
    places.append(Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js")
    return next((place for place in places if place.is_file()), None)


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def asked(page: str, *, dark: bool = False) -> list[dict[str, Any]]:
    """For each width: what axe-core finds (nothing where it is not there) and how wide the page gets."""
    script, browser = axe(), chromium()
    assert browser is not None
    bare = _POLICY.sub("", page)
    if script is not None:
        bare = bare.replace("</head>", f"<script>{script.read_text(encoding='utf-8')}</script></head>", 1)
    frames = "".join(f'<iframe width="{width}" height="900" style="border:0" srcdoc="{html.escape(bare)}"></iframe>'
                     for width in WIDTHS)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frames.html"
        file.write_text(f"<!doctype html><meta charset=utf-8><body>{frames}<script>{_ASK}</script>", encoding="utf-8")
        told = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000",
             f"--user-data-dir={folder}/profile", f"--blink-settings=preferredColorScheme={0 if dark else 1}",
             "--virtual-time-budget=60000", "--dump-dom", file.as_uri()],
            capture_output=True, text=True, timeout=240, check=False).stdout
    answer = re.search(r'<pre id="answer">(.*?)</pre>', told, re.DOTALL)
    assert answer is not None, told[-2000:]
    return list(json.loads(html.unescape(answer[1])))
