"""`make accuracy`: measure detection against labelled manifests of real software; exit 1 below the targets."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from labels import CorpusError, cases_in
from report import as_data, as_text, measure
from targets import shortfalls

PROJECT = Path(__file__).resolve().parents[2]
OWN = Path(__file__).resolve().parent / "corpus"
BESIDE = PROJECT.parent / "shared" / "corpus" / "dev"


def corpora() -> list[Path]:
    """The project's own set, and the larger one: LABELLED_CORPUS, or what lies beside the checkout."""
    named = os.environ.get("LABELLED_CORPUS")
    larger = Path(named) if named else BESIDE
    return [OWN, larger] if named or larger.is_dir() else [OWN]


def main(arguments: list[str]) -> int:
    """Print the report of each corpus; the exit code says whether all targets are met."""
    parser = argparse.ArgumentParser(prog="make accuracy", description=__doc__)
    parser.add_argument("corpus", nargs="*", type=Path, help="a directory of applications, or one application's")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    options = parser.parse_args(arguments)
    below: list[str] = []
    reports = {}
    for corpus in options.corpus or corpora():
        try:
            measured = measure(cases_in(corpus))
        except CorpusError as error:
            print(f"error: {error}", file=sys.stderr)
            return 3
        short = [f"{corpus.name}: {sentence}" for sentence in shortfalls(measured)]
        below += short
        reports[str(corpus)] = as_data(measured) | {"belowTarget": short}
        if options.output == "text":
            print(f"== {corpus}\n\n{as_text(measured)}")
    if options.output == "json":
        print(json.dumps(reports, indent=2, ensure_ascii=False))
    for sentence in below:
        print(f"below target: {sentence}", file=sys.stderr)
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
