"""Numbers and names as a reader sees them: two significant digits, percentages, nothing that can deceive the eye."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from assay.letters import HIDDEN

SENTENCE_LIMIT = 180    # characters; longer sentences are not read on a label
NAME_LIMIT = 40
MISSING = "not measured"
CLASSIFYING = ("classification", "text", "codes", "sound", "verification", "table")    # whose systems decide between classes
WRITTEN = ("text", "codes", "table")     # whose inputs are read, not looked at

# Names and units of the metrics for findings whose profile does not say; `assay.metrics` declares the same.
METRICS = {
    "relative-error": ("Image error", "share of the true image's norm"),
    "psnr": ("Peak signal-to-noise ratio", "dB"),
    "ssim": ("Structural similarity", "index"),
    "max-error": ("Greatest error at one place", "share of the true image's peak"),
    "detail-lost": ("Detail lost", "share of the detail's contrast"),
    "change-elsewhere": ("Change outside the detail", "share of the detail's norm"),
    "gain": ("Magnification of a change", "output change per input change"),
    "lipschitz-bound": ("Lipschitz constant forced by a recovered detail", "output per input change"),
    "error-rate": ("Wrong decisions", "share of the inputs"),
    "changed-decisions": ("Changed decisions", "share of the inputs"),
    "inconsistent-decisions": ("Equivalent records decided differently", "share of the records"),
    "score-fall": ("Fall of the score of class 1", "log odds"),
    "score-rise": ("Rise of the score of class 1", "log odds"),
    "probability-shift": ("Change of the probabilities", "share"),
    "heard-as": ("Heard as the given other answer", "share of the sounds"),
    "heard-in-rooms": ("Heard as the given other answer in rooms held out", "share of the rooms"),
    "signal-to-noise": ("Signal-to-noise ratio of the change", "dB"),
    "written-error": ("Letters wrong in what is written freely", "share of the phrase's letters"),
    "above-threshold": ("The change above the masking threshold, at most", "dB"),
    "heard-distance": ("Softest sound that makes the other answer heard", "dB"),
    "confidence": ("Confidence in the decision", "share"),
    "score": ("Score of class 1", "log odds"),
    "margin": ("Lead of the best wrong class", "scores"),
    "decision": ("Number of the class decided for", ""),
    "flip-distance-l2": ("Smallest change that flips the decision", "share of the input's norm"),
    "flip-distance-linf": ("Smallest change that flips the decision", "share of the range of grey levels"),
    "certified-radius": ("Size within which the decision was proved to hold", "share"),
    "clever": ("Smallest flip, estimated from slopes", "share"),
    "noise-risk": ("Probability that noise turns the decision", "share"),
    "gain-bound": ("Magnification proved to be the greatest", "output change per input change"),
    "boundary-ratio": ("Distance to the boundary by chance, over that to a flat one", "×"),
    "manitest": ("Distance along the orbit to another decision", "share of the image's norm"),
    "fooling-confidence": ("Confidence in a class", "share"),
    "held-out-success": ("Success on views held out", "share of the views"),
    "invented": ("Contrast of an invented structure", "share of the peak"),
    "lipschitz-ceiling": ("The same for a system that shows the detail in full", "output per input change"),
}

# What the average case is called where it is not random changes of the same size.
CONTROLS = {"invented": "The same errors with random signs", "fooling-confidence": "Uniform noise, nothing searched"}

# What the worst case is called where it was proved and not found.
WORST = {"certified-radius": "Size proved harmless", "gain-bound": "Proved: at most"}

# What each flag means and what to do, in one sentence; docs/flags.md says more.
FLAGS = {
    "non-finite": "The system returned NaN or infinity; look at the input stored as witness.",
    "not-deterministic": "Two identical calls gave different outputs; fix the system's seed before judging stability.",
    "batch-dependent": "The output depends on what else is in the batch; run with batch size 1.",
    "zero-gradient": "The gradient was exactly zero, so a gradient search sees nothing; a query-only search is needed.",
    "raised": "The system raised an error on a sample; the other samples were finished.",
    "not-converged": "A solver stopped before it converged, so its error may be its own; raise its iterations.",
    "query-beats-gradient": "A query-only search found worse than the gradient search: gradients may be masked.",
    "transfer-beats-gradient": "A change found on another system did what the gradient could not: it may be masked.",
    "surrogate-unmoved": "The changes hardly turned the systems they were made for, so they say little about this one.",
    "query-only": "No gradient was available, and few queries find little: harm that was not found may well be there.",
    "constant-decision": "Every sample got the same decision, so nothing can be learnt from its not changing.",
    "gradient-mismatch": "The gradient is not the slope of the output, so a search by gradient is misled (masking).",
    "not-reached": "No change within the range of the inputs flipped the decision, which no honest classifier resists.",
    "probabilities": "The outputs are probabilities, whose gradient vanishes where the system is sure; give the scores.",
    "training-mode": "A layer behaves as in training, so the system judged is not the one that is used; turn it off.",
    "changes-with-use": "An image got other scores after the search than before it: the system reacts to being tested.",
    "jumps": "The scores jump on the way to another image, as where a detector or a memory of known images takes over.",
    "still-rising": "The worst case still grew in the last quarter of the steps: more steps would find worse.",
    "misses-data": "What outputs have in common is in the measured part too, as of a shift; the kernel is not the story.",
    "mostly-wrong": "Most decisions are wrong without any change; check range, channel order and labels before stability.",
    "chance-as-harmful": "No worst case stood out only because random changes of the same size turned decisions as well.",
    "certificate-contradicted": "A change was found within a size that was proved harmless: proof or search is wrong.",
    "worst-below-control": "A random change did more harm than the worst case found: the search was too weak.",
}

# Units whose numbers are fractions, shown as percentages.
_FRACTIONS = ("fraction", "relative", "share", "proportion", "sampled", "contrast")


def printable(text: str) -> str:
    r"""The text with every control, formatting and surrogate character written out, so that no name hides or reorders.

    Unicode general categories Cc, Cf, Co, Cs and the line separators Zl, Zp are replaced by their code.

    >>> printable("a\x1b[31m\u202eb")
    'a\\x1b[31m\\u202eb'
    """
    if text.isprintable():
        return text                     # most are, and some are pictures of a megabyte
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in HIDDEN else c for c in text)


def shortened(name: str, limit: int = NAME_LIMIT) -> str:
    """A printable name of at most `limit` characters; what is cut is replaced by an ellipsis.

    >>> shortened("total variation", 8)
    'total v…'
    """
    name = printable(name)
    return name if len(name) <= limit else name[:limit - 1] + "…"


def significant(value: float, digits: int = 2) -> str:
    """The number to so many significant digits, without exponent between 1e-4 and 1e6.

    >>> significant(0.01234), significant(25.29), significant(1234.0), significant(0.0), significant(1.0)
    ('0.012', '25', '1200', '0', '1')
    """
    if abs(value) < 1e-12:      # what rounding leaves of zero
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    if rounded != 0 and not 1e-4 <= abs(rounded) < 1e6:
        return f"{rounded:.{digits - 1}e}"
    text = f"{rounded:.10f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def is_fraction(unit: str) -> bool:
    """Whether numbers in this unit are fractions, shown as percentages.

    >>> is_fraction("relative ℓ2"), is_fraction("dB")
    (True, False)
    """
    return unit.strip().lower().startswith(_FRACTIONS)


def amount(value: float | None, unit: str = "", *, digits: int = 2) -> str:
    """A value with its unit: fractions as percentages, missing numbers as words and never as zero.

    >>> amount(0.1734, "fraction"), amount(5.449, "×"), amount(25.3, "dB"), amount(None), amount(1, "phrases replaced")
    ('17 %', '5.4 ×', '25 dB', 'not measured', '1 phrase replaced')
    """
    if unit.startswith("output "):
        unit = "×"
    elif unit == "index":
        unit = ""
    if value is None:
        return MISSING
    if is_fraction(unit):
        return f"{significant(100 * value, digits)} %"
    if value == 1:
        unit = re.sub(r"^(phrase|code|word|field)s\b", r"\1", unit)
    shown = significant(value, digits)
    return f"{shown.replace('-', '−') if unit == 'dB' else shown} {unit}".strip()


def area(value: float) -> str:
    """An area under a curve with two decimals; only 0 and 1 themselves are called so.

    >>> area(0.9962), area(1.0), area(0.414), area(0.001)
    ('>0.99', '1.00', '0.41', '<0.01')
    """
    return ">0.99" if 0.995 <= value < 1 else "<0.01" if 0 < value < 0.005 else f"{value:.2f}"


def span(low: float | None, high: float | None, unit: str = "", *, digits: int = 2) -> str:
    """An interval in the unit of its value, or nothing where there is none.

    >>> span(0.152, 0.197, "fraction"), span(None, None)
    ('15–20', '')
    """
    if low is None or high is None:
        return ""
    scale = 100.0 if is_fraction(unit) else 1.0
    return f"{significant(scale * low, digits)}–{significant(scale * high, digits)}"


def plain_change(check: Mapping[str, Any], level: float | None) -> str:
    """The size of the change in words a lay reader can picture: the check's `plain` text with its level filled in.

    The text comes from a profile, so only this placeholder is replaced, and {below}, the level with the other sign: what is
    at −20 dB lies 20 dB below. No format code is run.

    >>> plain_change({"plain": "a change of {level:.0%} of the measured signal", "unit": "relative ℓ2"}, 0.005)
    'a change of 0.5 % of the measured signal'
    >>> plain_change({"plain": "a sound {below} below", "unit": "dB"}, -20.0)
    'a sound 20 dB below'
    """
    text = str(check.get("plain") or f"a change of {{level}} ({check.get('unit', '')})")
    if level is None:
        text = re.sub(r"\s*\([^()]*\{level[^}]*\}[^()]*\)", "", text)
        return re.sub(r"\s*(of\s+)?\{(level|below)[^}]*\}", "", text)
    unit = str(check.get("unit", ""))
    return re.sub(r"\{level[^}]*\}", amount(level, unit), text).replace("{below}", amount(-level, unit))


def sentence(*candidates: str, limit: int = SENTENCE_LIMIT) -> str:
    """The first candidate that fits, with a capital first letter; the last one is cut if none fits.

    >>> sentence("a very long one.", "short.", limit=10)
    'Short.'
    """
    chosen = next((text for text in candidates if len(text) <= limit), shortened(candidates[-1], limit))
    return chosen[:1].upper() + chosen[1:]


def counted(n: int, noun: str) -> str:
    """A count with its noun.

    >>> counted(1, "images"), counted(3, "images")
    ('1 image', '3 images')
    """
    return f"{n} {noun.removesuffix('s') if n == 1 else noun}"
