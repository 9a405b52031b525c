"""Writing results into the pages: what stands between two marks is the tool's, the rest is written by hand."""

from __future__ import annotations

from pathlib import Path


def filled(page: str, name: str, content: str) -> str:
    """A page with other content between the marks of this name.

    Raises:
        ValueError: The page does not have them, once and in this order.
    """
    begin, end = f"<!-- bench: {name} -->", f"<!-- end: {name} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed) or begin in after:
        raise ValueError(f"the page needs {begin} and {end}, once")
    return f"{before}{begin}\n{content.strip()}\n{end}{after}"


def fill(path: Path, content: dict[str, str]) -> None:
    """Write content into a file between its marks, by their names."""
    page = path.read_text()
    for name, text in content.items():
        page = filled(page, name, text)
    path.write_text(page)
