"""Names of packages that a station's commands can give."""

from __future__ import annotations

from latentline.package.files import is_plain_name

MOST_CHARACTERS = 100


def name_fault(name: str) -> str | None:
    """Why no command can switch a station to a package of this file name, in a sentence; None: it can."""
    if is_plain_name(name) and len(name) <= MOST_CHARACTERS:
        return None
    return (
        f"no command can switch a station to {name!r}: rename the package; its name may have up to {MOST_CHARACTERS} "
        "letters from A to Z, digits, _ . and -, but no blank"
    )
