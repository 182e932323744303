"""The telling: HTML report, terminal table, exports and the warning label, computed from a folder and its verdicts.

Loads no torch. Read `comparison` first (what stands beside what), then `signals` (which signal word, and why),
`headline` (the sentences), `warning_label` (the dated, checkable result) and `html`.
"""
