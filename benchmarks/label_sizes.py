"""How large report and label of an audit are, in kB (1000 bytes), and packed by gzip as a web server would send them.

    assay demo && python benchmarks/label_sizes.py runs/demo
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

NAMES = ("report.html", *(f"warning_label.{kind}" for kind in ("json", "svg", "png", "txt")))


def main(folder: Path) -> None:
    print("| file | kB | gzip, kB |\n|---|---|---|")
    for name in NAMES:
        content = (folder / name).read_bytes()
        print(f"| `{name}` | {len(content) / 1000:.1f} | {len(gzip.compress(content, mtime=0)) / 1000:.1f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo"))
