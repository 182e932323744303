"""The label in other languages: whole catalogues, whole sentences, lawful words, drawings checked like the English."""

from __future__ import annotations

import io
import json
import re
import sys
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import synthetic_audit
from PIL import Image
from synthetic_labels import labelled

import small_audit
from assay import api
from assay.cli import main
from assay.profiles import plain_words
from assay.profiles.load import load, names
from assay.reports import label_png, warning_label
from assay.reports.accents import marked, plain
from assay.reports.label_statements import hazard_of, rows, signal_of
from assay.reports.language import CODES, Language, LanguageError, language
from assay.reports.sheet import Page, Words, drawable, length, spelt
from assay.reports.wording import METRICS, plain_change

SVG = "{http://www.w3.org/2000/svg}"
LONG = {"n": "10000", "m": "10000", "x": "0,012 %", "level": "0,012 %", "below": "120 dB", "noun": "Aufzeichnungen",
        "change": "", "happened": "", "name": "total-variation", "title": "Erreur", "flags": "not-converged", "low": "0 %",
        "high": "100 %", "value": "100 %", "checks": "", "clauses": "", "profile": "", "rule": "", "independence": "",
        "issued": "2026-11-23", "until": "2027-11-23", "digest": "", "command": "", "signal": "", "bars": "",
        "text": "", "groups": "10", "interval": "10–20", "sure": ""}


def catalogue(code: str) -> dict[str, Any]:
    return tomllib.loads(files("assay.reports").joinpath("languages", f"{code}.toml").read_text(encoding="utf-8"))


def entries(code: str) -> dict[str, str]:
    return {f"{table}.{key}": text for table, texts in catalogue(code).items() if isinstance(texts, dict)
            for key, text in texts.items()}


def places(text: str) -> list[str]:
    return sorted(re.findall(r"\{\w*\}", text))


def faults(code: str, told: dict[str, str]) -> list[str]:
    """What is wrong with a catalogue: keys, placeholders, words, length, letters."""
    english = entries("en")
    found = [f"{key}: missing or unknown" for key in english.keys() ^ told.keys()]
    never = [re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])", re.IGNORECASE) for pattern in catalogue(code)["forbidden"]]
    for key in english.keys() & told.keys():
        text = told[key]
        if places(text) != places(english[key]):
            found.append(f"{key}: placeholders {places(text)}")
        wrong = plain_words.objection(text, limit=9999, proved=True, reference=True)
        if wrong or any(pattern.search(text) for pattern in never):
            found.append(f"{key}: a word that no label says")
        filled = text.replace("{}", f"10000 von 10000 {LONG['noun']}").format_map(LONG)
        if max(map(len, plain_words.sentences(filled) or [""])) > plain_words.LONGEST:
            found.append(f"{key}: too long")
        if drawable(text).replace("x", "×") != text.replace("„", "“").replace("x", "×"):
            found.append(f"{key}: letters that cannot be drawn")
    return found


@pytest.mark.parametrize("code", CODES)
def test_every_catalogue_is_whole_and_lawful(code: str) -> None:
    assert faults(code, entries(code)) == []


@pytest.mark.parametrize(("key", "text", "fault"), [
    ("words.not-a-proof", "Das System ist sicher", "a word that no label says"),
    ("words.unstable", "Robust", "a word that no label says"),
    ("words.check-it", "Nachprüfen", "placeholders"),
    ("changes.measured-signal", "eine Änderung um {n}", "placeholders"),
    ("phrases.c-small", "Eine Entscheidung kann " + "sehr " * 40, "too long"),
    ("words.label-title", "Ярлык", "letters that cannot be drawn"),
])
def test_a_faulty_catalogue_is_found_out(key: str, text: str, fault: str) -> None:
    told = {**entries("de"), key: text}
    assert any(line.startswith(f"{key}: {fault}") for line in faults("de", told))
    del told[key]
    assert any(line.startswith(f"{key}: missing") for line in faults("de", told))


def headlines() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    return [(f"{community}/{task}", profile, next(c for c in profile["checks"] if c["id"] == profile["headline"]))
            for community, tasks in names().items() for task in tasks for profile in [load(community, task=task)]]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(("name", "profile", "check"), headlines(),
                         ids=lambda value: value if isinstance(value, str) else "")
def test_every_built_in_headline_is_told_whole(code: str, name: str, profile: dict[str, Any], check: dict[str, Any]) -> None:
    """The longest headline of each profile, its consequence, criterion, titles, actions and what was not tested."""
    tongue = language(code)
    change = plain_change(check, check["criterion"].get("level"))
    noun = check.get("noun") or profile.get("noun", "images")
    did = check.get("verb", "damaged {}").replace("{}", f"10000 of 10000 {noun}")
    hazard = f"{change[:1].upper()}{change[1:]} {did}; with the established method (total-variation): 10000 of 10000."
    told = tongue.observed(hazard, change)
    assert told is not None and len(told) <= plain_words.LONGEST, hazard
    assert told.count("10000") in (2, 4)                    # without the established method where that gets too long
    sentence = check["criterion"]["sentence"]
    assert tongue.told(f"{sentence[:1].upper()}{sentence[1:]}.")
    assert tongue.told(check.get("metric_name") or METRICS[check["metric"]][0])
    assert tongue.told(check.get("consequence") or (
        "Structures can appear, vanish or blur in the result with no visible cause in the input."))
    for text in (*profile["actions"], *(f"{t.rstrip('.')}." for t in profile["not_tested"]),
                 *(c["title"] for c in profile["checks"])):
        assert tongue.told(text), text


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("word", synthetic_audit.SIGNALS)
def test_the_five_labels_are_told_whole(code: str, word: str) -> None:
    tongue, label = language(code), labelled(word)
    assert not tongue.is_foreign(hazard_of(label, tongue)) and tongue.told(label["headline"]["consequence"])
    assert [part for _, text, _ in rows(label, tongue) for part in text.split("\n") if tongue.is_foreign(part)] == []
    assert signal_of(label, tongue)[0] != word
    text = warning_label.render_text(label, tongue)
    assert not re.search(r"\d\.\d+ ?[%×]", text) and re.search(r"\d,\d", text)       # the language's decimal mark
    assert label["subject"]["digest"]["sha256"] in text and max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("code", CODES)
def test_numbers_are_those_of_the_english_label(code: str) -> None:
    def told(tongue: Language) -> list[str]:
        text = warning_label.render_text(labelled("WARNING"), tongue).replace(",", ".")
        return sorted(number for number in re.findall(r"\d+(?:\.\d+)? [%×]", text) if number != "95 %")

    assert told(language(code)) == told(language("en"))


def test_what_has_no_translation_stays_english_whole_and_marked() -> None:
    made = json.loads(json.dumps(labelled("WARNING")))
    made["not_tested"][0] = "What nobody translated"
    made["perturbation"]["plain"] = "A push of 2 %"
    made["headline"]["hazard"] = "A push of 2 % damaged 6 of 6 images."
    tongue = language("nb")
    text = warning_label.render_text(made, tongue)
    assert "(på engelsk) A push of 2 % damaged 6 of 6 images." in text and "skadet" not in text.split("=" * 80)[2][:80]
    assert "(på engelsk) What nobody translated." in " ".join(text.split())
    root = ElementTree.fromstring(warning_label.render_svg(made, None, tongue))
    assert root.attrib["lang"] == "nb"
    foreign = " ".join(t.text or "" for t in root.iter(f"{SVG}text") if t.attrib.get("lang") == "en")
    assert "A push of 2 % damaged 6 of 6 images." in foreign and "What nobody translated" in foreign
    assert "Hva en leser slutter" not in foreign


@pytest.mark.parametrize(("code", "says"), [
    ("en", "the worst of 3 groups is “north”, 4 of 6 (2.2–96 %); so few samples do not tell it apart"),
    ("nb", "den verste funne av 3 grupper er «north», 4 av 6 (2,2–96 %); så få prøver"),
    ("de", "die schlimmste gefundene von 3 Gruppen ist „north“, 4 von 6 (2,2–96 %); so wenige Proben")])
def test_the_worst_group_is_told_in_every_language(code: str, says: str) -> None:
    worst = {"name": "north", "harmed": 4, "n": 6, "ci95": [0.022, 0.957]}
    groups = {"check": "tiny-data", "title": "Data", "count": 3, "told_apart": False, "worst": worst}
    made = {**labelled("WARNING"), "groups": groups}
    assert says in " ".join(warning_label.render_text(made, language(code)).split())


def test_english_is_the_label_as_it_was() -> None:
    english = language("en")
    assert english.told("Any text.") == "Any text." and english.foreign("x") == "x"
    assert warning_label.drawn(labelled("WARNING")) == warning_label.drawn(labelled("WARNING"), "en")


def test_an_unknown_language_is_named() -> None:
    with pytest.raises(LanguageError, match="'xx': there is none; known: en, de, fr, nb"):
        language("xx")


@pytest.mark.parametrize("letter", "äöüÄÖÜåÅøØéèêëàâçñÉÈÀ")
@pytest.mark.parametrize("bold", [False, True])
def test_a_mark_is_drawn_on_its_letter(letter: str, bold: bool) -> None:
    """Only within the letter's own width, and with ink: the PNG of the letter is that of its base and a mark."""
    def drawn(text: str) -> np.ndarray:
        words = Words(x=20, y=40, size=24, text=text, length=length(text, 24, bold), bold=bold)
        page = Page(width=400, height=60, items=(words,))
        return np.asarray(Image.open(io.BytesIO(label_png.render_png(labelled("WARNING"), page))).convert("L")).astype(int)

    before, after = "lllllll llll iiii", "ll"
    text = before + letter + after
    assert marked(letter) and drawable(text) == text and spelt(letter) == plain(letter)
    changed = np.argwhere(drawn(text) != drawn(spelt(text))) / label_png.SCALE
    assert len(changed) >= 6
    left, right = 20 + length(before, 24, bold), 20 + length(before + letter, 24, bold)
    assert changed[:, 1].min() >= left - 2.5 and changed[:, 1].max() <= right + 2.5


def test_translations_are_written_verified_and_drawn_again(tmp_path: Path) -> None:
    label = labelled("WARNING")
    warning_label.write_all(label, tmp_path, languages=("nb",))
    assert (tmp_path / "warning_label.nb.svg").read_bytes() == warning_label.drawn(label, "nb")["warning_label.nb.svg"]
    assert warning_label.drawn_in(tmp_path) == ["nb"]
    (tmp_path / "warning_label.nb.txt").write_text("old", encoding="utf-8")
    warning_label.write_all(label, tmp_path)                                # what is there is kept up with the label
    assert "ADVARSEL" in (tmp_path / "warning_label.nb.txt").read_text(encoding="utf-8")


def test_verify_draws_every_language_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = small_audit.run(small_audit.profile(tmp_path, "preflight", "tiny-data"), tmp_path / "audit").folder
    monkeypatch.setattr(sys, "argv", ["assay", "report", str(folder), "--language", "nb", "--language", "fr"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0

    def drawings() -> Any:
        claim = "report and drawings are those of the findings and the label"
        return next(c for c in api.verify(folder, replay=False) if c.claim == claim)

    assert drawings().holds and drawings().detail == "10 files drawn again"
    drawing = folder / "warning_label.nb.svg"
    drawing.write_text(drawing.read_text(encoding="utf-8").replace("Testet av", "Godkjent av"), encoding="utf-8")
    assert not drawings().holds and drawings().detail.startswith("warning_label.nb.svg: bytes differ")
