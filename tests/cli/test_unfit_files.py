from __future__ import annotations

import os
import socket
import subprocess

import pytest

COMMANDS = {
    "test": ["test", "{}"],
    "validate": ["validate", "{}"],
    "explain": ["explain", "-f", "{}"],
    "explain, as an argument": ["explain", "{}"],
    "explain --policy": ["explain", "-f", "web.yaml", "--policy", "{}"],
    "explain --kubeconfig": ["explain", "--live", "--kubeconfig", "{}"],
    "inject": ["inject", "-f", "{}"],
    "diagnose": ["diagnose", "-f", "{}"],
    "plan": ["plan", "{}", "-f", "web.yaml"],
    "plan -f": ["plan", "policy.yaml", "-f", "{}"],
    "plan --policy": ["plan", "policy.yaml", "-f", "web.yaml", "--policy", "{}"],
    "serve --manifests": ["serve", "--manifests", "{}", "--port", "0", "--health-port", "0"],
    "serve --policy": ["serve", "--manifests", "web.yaml", "--policy", "{}", "--port", "0", "--health-port", "0"],
    "serve --cert": ["serve", "--manifests", "web.yaml", "--cert", "{}", "--key", "{}", "--port", "0"],
    "serve --kubeconfig": ["serve", "--kubeconfig", "{}", "--port", "0", "--health-port", "0"],
    "certs inspect": ["certs", "inspect", "--kubeconfig", "{}", "--cert-secret", "a/b", "--service", "a/b"],
}
POLICY = "apiVersion: sidecar-policy.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: p}\nspec: {rules: []}\n"


@pytest.fixture
def unfit(tmp_path, deployment):
    """Paths that are no file to read, by what they are."""
    (tmp_path / "web.yaml").write_text(deployment("web"))
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a.txt").write_text("")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder-of-a-pipe").mkdir()
    os.mkfifo(tmp_path / "folder-of-a-pipe/a.yaml")
    (tmp_path / "empty").write_text("")
    (tmp_path / "binary").write_bytes(bytes(range(128, 256)) * 9)
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    names = (
        "folder",
        "folder-of-a-pipe",
        "pipe",
        "empty",
        "binary",
        "broken",
        "loop",
        "socket",
        "missing",
        "web.yaml/below",
    )
    return [*names, "/dev/null", "/dev/zero"]


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_readable_file_is_an_error_in_one_line(run, run_forked, unfit, command):
    # A server changes signals, logging and the allocator of its process; the others need none of their own.
    run_command = run_forked if command.startswith("serve") else run
    for path in unfit:
        ended = run_command(*(argument.format(path) for argument in COMMANDS[command]))
        said = [line for line in ended.stderr.splitlines() if not line.startswith(("{", "note:"))]

        assert (path, ended.returncode in {1, 3}, len(said)) == (path, True, 1), ended.stderr
        assert path.partition("/below")[0] in said[0]
        assert "error: " in said[0]


def test_a_folder_of_policies_and_tests_is_no_file_of_tests(run, tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(POLICY)

    ended = run("test", ".")

    assert ended.returncode == 3
    assert ended.stderr == ".: error: is a directory (pass the PolicyTest files in it)\n"


@pytest.mark.parametrize("fields", ["policy: pipe", "policy: policy.yaml\nmanifests: [pipe]"])
def test_a_pipe_that_a_file_of_tests_names_is_not_waited_for(run, unfit, tmp_path, fields):
    case = "{name: t, pod: {spec: {containers: [{name: c}]}}, expect: {action: skip}}"
    head = "apiVersion: sidecar-policy.dev/v1alpha1\nkind: PolicyTest\n"
    (tmp_path / "p.test.yaml").write_text(f"{head}{fields}\ntests: [{case}]\n")

    ended = run("test", "p.test.yaml")

    assert ended.returncode == 3
    assert ended.stderr == "pipe: error: cannot be read: it is a pipe and not a regular file\n"


def test_the_pipe_of_a_shell_will_do(command, tmp_path):
    (tmp_path / "policy.yaml").write_text(POLICY)
    ended = subprocess.run(
        ["bash", "-c", f"{command} validate <(cat policy.yaml)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (ended.returncode, ended.stdout.partition(",")[0]) == (0, "OK: policy p"), ended.stderr


def test_a_name_that_is_written_like_markup_or_moves_the_cursor_is_shown_as_it_is(run):
    assert run("validate", "[red]x[/].yaml").stderr.startswith("[red]x[/].yaml: error: cannot be read")
    assert run("validate", "a\nb\x1b[2J").stderr.startswith("a\N{REPLACEMENT CHARACTER}b")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("serve",), "sidecar-policy[otel]"),
        (("serve",), "[default: the built-in policy]"),
        (("serve",), "[default: console at a terminal, else json]"),
        (("explain",), "[default: as kubectl; in a pod without a kubeconfig, in-cluster configuration]"),
        (("plan",), "[default: the built-in policy]"),
    ],
)
def test_help_keeps_what_is_in_brackets(run, arguments, text):
    shown = run(*arguments, "--help", COLUMNS="400").stdout

    assert text in " ".join(shown.split())
