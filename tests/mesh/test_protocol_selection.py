import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.core.surroundings import ServicePort
from webhook.mesh.protocols import Protocol, select


@pytest.mark.parametrize(
    ("port", "protocol"),
    [
        (ServicePort(80, "http"), Protocol.HTTP),
        (ServicePort(80, "HTTP-web"), Protocol.HTTP),
        (ServicePort(80, "http2-api"), Protocol.HTTP2),
        (ServicePort(80, "grpc-web-front"), Protocol.GRPC_WEB),
        (ServicePort(80, "grpc-websites"), Protocol.GRPC_WEB),
        (ServicePort(80, "grpc-orders"), Protocol.GRPC),
        (ServicePort(80, "https"), Protocol.HTTPS),
        (ServicePort(80, "tcp-amqp"), Protocol.TCP),
        (ServicePort(80, "redis"), Protocol.REDIS),
        (ServicePort(80, "httpx"), None),
        (ServicePort(80, "amqp"), None),
        (ServicePort(80), None),
        (ServicePort(80, "http", app_protocol="tcp"), Protocol.TCP),
        (ServicePort(80, "http", app_protocol="amqp"), None),
        (ServicePort(80, "http", app_protocol=""), None),
        (ServicePort(80, app_protocol="kubernetes.io/h2c"), Protocol.HTTP2),
        (ServicePort(80, app_protocol="kubernetes.io/ws"), Protocol.HTTP),
        (ServicePort(80, app_protocol="kubernetes.io/wss"), Protocol.HTTPS),
        (ServicePort(80, "kubernetes.io/ws"), None),
        (ServicePort(3306), Protocol.TCP),
        (ServicePort(3306, "mysql"), Protocol.MYSQL),
        (ServicePort(3306, "http"), Protocol.HTTP),
        (ServicePort(3306, app_protocol="database"), Protocol.TCP),
        (ServicePort(25), Protocol.TCP),
        (ServicePort(27017, "mongodb"), Protocol.TCP),
        (ServicePort(53, "http", transport="UDP"), Protocol.UDP),
    ],
)
def test_a_port_has_the_protocol_that_istio_gives_it(port, protocol):
    assert select(port).protocol is protocol


@given(st.sampled_from(Protocol), st.from_regex(r"\A[a-z0-9-]{0,20}\Z"), st.integers(1, 65535))
def test_whatever_stands_behind_a_protocol_and_a_dash_does_not_count(protocol, suffix, number):
    assert select(ServicePort(number, f"{protocol}-{suffix}")).protocol in {protocol, Protocol.GRPC_WEB}


@given(st.text(max_size=30), st.none() | st.text(max_size=30), st.integers(1, 65535))
def test_no_name_is_too_odd(name, app_protocol, number):
    assert select(ServicePort(number, name, None, app_protocol)).because
