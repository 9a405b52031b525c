"""The simulator is the Istio that the test beds run: its Go module pins what theirs pins."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]


def pins(module: str) -> tuple[str, dict[str, str], dict[str, str]]:
    """The Go version of a module, the versions that it requires, and those that replace them."""
    text = (TESTS / module / "go.mod").read_text()
    required = re.findall(r"^(?:require )?\t?(\S+) (v\S+)", text, re.MULTILINE)
    replaced = re.findall(r"^\t(\S+) => \S+ (\S+)", text, re.MULTILINE)
    return re.search(r"^go (\S+)", text, re.MULTILINE).group(1), dict(required), dict(replaced)


def test_the_simulator_is_of_the_same_istio_as_the_test_beds():
    go, required, replaced = pins("mesh/simulator")
    there_go, there_required, there_replaced = pins("e2e/tools")
    assert required["istio.io/istio"].startswith("v")
    assert (go, replaced) == (there_go, there_replaced)
    different = {one for one, version in required.items() if version != there_required.get(one, version)}
    assert different == set()
