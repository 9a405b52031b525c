"""A control plane with Istio on it, to play with until Ctrl-C. Run as a program, by `make cluster`."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from pathlib import Path

import controlplane
import istio
import toolbox
from processes import ProgramError

GUIDE = """
The control plane is up: etcd, kube-apiserver, kube-controller-manager, and Istio's injector. It has no node, so pods
stay Pending; they go through admission, and that is what there is to see. In another terminal:

  export KUBECONFIG={kubeconfig} PATH={tools}:$PATH
  kubectl apply -f examples/eshop
  kubectl -n eshop get pods -o custom-columns='POD:.metadata.name,INIT:.spec.initContainers[*].name'
  .venv/bin/sidecar-policy serve --kubeconfig $KUBECONFIG --host 127.0.0.1

Logs: {logs}
Ctrl-C stops all of it and removes its files.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Run a control plane with Istio on loopback until Ctrl-C.")
    parser.add_argument("--kubeconfig", type=Path, required=True, metavar="FILE", help="where to write the kubeconfig")
    kubeconfig = parser.parse_args().kubeconfig.absolute()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    directory = None
    try:
        tools = toolbox.build(toolbox.CONTROL_PLANE + toolbox.ISTIO + toolbox.CLIENTS)
        with controlplane.control_plane(tools) as plane:
            directory = plane.directory
            istio.install(plane)
            kubeconfig.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(plane.kubeconfig, kubeconfig)
            kubeconfig.chmod(0o600)
            print(GUIDE.format(kubeconfig=kubeconfig, tools=tools, logs=plane.programs.logs), flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
    except (toolbox.ToolError, ProgramError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    finally:
        kubeconfig.unlink(missing_ok=True)
    if directory is not None:
        shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
