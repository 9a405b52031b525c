from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from datetime import UTC, datetime, timedelta

import pytest

from webhook.policy.files import MAX_ENTRIES, MAX_FILES, PolicyError
from webhook.policy.source import PolicySource, ReloadOutcome

START = datetime(2026, 1, 1, tzinfo=UTC)
PATIENCE = 20


@pytest.fixture
def text(policy_text):
    """The text of a policy with one rule of this name."""
    return lambda rule: policy_text({"name": rule, "action": "skip"})


@pytest.fixture
def clock():
    ticks = iter(range(10**6))
    return lambda: START + timedelta(seconds=next(ticks))


@pytest.fixture
def file(tmp_path, text):
    path = tmp_path / "policy.yaml"
    path.write_text(text("first"))
    return path


def rule_of(source):
    return source.current.rules[0].name


def test_a_first_policy_that_is_broken_is_fatal(file):
    file.write_text("kind: nonsense")

    with pytest.raises(PolicyError):
        PolicySource([file])


def test_without_paths_the_packaged_policy_is_in_force(clock):
    source = PolicySource(clock=clock)

    assert (source.current.name, source.status.source, source.reload()) == (
        "mesh-default",
        "the packaged default",
        ReloadOutcome.UNCHANGED,
    )


def test_the_status_says_what_is_in_force_and_since_when(file, clock):
    status = PolicySource([file], clock=clock).status

    assert (status.name, len(status.generation), status.source, status.loaded_at, status.problems) == (
        "under-test",
        8,
        str(file),
        START,
        None,
    )


def test_new_content_is_put_in_force(file, text, clock):
    source = PolicySource([file], clock=clock)
    file.write_text(text("second"))

    assert source.reload() is ReloadOutcome.LOADED
    assert (rule_of(source), source.status.loaded_at) == ("second", START + timedelta(seconds=1))


def test_the_same_content_is_not_loaded_again(file, text, clock):
    source = PolicySource([file], clock=clock)
    before = source.current
    file.write_text(text("first"))

    assert source.reload() is ReloadOutcome.UNCHANGED
    assert source.current is before


@pytest.mark.parametrize("spoil", [lambda file: file.write_text("spec: ["), lambda file: file.unlink()])
def test_a_broken_change_keeps_the_last_good_policy_and_says_so(file, clock, spoil):
    source = PolicySource([file], clock=clock)
    spoil(file)

    assert source.reload() is ReloadOutcome.REJECTED
    assert rule_of(source) == "first"
    assert str(file) in str(source.status.problems[0])
    assert source.status.rejected_at == START + timedelta(seconds=1)


def test_a_broken_change_is_told_once(file, clock):
    told = []
    source = PolicySource([file], clock=clock, on_outcome=lambda outcome, status: told.append(outcome))
    file.write_text("spec: [")
    outcomes = [source.reload(), source.reload()]

    assert outcomes == [ReloadOutcome.REJECTED, ReloadOutcome.UNCHANGED]
    assert told == [ReloadOutcome.REJECTED]


def test_a_broken_change_that_is_taken_back_clears_the_fault(file, text, clock):
    told = []
    source = PolicySource([file], clock=clock, on_outcome=lambda outcome, status: told.append(status.problems))
    file.write_text("spec: [")
    source.reload()
    before = source.current
    file.write_text(text("first"))

    assert source.reload() is ReloadOutcome.UNCHANGED
    assert source.current is before
    assert source.status.problems is None
    assert [problems is None for problems in told] == [False, True]


def test_a_broken_change_that_is_mended_is_loaded(file, text, clock):
    source = PolicySource([file], clock=clock)
    file.write_text("spec: [")
    source.reload()
    file.write_text(text("second"))

    assert source.reload() is ReloadOutcome.LOADED
    assert (rule_of(source), source.status.problems) == ("second", None)


def in_place(file, text):
    file.write_text(text)


def renamed_over(file, text):
    (file.parent / ".policy.yaml.swp").write_text(text)
    (file.parent / ".policy.yaml.swp").rename(file)


def gone_for_a_moment(file, text):
    file.unlink()
    file.write_text(text)


def directory_made_anew(file, text):
    file.unlink()
    file.parent.rmdir()
    file.parent.mkdir()
    file.write_text(text)


def directory_gone_for_a_while(file, text):
    file.unlink()
    file.parent.rmdir()
    threading.Timer(0.8, lambda: (file.parent.mkdir(), file.write_text(text))).start()


def config_map_update(file, text):
    """What the kubelet does: a new directory, and one rename of the symlink that all files go through."""
    mount = file.parent
    version = mount / f"..{abs(hash(text))}"
    version.mkdir()
    (version / file.name).write_text(text)
    (mount / "..data_tmp").symlink_to(version.name)
    (mount / "..data_tmp").rename(mount / "..data")


@contextlib.asynccontextmanager
async def watching(paths, poll_seconds=PATIENCE * 2):
    """A source that is watched; polls so rarely that only notifications count. Gives it and its outcomes."""
    outcomes = asyncio.Queue()
    stop = asyncio.Event()
    source = PolicySource(
        paths, on_outcome=lambda outcome, _status: outcomes.put_nowait(outcome), poll_seconds=poll_seconds
    )
    task = asyncio.create_task(source.watch(stop))
    await asyncio.sleep(0.3)
    try:
        yield source, outcomes
    finally:
        stop.set()
        await asyncio.wait_for(task, PATIENCE)


async def loaded(outcomes):
    """Waits for the next policy that is put in force."""
    async with asyncio.timeout(PATIENCE):
        while await outcomes.get() is not ReloadOutcome.LOADED:
            pass


@pytest.mark.parametrize(
    "edit", [in_place, renamed_over, gone_for_a_moment, directory_made_anew, directory_gone_for_a_while]
)
@pytest.mark.parametrize("whole_directory", [False, True])
def test_every_way_to_save_a_file_is_noticed_time_after_time(tmp_path, text, edit, whole_directory):
    file = tmp_path / "policies" / "policy.yaml"
    file.parent.mkdir()
    file.write_text(text("first"))

    async def follow():
        seen = []
        async with watching([file.parent if whole_directory else file]) as (source, outcomes):
            for rule in ("second", "third"):
                edit(file, text(rule))
                await loaded(outcomes)
                seen.append(rule_of(source))
                await asyncio.sleep(0.3)
        return seen

    assert asyncio.run(follow()) == ["second", "third"]


@pytest.mark.parametrize("whole_directory", [False, True])
def test_the_update_of_a_mounted_config_map_is_noticed_time_after_time(tmp_path, text, whole_directory):
    file = tmp_path / "mount" / "policy.yaml"
    file.parent.mkdir()
    config_map_update(file, text("first"))
    file.symlink_to("..data/policy.yaml")

    async def follow():
        seen = []
        async with watching([file.parent if whole_directory else file]) as (source, outcomes):
            for rule in ("second", "third"):
                config_map_update(file, text(rule))
                await loaded(outcomes)
                seen.append(rule_of(source))
                await asyncio.sleep(0.3)
        return seen

    assert asyncio.run(follow()) == ["second", "third"]


def test_an_edit_behind_a_symlink_is_noticed(tmp_path, text):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").mkdir()
    file = tmp_path / "real" / "policy.yaml"
    file.write_text(text("first"))
    (tmp_path / "link" / "policy.yaml").symlink_to(file)

    async def follow():
        async with watching([tmp_path / "link" / "policy.yaml"]) as (source, outcomes):
            file.write_text(text("second"))
            await loaded(outcomes)
            return rule_of(source)

    assert asyncio.run(follow()) == "second"


def test_a_change_without_a_notification_is_found_by_polling(file, text):
    async def follow():
        async with watching([file], poll_seconds=0.05) as (source, outcomes):
            source._directories = lambda: frozenset({(file.parent.parent, 0)})
            file.write_text(text("second"))
            await loaded(outcomes)
            return rule_of(source)

    assert asyncio.run(follow()) == "second"


def test_a_broken_edit_is_reported_while_watching_and_the_watch_goes_on(file, text):
    async def follow():
        async with watching([file]) as (source, outcomes):
            file.write_text("spec: [")
            async with asyncio.timeout(PATIENCE):
                first = await outcomes.get()
            kept = rule_of(source)
            await asyncio.sleep(0.3)
            file.write_text(text("second"))
            await loaded(outcomes)
            return first, kept, rule_of(source)

    assert asyncio.run(follow()) == (ReloadOutcome.REJECTED, "first", "second")


def test_watching_ends_when_it_is_told_to(file):
    async def follow():
        async with watching([file]):
            pass

    asyncio.run(follow())


def replaced_by_a_pipe(file):
    file.unlink()
    os.mkfifo(file)


def replaced_by_a_socket(file):
    file.unlink()
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(file))


def replaced_by_a_device(file):
    file.unlink()
    file.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (replaced_by_a_pipe, "it is a pipe and not a regular file"),
        (replaced_by_a_socket, "it is a socket and not a regular file"),
        (replaced_by_a_device, "it is a device and not a regular file"),
    ],
)
def test_what_is_no_regular_file_is_refused_with_its_kind_and_stops_no_reload(file, text, clock, spoil, said):
    source = PolicySource([file], clock=clock)
    spoil(file)
    outcomes = []
    reading = threading.Thread(target=lambda: outcomes.append(source.reload()), daemon=True)
    reading.start()
    reading.join(5)

    assert outcomes == [ReloadOutcome.REJECTED]
    assert str(source.status.problems[0]) == f"{file}: error: cannot be read: {said}"
    file.unlink()
    file.write_text(text("second"))
    assert source.reload() is ReloadOutcome.LOADED


def test_a_directory_of_thousands_of_files_is_refused_and_does_not_hold_up_the_event_loop(tmp_path, text, clock):
    (tmp_path / "a.yaml").write_text(text("first"))
    source = PolicySource([tmp_path], clock=clock, poll_seconds=0.05)
    for number in range(2 * MAX_ENTRIES):
        (tmp_path / f"{number}.yaml").touch()
    late = []

    async def scenario():
        stop = asyncio.Event()
        watching = asyncio.create_task(source.watch(stop))
        loop = asyncio.get_running_loop()
        for _ in range(50):
            before = loop.time()
            await asyncio.sleep(0.02)
            late.append(loop.time() - before - 0.02)
        stop.set()
        await watching

    asyncio.run(scenario())

    assert rule_of(source) == "first"
    assert f"more than {MAX_ENTRIES} entries" in str(source.status.problems[0])
    assert sorted(late)[len(late) // 2] < 0.05


@pytest.mark.parametrize("files", [(MAX_FILES + 1, 10), (4, 1_000_000)], ids=["too many", "too much"])
def test_the_files_of_a_policy_have_a_limit(tmp_path, clock, files):
    count, size = files
    for number in range(count):
        (tmp_path / f"{number:03}.yaml").write_text("#" * size)

    with pytest.raises(PolicyError, match="at most, and this file exceeds that"):
        PolicySource([tmp_path], clock=clock)
