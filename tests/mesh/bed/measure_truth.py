"""Measure every cell and every scenario, and write them to truth.yaml. It takes `mesh_sandbox.py` around it."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

import bed
import matrix
import measuring
import scenarios
import truth
from stage import Stage


def main() -> None:
    started = time.monotonic()
    with bed.mesh_bed() as mesh:
        certificate = mesh.plane.authority.server("speaker")
        _say(started, "control plane and istiod are up")
        stage = Stage.set_up(mesh, certificate)
        for scenario in scenarios.SCENARIOS:
            scenario(stage)
            _say(started, f"{scenario.__name__}: {len(stage.sights)} connections of scenarios so far")
        measured = measuring.measure(mesh, matrix.matrix(), certificate)
        _say(started, f"{len(measured)} cells, of which {sum(bool(one.flaky) for one in measured)} are flaky")
        versions = bed.versions(mesh) | {"measured": datetime.now(UTC).date().isoformat()}
    truth.PATH.write_text(truth.dump(versions, measured + stage.sights))


def _say(started: float, text: str) -> None:
    print(f"{time.monotonic() - started:4.0f} s: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
