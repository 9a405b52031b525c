from datetime import timedelta

import pytest

from certs.issue import issue_authority, issue_serving
from certs.reading import split
from certs.secret import LABEL, OURS, SERVED_SINCE, TRUSTED_SINCE, ForeignSecretError, decode, encode
from certs.state import State

LABELS = {LABEL: OURS, "somebody": "else's"}


@pytest.fixture
def full(world, kit):
    """A state that has one of everything."""
    signing, incoming, outgoing = (issue_authority(now=world.now) for _ in range(3))
    return State(
        signing=signing,
        serving=issue_serving(signing, [kit.NAME], now=world.now),
        incoming=incoming,
        outgoing=(outgoing.certificate,),
        trusted_since=world.now,
        served_since=world.now - timedelta(seconds=1),
    )


def written(state):
    content = encode(state)
    data = {name: value for name, value in content.data.items() if value is not None}
    return data, {name: value for name, value in content.annotations.items() if value is not None}


def read(data, annotations=None, labels=None):
    return decode(LABELS if labels is None else labels, annotations or {}, data)


def test_what_is_written_reads_back(full):
    data, annotations = written(full)

    assert read(data, annotations) == full


def test_a_state_of_an_announced_authority_alone_reads_back(world):
    state = State(incoming=issue_authority(now=world.now))
    data, annotations = written(state)

    assert (data["tls.crt"], data["tls.key"]) == (b"", b"")
    assert read(data, annotations) == state


def test_what_is_no_more_is_removed(full):
    content = encode(State(signing=full.signing, serving=full.serving))

    gone = {name for name, value in {**content.data, **content.annotations}.items() if value is None}

    assert gone == {
        "next-authority.crt",
        "next-authority.key",
        "previous-authorities.crt",
        TRUSTED_SINCE,
        SERVED_SINCE,
    }


def test_clients_that_mount_the_secret_find_the_bundle_in_ca_crt(full):
    data, _ = written(full)

    assert split(data["ca.crt"]) == (*full.outgoing, full.signing.certificate, full.incoming.certificate)


@pytest.mark.parametrize("labels", [{}, {LABEL: "somebody else's"}, {"app": "sidecar-policy"}])
def test_a_secret_without_our_label_is_somebody_elses(full, labels):
    data, annotations = written(full)

    with pytest.raises(ForeignSecretError, match=f"no label {LABEL}={OURS}"):
        read(data, annotations, labels)


@pytest.mark.parametrize(
    ("key", "value", "damage"),
    [
        ("tls.key", b"CANARY", "tls.crt and tls.key: the key cannot be read"),
        ("tls.crt", b"CANARY", "tls.crt and tls.key: the certificate cannot be read"),
        ("authority.key", b"CANARY", "authority.crt and authority.key: the certificate or key of the CA"),
        ("authority.crt", b"CANARY", "authority.crt and authority.key: the certificate or key of the CA"),
        ("next-authority.key", b"", "next-authority.crt and next-authority.key: the certificate"),
        ("previous-authorities.crt", b"CANARY", "previous-authorities.crt is not a PEM certificate bundle"),
        ("ca.crt", b"CANARY", "ca.crt is not the bundle"),
        ("ca.crt", b"", "ca.crt is not the bundle"),
    ],
)
def test_damage_is_told_and_every_authority_that_can_be_read_stays_trusted(full, key, value, damage):
    data, annotations = written(full)

    state = read(data | {key: value}, annotations)

    assert any(one.startswith(damage) for one in state.damage)
    assert "CANARY" not in str(state.damage)
    assert set(split(full.bundle)) == set(split(state.bundle))


@pytest.mark.parametrize(
    ("key", "pair", "said"),
    [
        ("tls", "serving", "private key does not match the certificate"),
        ("authority", "signing", "the key of the CA is not the ECDSA key"),
    ],
)
def test_a_pair_that_does_not_fit_is_damage(full, key, pair, said):
    data, annotations = written(full)

    state = read(data | {f"{key}.key": full.incoming.key}, annotations)

    assert said in state.damage[0]
    assert getattr(state, pair) is None


def test_a_leaf_in_the_place_of_an_authority_is_damage(full):
    data, annotations = written(full)

    state = read(data | {"authority.crt": full.serving.certificate, "authority.key": full.serving.key}, annotations)

    assert "is not a CA" in state.damage[0]


@pytest.mark.parametrize(("time", "said"), [("soon", "is not a time"), ("2026-03-01T00:00:00", "no time zone")])
def test_a_time_that_is_none_is_damage(full, time, said):
    data, annotations = written(full)

    assert said in read(data, annotations | {TRUSTED_SINCE: time}).damage[0]


def test_an_old_authority_without_a_time_is_damage(full):
    data, annotations = written(State(signing=full.signing, serving=full.serving, outgoing=full.outgoing))

    assert read(data, annotations).damage == (f"annotation {SERVED_SINCE} is missing",)


def test_no_repr_shows_a_key(full):
    assert "PRIVATE" not in repr(full) + repr(encode(full))
