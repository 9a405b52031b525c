"""What is said first: every kind by every scheme and port of its own, and what settings say of TLS."""

from __future__ import annotations

import pytest

from webhook.core.values import Tls
from webhook.core.verdict import Wire
from webhook.detection.catalog import Catalog

CATALOG = Catalog.default()
C, R, S, T, H1, H2 = (*(Wire.CLIENT_FIRST, Wire.REQUEST_LIKE, Wire.SERVER_FIRST, Wire.TLS, Wire.HTTP1, Wire.HTTP2),)
# Kind: by default, with TLS switched on, and for each scheme and port that says something else.
SAID: dict[str, tuple[Wire | None, Wire | None, dict[str | int, Wire | None]]] = {
    "rabbitmq": (R, T, {"amqps": T, "rabbitmqs": T, 5671: T}),
    "redis": (C, T, {"rediss": T, "valkeys": T, 6380: None}),
    "mssql": (C, C, {}),
    "postgresql": (C, C, {}),
    "mysql": (S, S, {"mysqlx": None, 33060: None}),
    "mongodb": (C, T, {}),
    "kafka": (C, T, {"sasl_ssl": T, 9093: None, 9094: None}),
    "nats": (S, S, {}),
    "memcached": (C, T, {"memcacheds": T}),
    "cassandra": (C, T, {9142: T}),
    "elasticsearch": (H1, T, {9300: C}),
    "zookeeper": (C, T, {}),
    "etcd": (H2, T, {}),
    "consul": (H1, T, {8501: T}),
    "mqtt": (C, T, {"mqtts": T, 8883: T}),
    "smtp": (S, None, {"smtps": T, 465: T}),
    "ldap": (C, None, {"ldaps": T, 636: T, 1636: T, 3269: T}),
    "oracle": (C, T, {2484: T}),
    "activemq": (None, T, {"stomp": C, 61613: C, "stomp+ssl": T, 61614: T, 61617: T}),
    "clickhouse": (C, T, {"chhttp": H1, 8123: H1, "clickhouses": T, 9440: T, 8443: T}),
    "minio": (H1, T, {}),
    "couchdb": (H1, T, {"couchdbs": T}),
    "couchbase": (C, T, {"couchbases": T, 11207: T, 8091: H1}),
    "influxdb": (H1, T, {}),
    "neo4j": (C, T, {"bolt+s": T, "bolt+ssc": T, "neo4j+s": T, "neo4j+ssc": T, 7474: H1}),
    "rethinkdb": (C, T, {}),
    # Its first bytes may begin a method, and what follows depends on the client's names.
    "hazelcast": (None, None, {}),
    "pulsar": (C, T, {"pulsar+ssl": T, 6651: T}),
    "beanstalkd": (C, T, {}),
    "dynamodb": (H1, T, {}),
    "firebird": (C, C, {}),
    "aerospike": (C, T, {}),
    "ftp": (S, S, {"ftps": None, 990: T}),
    "sftp": (S, S, {}),
}


def test_the_table_has_every_kind():
    assert SAID.keys() == CATALOG.kinds


@pytest.mark.parametrize("kind", SAID)
def test_scheme_and_port_of_a_kind_say_what_comes_first(kind):
    default, encrypted, others = SAID[kind]
    backend = CATALOG.backends[kind]

    assert CATALOG.said(kind, "", None, None) is default
    assert CATALOG.said(kind, "", None, Tls.ON) is encrypted
    for scheme in backend.schemes:
        assert CATALOG.said(kind, scheme, None, None) is others.get(scheme, default), scheme
    for port in (*backend.ports, *backend.weak_ports):
        assert CATALOG.said(kind, "", port, None) is others.get(port, default), port
        assert CATALOG.said(kind, "tcp", port, None) is others.get(port, default), port
    for scheme in {"https", "wss"} if default is not S else ():
        assert CATALOG.said(kind, scheme, 12345, None) is T


CASES = [
    # A URL in full.
    ({"A": "amqps://u:p@mq.example.com/v"}, T, 5671),
    ({"A": "amqp://u:p@mq.example.com:5671/v"}, None, 5671),
    ({"A": "amqp://u:p@mq.example.com/v"}, R, 5672),
    ({"A": "mongodb+srv://c.example.com/a"}, T, 27017),
    ({"A": "mongodb://c.example.com/a?tls=true"}, T, 27017),
    ({"A": "mongodb+srv://c.example.com/a?tls=false"}, None, 27017),
    ({"A": "postgresql://db.example.com/a?sslmode=require"}, C, 5432),
    ({"A": "postgresql://db.example.com/a?sslmode=require&sslnegotiation=direct"}, T, 5432),
    ({"A": "nats://n.example.com?tls=true"}, S, 4222),
    ({"NATS_URL": "tls://n.example.com:4222"}, S, 4222),
    ({"MQTT_URL": "ssl://m.example.com:8883"}, T, 8883),
    ({"A": "ldaps://d.example.com"}, T, 636),
    ({"A": "ldap://d.example.com:636"}, T, 636),
    ({"A": "smtps://m.example.com"}, T, 465),
    ({"A": "smtp://m.example.com:587"}, S, 587),
    ({"A": "ftp://f.example.com"}, S, 21),
    ({"A": "sftp://f.example.com:2222/in"}, S, 2222),
    ({"ELASTICSEARCH_URL": "https://es.example.com:9200"}, T, 9200),
    ({"ELASTICSEARCH_URL": "http://es.example.com:9200"}, H1, 9200),
    ({"ETCD_URL": "http://e.example.com:2379"}, H2, 2379),
    # Connection strings.
    ({"A": "r.example.com:6380,password=x,ssl=True,abortConnect=False"}, T, 6380),
    ({"A": "r.example.com:6380,password=x,ssl=False"}, C, 6380),
    ({"A": "r.example.com:6380,password=x,abortConnect=False"}, None, 6380),
    ({"A": "Server=tcp:s.example.com,1433;Initial Catalog=a;User Id=b;Password=c;Encrypt=True"}, C, 1433),
    ({"A": "Server=s.example.com;Initial Catalog=a;User Id=b;Password=c;Encrypt=Strict"}, T, 1433),
    ({"A": "(DESCRIPTION=(ADDRESS=(PROTOCOL=TCPS)(HOST=o.example.com)(PORT=1521)))"}, T, 1521),
    # Settings beside it.
    ({"REDIS_HOST": "r.example.com", "REDIS_PORT": "6380"}, None, 6380),
    ({"REDIS_HOST": "r.example.com", "REDIS_PORT": "6380", "REDIS_USE_TLS": "true"}, T, 6380),
    ({"REDIS_HOST": "r.example.com", "REDIS_TLS_ENABLED": "1"}, T, 6379),
    ({"REDIS_HOST": "r.example.com", "REDIS_PORT": "6380", "REDIS_SSL": "false"}, C, 6380),
    ({"REDIS_HOST": "r.example.com", "SMTP_TLS": "true"}, C, 6379),
    ({"DB_HOST": "pg.example.com", "DB_PORT": "5432", "DB_SSL_MODE": "verify-full"}, C, 5432),
    ({"KAFKA_BOOTSTRAP_SERVERS": "k.example.com:9093", "KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, T, 9093),
    ({"KAFKA_BOOTSTRAP_SERVERS": "k.example.com:9093", "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}, C, 9093),
    ({"KAFKA_BOOTSTRAP_SERVERS": "k.example.com:9093"}, None, 9093),
    ({"MAIL_HOST": "m.example.com", "MAIL_PORT": "587", "MAIL_ENCRYPTION": "tls"}, S, 587),
    ({"MAIL_HOST": "m.example.com", "MAIL_PORT": "465", "MAIL_ENCRYPTION": "ssl"}, T, 465),
]


@pytest.mark.parametrize(("env", "wire", "port"), CASES)
def test_what_a_configuration_says(env, wire, port, find):
    (dependency,) = find({"env": env}).dependencies

    assert (dependency.wire, dependency.port) == (wire, port)


def test_a_switch_in_a_file_and_one_that_cannot_be_read(find):
    (dependency,) = find(
        {"files": {"a.yaml": "a: 1\nredis:\n  host: r.example.com\n  tls:\n    enabled: true\n"}}
    ).dependencies
    assert dependency.wire is T
    properties = "bootstrap.servers=k.example.com:9092\nsecurity.protocol=SASL_SSL\n"
    (dependency,) = find({"files": {"client.properties": properties}}).dependencies
    assert dependency.wire is T


@pytest.mark.parametrize(("host", "wire"), [("REDIS", None), ("MYSQL", S)])
def test_a_setting_about_tls_that_cannot_be_read_leaves_open_what_it_would_change(host, wire, find):
    unread = {"name": f"{host}_TLS", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "tls"}}}
    container = {"name": "c", "env": [{"name": f"{host}_HOST", "value": "d.example.com"}, unread]}
    spec = {"containers": [container]}
    found = find(objects=[{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client"}, "spec": spec}])

    assert [dependency.wire for dependency in found.dependencies] == [wire]


def test_two_protocols_at_one_place_are_two_dependencies_and_an_open_one_is_neither(find):
    env = {"A": "amqp://mq:5672", "B": "amqps://mq:5672", "AMQP_ADDR": "mq:5672"}
    found = find({"env": env}).dependencies
    assert sorted((found.host, found.port, found.wire) for found in found) == [("mq", 5672, R), ("mq", 5672, T)]

    (found,) = find({"env": {"A": "rediss://r:6380", "REDIS_ADDR": "r:6380"}}).dependencies
    assert (found.wire, found.init) == (T, False)


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"A": "kafka://k:9095"}, "the addresses that the brokers advertise"),
        (
            {"A": "Server=tcp:s.database.windows.net,1433;Initial Catalog=a;User Id=b;Password=c"},
            "ports 11000 to 11999",
        ),
        ({"A": "Server=tcp:s.example.com,1433;Initial Catalog=a;User Id=b;Password=c"}, ""),
        ({"A": "redis://s:26379"}, "the masters and replicas that the sentinels name"),
        ({"A": "redis://s:6379"}, ""),
    ],
)
def test_servers_that_send_their_clients_on_say_where_to(env, said, find):
    (dependency,) = find({"env": env}).dependencies

    assert dependency.redirects.partition(",")[0] == said
