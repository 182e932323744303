"""What rows of an audit tell that no replay repeats and that is not said to be left."""

from __future__ import annotations

from dataclasses import replace

import assay
from assay.audits.prepare import session_from
from assay.audits.recipe import Recipe, as_chosen
from assay.audits.replayed_rows import replays, undeclared


def undeclared_in(audit: assay.Audit) -> set[tuple[str, str]]:
    """(method, entry) of own rows; the audit is one that its words build again."""
    words = Recipe(**as_chosen(audit.store.header, audit.store))
    session = session_from(replace(words, groups="", tariff=""))
    methods = {name: check.method for name, check in session.checks().items()}
    return {(methods[row.check], name) for row, numbers in replays(audit.store, session) if row.origin == row.system
            for name in undeclared(row, methods[row.check], numbers)}
