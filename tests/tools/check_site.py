"""Check a built site: every public name is in its inventory, and no page loads from another host.

python tests/tools/check_site.py build/site
"""

from __future__ import annotations

import re
import sys
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.public_names import undocumented

LOADS = re.compile(
    r"""<(?!a\b)[^>]*\b(?:src|href)=["'](?:https?:)?//[^>]*>|@import|url\(["']?http"""
)


def inventory(site: Path) -> set[str]:
    """The Python names of ``objects.inv``: four lines of text, then compressed lines."""
    packed = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    lines = zlib.decompress(packed).decode().splitlines()
    return {name for name, kind, *_ in map(str.split, lines) if kind.startswith("py:")}


def main(site: Path) -> str:
    """Return what is wrong."""
    wrong = [f"not in the site: {name}" for name in undocumented(inventory(site))]
    for page in (path for end in ("html", "css") for path in sorted(site.rglob(f"*.{end}"))):
        for load in LOADS.findall(page.read_text("utf-8")):
            wrong.append(f"{page.relative_to(site)} loads from another host: {load}")
    return "\n".join(wrong)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])) or None)
