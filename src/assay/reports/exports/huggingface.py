"""A model card on the Hugging Face hub: a block of text between markers, and `model-index` in the front matter.

Everything outside the markers is the user's and stays, byte for byte; writing twice gives the same file. A `model-index` of
the user's own keeps its entries and gets one more. Source: hub-docs, modelcard.md (`model-index`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from assay.reports.exports.material import Material, numbers, told
from assay.reports.exports.yaml_text import yaml_lines
from assay.reports.label_statements import bar_lines, interval_of
from assay.reports.wording import amount, printable
from assay.store import StoreError

TEXT = ("<!-- assay:begin -->", "<!-- assay:end -->")
FRONT = ("# assay:begin", "# assay:end")
TASKS = {"image-reconstruction": "image-to-image", "image-classification": "image-classification",
         "text-classification": "text-classification", "code-classification": "tabular-classification",
         "sound-classification": "audio-classification", "decision": "tabular-classification"}
_MARKDOWN = re.compile(r"([\\`*_{}\[\]#|~!@]|:(?=//)|(?<=www)\.|^[-+]|(?<=^\d)[.)])")   # with what hosts take for links


def readme(material: Material, existing: str) -> str:
    """The card: `existing` with Assay's block and entry put in, or replaced. `StoreError` for torn markers."""
    mark = "\ufeff" if existing.startswith("\ufeff") else ""
    windows = 0 < existing.count("\n") == existing.count("\r\n")
    front, body = _split((existing.replace("\r\n", "\n") if windows else existing).removeprefix(mark))
    above, there, below = _without(front, FRONT)
    front = _indexed(above + below[1:] if there else front, yaml_lines([_entry(material)]))
    block = f"{TEXT[0]}\n{_block(material)}\n{TEXT[1]}"
    before, found, after = _without(body, TEXT)
    if found:
        body = f"{before}{block}{after}"
    else:
        gap = "" if not body or body.endswith("\n\n") else "\n" if body.endswith("\n") else "\n\n"
        body = f"{body}{gap}{block}\n"
    card = f"{mark}---\n{front}---\n{body}"
    return card.replace("\n", "\r\n") if windows else card


def _split(text: str) -> tuple[str, str]:
    """The lines between the two `---` at the top, and what follows."""
    match = re.match(r"---[ \t\r]*\n(.*?)^---[ \t\r]*(?:\n|\Z)", text, flags=re.S | re.M)
    if match is None:
        if re.match(r"---[ \t\r]*\n", text):
            raise StoreError("README: the front matter begins with --- and does not end; close it with ---")
        return "", text
    return match[1], text[match.end():]


def _without(text: str, markers: tuple[str, str]) -> tuple[str, bool, str]:
    """What stands before the first and after the second marker; both must be there once, in order, or not at all."""
    begin, end = ([m.span() for m in re.finditer(rf"^[ \t]*{re.escape(marker)}[ \t\r]*$", text, flags=re.M)]
                  for marker in markers)
    if not begin and not end:
        return text, False, ""
    if len(begin) != 1 or len(end) != 1 or begin > end:
        raise StoreError(f"README: the lines {markers[0]!r} and {markers[1]!r} do not stand there once each, in this order; "
                         "remove Assay's block and export again")
    return text[:begin[0][0]], True, text[end[0][1]:]


def _indexed(front: str, entry: list[str]) -> str:
    """The front matter with Assay's entry at the end of `model-index`, which is made where there is none."""
    if front and not front.endswith("\n"):
        front += "\n"
    lines = front.splitlines()
    tops = [i for i, line in enumerate(lines) if re.match(r"""(["']?)model-index\1[ \t]*:""", line)]
    if not tops:
        return front + "\n".join([FRONT[0], "model-index:", *entry, FRONT[1]]) + "\n"
    top = tops[0]
    if len(tops) > 1 or not re.fullmatch(r"""["']?model-index["']?[ \t]*:[ \t]*(#.*)?""", lines[top]):
        raise StoreError("README: model-index in the front matter is not written as a list of lines that begin with '- '; "
                         "write it so, or choose another --out")
    end = top + 1
    while end < len(lines) and re.match(r"[ \t]|- |-$|#|$", lines[end]):
        end += 1
    first = next((line for line in lines[top + 1:end] if line.lstrip().startswith("-")), "")
    pad = first[:len(first) - len(first.lstrip())]
    mine = [f"{pad}{line}" for line in (FRONT[0], *entry, FRONT[1])]
    return "\n".join([*lines[:end], *mine, *lines[end:]]) + "\n"


def _entry(material: Material) -> dict[str, Any]:
    """One model with one result. Only the audited system's numbers: a hub shows them as the model's."""
    label = material.label
    subject, data = label["subject"], label["scope"]["dataset"]
    metrics = [{"type": n.metric, "name": f"{n.name}, {n.under}", "value": n.value, "verified": False}
               for n in numbers(label) if n.system == subject["name"]]
    return {"name": subject["name"], "results": [{
        "task": {"type": TASKS.get(subject["task"], "other"), "name": subject["task"]},
        "dataset": {"type": data["id"], "name": data["id"], "revision": data["digest"]["sha256"]},
        "metrics": metrics}]}


def _block(material: Material) -> str:
    label = material.label
    head = label["headline"]
    lines = ["## Warning label", "", f"**{head['signal']}: {_escaped(head['manner'])}.** {_escaped(head['hazard'])} "
             f"{_escaped(head['consequence'])}", ""]
    if results := label["results"]:
        unit, better = results["metric"]["unit"], results["metric"]["better"]
        lines += [f"| {_escaped(results['metric']['name'])}, {better} is better | value | 95 % interval |", "|---|---|---|"]
        lines += [f"| {_escaped(bar.words)} | {_escaped(amount(bar.estimate['value'] if bar.estimate else None, unit))} | "
                  f"{_escaped(interval_of(bar.estimate, unit))} |" for bar in bar_lines(results)]
        lines.append("")
    lines += [*(f"- {_escaped(told(row))}" for row in material.rows),
              *(f"- {_escaped(line['words'])}" for line in label["refusal"]), "", "**Not tested.** "
              + " ".join(f"{_escaped(line.rstrip('.'))}." for line in label["not_tested"]), "", "**What to do.** "
              + " ".join(map(_escaped, label["actions"])), "", _origin(label)]
    return "\n".join(lines)


def _origin(label: Mapping[str, Any]) -> str:
    auditor, profile = label["auditor"], label["profile"]
    by = "Not attributed to a tester" if auditor["name"] == "not attributed" else f"Tested by {_escaped(auditor['name'])}"
    return (f"{by} ({auditor['independence']}), {label['issued'][:10]}, valid until {label['valid_until'][:10]}, profile "
            f"{_escaped(profile['id'])} {_escaped(profile['version'])}, with Assay "
            f"{_escaped(label['provenance']['tool_version'])}. Model sha256 `{label['subject']['digest']['sha256']}`, label "
            f"sha256 `{label['digest']['sha256']}`. Check it: `{label['provenance']['replay']}`.")


def _escaped(text: str) -> str:
    """Text that neither Markdown nor HTML obeys."""
    safe = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", safe)
