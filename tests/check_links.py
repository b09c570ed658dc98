"""Check the relative links of the Markdown pages, including their anchors. Part of `make lint`."""

import re
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[1]
SKIPPED = {".venv", ".snakemake", "peers", "node_modules"}


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """Return the broken links of a page."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        target, _, anchor = unquote(link).partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            found.append(f"{page.relative_to(ROOT)}: broken link {link}")
    return found


def main() -> None:
    pages = [page for page in ROOT.rglob("*.md") if not SKIPPED & set(page.relative_to(ROOT).parts)]
    own = {"README.md"}  # pages that runs have written to results/ and figures/ are not part of the project
    pages = [
        page for page in pages if page.relative_to(ROOT).parts[0] not in ("results", "figures") or page.name in own
    ]
    faults = [fault for page in sorted(pages) for fault in broken(page)]
    print("\n".join(faults) or f"{len(pages)} pages: no broken links")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
