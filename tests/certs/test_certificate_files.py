from datetime import UTC, datetime

import pytest

from certs import files
from certs.issue import KeyPair, issue_authority, issue_serving, verify

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority():
    return issue_authority(now=NOW)


@pytest.fixture
def pair(authority):
    return issue_serving(authority, ["a.svc"], now=NOW)


def test_what_is_written_reads_back_and_verifies(tmp_path, authority, pair):
    written = files.write(tmp_path / "new" / "dir", authority.certificate, pair)
    ca, key, certificate = written

    again = files.read(certificate, key)

    assert again == pair
    assert verify(again, ca.read_bytes(), "a.svc", now=NOW).ok


def test_only_the_owner_reads_the_key(tmp_path, authority, pair):
    modes = {path.name: path.stat().st_mode & 0o777 for path in files.write(tmp_path, authority.certificate, pair)}

    assert modes == {"ca.crt": 0o644, "tls.key": 0o600, "tls.crt": 0o644}


def test_nothing_but_the_three_files_is_left(tmp_path, authority, pair):
    files.write(tmp_path, authority.certificate, pair)
    files.write(tmp_path, authority.certificate, pair)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.crt", "tls.crt", "tls.key"]


def test_a_failed_write_leaves_the_old_file_whole(tmp_path, authority, pair):
    files.write(tmp_path, authority.certificate, pair)

    with pytest.raises(TypeError):
        files.write(tmp_path, authority.certificate, KeyPair(pair.certificate, "not bytes"))  # type: ignore[arg-type]

    assert (tmp_path / "tls.key").read_bytes() == pair.key
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.crt", "tls.crt", "tls.key"]


def test_present_names_what_would_be_replaced(tmp_path):
    assert files.present(tmp_path) == []
    (tmp_path / "tls.key").symlink_to("gone")

    assert files.present(tmp_path) == [tmp_path / "tls.key"]


def test_the_key_is_not_widened_by_what_was_there(tmp_path, authority, pair):
    (tmp_path / "tls.key").write_text("old")
    (tmp_path / "tls.key").chmod(0o666)

    files.write(tmp_path, authority.certificate, pair)

    assert (tmp_path / "tls.key").stat().st_mode & 0o777 == 0o600
