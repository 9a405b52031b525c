from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from certs import files
from certs.issue import verify
from webhook.cli.commands.certs import issue

app = typer.Typer()
app.command()(issue)


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_it_writes_a_pair_that_a_client_trusts(tmp_path):
    result = run("--out", tmp_path / "pki", "--dns", "a.mesh.svc", "--dns", "localhost", "--ip", "127.0.0.1")

    assert result.exit_code == 0, result.output
    pair = files.read(tmp_path / "pki/tls.crt", tmp_path / "pki/tls.key")
    ca = (tmp_path / "pki/ca.crt").read_bytes()
    assert all(verify(pair, ca, name, now=datetime.now(UTC)).ok for name in ("a.mesh.svc", "localhost", "127.0.0.1"))


def test_it_says_what_it_wrote(tmp_path):
    result = run("--out", tmp_path, "--dns", "a.mesh.svc", "--days", 30)

    for name in ("ca.crt", "tls.crt", "tls.key"):
        assert f"wrote {tmp_path / name}" in result.output
    assert "a.mesh.svc; valid until" in result.output


def test_it_refuses_to_replace_without_force(tmp_path):
    run("--out", tmp_path, "--dns", "a.mesh.svc")
    before = (tmp_path / "tls.crt").read_bytes()

    result = run("--out", tmp_path, "--dns", "a.mesh.svc")

    assert result.exit_code == 1
    assert "--force" in result.stderr
    assert (tmp_path / "tls.crt").read_bytes() == before


def test_it_replaces_with_force(tmp_path):
    run("--out", tmp_path, "--dns", "a.mesh.svc")
    before = (tmp_path / "tls.crt").read_bytes()

    assert run("--out", tmp_path, "--dns", "a.mesh.svc", "--force").exit_code == 0
    assert (tmp_path / "tls.crt").read_bytes() != before


@pytest.mark.parametrize(
    "arguments", [(), ("--dns", "no name"), ("--ip", "localhost"), ("--dns", "a.svc", "--days", 0)]
)
def test_wrong_names_are_wrong_usage_and_write_nothing(tmp_path, arguments):
    result = run("--out", tmp_path, *arguments)

    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")

    result = run("--out", tmp_path / "file" / "dir", "--dns", "a.svc")

    assert result.exit_code == 3
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output


def test_the_key_of_the_authority_is_not_kept(tmp_path):
    run("--out", tmp_path, "--dns", "a.svc")

    assert sum(b"PRIVATE KEY" in Path(path).read_bytes() for path in tmp_path.iterdir()) == 1
