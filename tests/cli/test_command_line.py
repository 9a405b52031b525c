import json
import os
import signal
import subprocess
import time

import pytest

from webhook import __version__


def test_version(run_process):
    ended = run_process("--version")

    assert (ended.returncode, ended.stdout) == (0, f"sidecar-policy {__version__}\n")


def test_help_lists_every_command_and_the_exit_codes(run_process):
    ended = run_process("--help", COLUMNS="200")

    assert ended.returncode == 0
    assert all(f" {name} " in ended.stdout for name in ("serve", "explain", "inject", "validate", "test", "certs"))
    assert "3 unreadable input" in ended.stdout


def test_called_as_a_plugin_of_kubectl_the_help_says_so(run_process, command):
    ended = run_process("explain", "--help", program=command.with_name("kubectl-sidecar_policy"))

    assert "Usage: kubectl sidecar-policy explain" in ended.stdout


def test_python_can_run_it_as_a_module(run_process, command):
    ended = run_process("-m", "webhook", "--version", program=command.with_name("python"))

    assert ended.stdout == f"sidecar-policy {__version__}\n"


def test_without_a_command_it_shows_the_help_and_fails(run_process):
    ended = run_process()

    assert ended.returncode == 2
    assert "Usage: sidecar-policy" in ended.stdout + ended.stderr


def test_a_wrong_option_names_the_right_one(run_process):
    ended = run_process("explain", "--polcy", "x")

    assert ended.returncode == 2
    assert "--policy" in ended.stderr


def test_the_help_does_not_import_what_only_commands_need(run_process, command):
    heavy = "{'cryptography', 'fastapi', 'pydantic', 'uvicorn', 'jsonpatch', 'msgspec'}"
    program = f"import sys, webhook.cli.main; sys.exit(sorted({heavy} & sys.modules.keys()) or 0)"

    ended = run_process("-c", program, program=command.with_name("python"))

    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_reader_that_goes_away_ends_it_quietly(command, tmp_path, plain_environment, deployment):
    # More than a pipe holds, so that the command has to write to one that is closed.
    (tmp_path / "many.yaml").write_text("---".join(deployment(f"app-{number}") for number in range(600)))
    process = subprocess.Popen(
        [command, "inject", "-f", "many.yaml"],
        cwd=tmp_path,
        env=plain_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )

    process.stdout.readline()
    process.stdout.close()

    errors = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=30) == 141
    assert [line for line in errors.splitlines() if not line.startswith("note:")] == []


def test_ctrl_c_ends_it_quietly(command, tmp_path):
    process = subprocess.Popen(
        [command, "explain", "-f", "-"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    _wait_until_it_reads(process)

    process.send_signal(signal.SIGINT)

    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, b"")


def _wait_until_it_reads(process):
    """The command has read the policy and waits for its standard input, which is the system call 0, read, on it."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with open(f"/proc/{process.pid}/syscall") as file:  # noqa: PTH123 - a file of the kernel
            if file.read().startswith(f"{os.SEEK_SET} 0x0 "):
                return
        time.sleep(0.02)
    raise AssertionError("the command never read its input")


def test_output_that_cannot_be_written_is_an_error(command, tmp_path, plain_environment, deployment):
    (tmp_path / "web.yaml").write_text(deployment("web"))
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        ended = subprocess.run(
            [command, "explain", "-f", "web.yaml"],
            cwd=tmp_path,
            env=plain_environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=30,
        )

    assert ended.returncode == 3
    assert ended.stderr.splitlines()[-1] == "error: standard output: No space left on device"


def test_an_output_that_is_not_utf_8_gets_all_it_can_hold(run_process, deployment):
    ended = run_process("explain", "-f", "-", stdin=deployment("web"), PYTHONIOENCODING="ascii")

    assert ended.returncode == 0
    assert r"\u2192" in ended.stdout


def test_manifests_on_standard_input_are_utf_8_in_every_locale(run_process, deployment):
    ended = run_process("explain", "-o", "json", "-f", "-", stdin=deployment("w\u2192b"), PYTHONIOENCODING="latin-1")

    assert [one["name"] for one in json.loads(ended.stdout)] == ["w\u2192b"]


def test_a_shell_can_complete_commands_and_options(run_process):
    words = {
        "_SIDECAR_POLICY_COMPLETE": "complete_bash",
        "COMP_WORDS": "sidecar-policy explain --pol",
        "COMP_CWORD": "2",
    }

    assert run_process(**words).stdout == "--policy\n"


@pytest.mark.parametrize("module", ["typer.main", "webhook.cli.exits", "webhook.cli.commands.explain", "msgspec"])
def test_ctrl_c_while_it_imports_ends_it_quietly(command, tmp_path, module):
    # Each import is reported on standard error when it is complete.
    process = subprocess.Popen(
        [command.with_name("python"), "-X", "importtime", "-m", "webhook", "explain", "-f", "-"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if line.split("|")[-1].strip() == module:
            process.send_signal(signal.SIGINT)
            break

    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (output, [line for line in errors.splitlines() if not line.startswith("import time:")]) == ("", [])


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("serve", "--help"), ("--version",), ("validate", "--schema"), ("certs", "--help"), ("--nope",)],
)
def test_help_that_nobody_reads_ends_quietly(command, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run([command, *arguments], stdout=writer, stderr=writer, check=False, timeout=30)
    os.close(writer)

    assert ended.returncode == 141


def test_a_closed_standard_output_is_no_error(command, tmp_path):
    ended = subprocess.run(
        ["sh", "-c", f"{command} --version >&-"], cwd=tmp_path, capture_output=True, check=False, timeout=30
    )

    assert (ended.returncode, ended.stderr) == (0, b"")


def test_help_that_cannot_be_written_is_an_error(command):
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        ended = subprocess.run([command, "--help"], stdout=full, stderr=subprocess.PIPE, check=False, timeout=30)

    assert (ended.returncode, ended.stderr) == (3, b"error: standard output: No space left on device\n")
