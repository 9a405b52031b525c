import json
import re
import shlex
from pathlib import Path

import pytest

from webhook.analysis.diagnose.finding import Code
from webhook.analysis.plan.impact import Consequence
from webhook.cli.exits import ExitCode
from webhook.cli.main import app

ROOT = Path(__file__).parents[2]
# The quick start is one long command line for a cluster: tests/e2e runs it.
ELSEWHERE = ROOT / "docs" / "quickstart.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
BLOCK = re.compile(r"^```(?:console|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?sidecar-policy (.+)$", re.MULTILINE)


def documented():
    for page in PAGES:
        if page == ELSEWHERE:
            continue
        for block in BLOCK.findall(page.read_text()):
            for arguments in COMMAND.findall(block):
                # A server does not end by itself; its own tests start and stop it. tests/e2e has a live cluster.
                if not arguments.startswith("serve") and "--live" not in arguments:
                    yield pytest.param(arguments, id=f"{page.relative_to(ROOT)}: {arguments}")


@pytest.mark.parametrize("arguments", list(documented()))
def test_a_documented_command_works_as_written(arguments, run, tmp_path):
    # What a command writes stays out of the project.
    for folder in ("examples", "docs"):
        (tmp_path / folder).symlink_to(ROOT / folder)

    ended = run(*shlex.split(arguments, comments=True))

    said = re.search(r"# exits with (\d+)", arguments)
    assert ended.returncode == (int(said[1]) if said else 0), ended.stderr
    assert ended.stdout


@pytest.mark.parametrize("page", ["README.md", "docs/detection.md", "docs/policy.md"])
def test_a_policy_in_the_documentation_is_valid(run, page):
    (policy,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)

    ended = run("validate", "--strict", "-", stdin=policy)

    assert (ended.returncode, ended.stderr) == (0, "")


def test_every_page_that_should_show_commands_does():
    shown = {parameter.id.partition(":")[0] for parameter in documented()}

    assert {"README.md", "docs/cli.md", "docs/detection.md"} <= shown


def test_every_command_is_in_the_readme():
    commands = [command.name or command.callback.__name__ for command in app.registered_commands]

    assert [name for name in commands if f"| `{name}`" not in PAGES[0].read_text()] == []


def test_every_finding_and_its_fields_are_documented(run):
    page = (ROOT / "docs" / "diagnose.md").read_text()
    (found, *_) = json.loads(run("diagnose", "-o", "json", "-f", ROOT / "examples" / "eshop").stdout)

    assert [code.code for code in Code if f"\n## {code.code}\n" not in page] == []
    assert [field for field in (*found, *found["fix"], *found["object"]) if f"`{field}`" not in page] == []


def test_every_consequence_of_a_plan_is_documented():
    page = (ROOT / "docs" / "cli.md").read_text()

    assert [one.code for one in Consequence if f"`{one.code}`" not in page] == []


def test_every_exit_code_is_documented():
    page = (ROOT / "docs" / "cli.md").read_text()

    assert all(f"| {code.value} " in page for code in ExitCode)


def test_every_field_of_an_explanation_is_documented(run):
    page = (ROOT / "docs" / "cli.md").read_text()
    (pod,) = json.loads(run("explain", "-o", "json", "-f", "-", stdin="{apiVersion: v1, kind: Pod}").stdout)

    assert [field for field in pod if f"`{field}`" not in page] == []
