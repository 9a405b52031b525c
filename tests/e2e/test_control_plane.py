import pytest
from api import Api, ApiError
from processes import ProgramError


def test_every_part_of_the_control_plane_runs(plane):
    assert plane.programs.ended() == []
    assert plane.api.request("GET", "/readyz") == "ok"


def test_the_api_server_says_the_version_that_the_module_pins(plane):
    assert plane.api.request("GET", "/version")["gitVersion"] == "v1.36.3"


def test_the_api_server_takes_nobody_without_a_certificate(plane):
    anonymous = Api(plane.port, authority=plane.authority.certificate, client=None)

    with pytest.raises(ApiError) as refused:
        anonymous.request("GET", "/api/v1/namespaces")

    assert refused.value.status == 401


def test_a_program_that_does_not_come_up_is_reported_with_its_log(plane):
    program = plane.programs.start("sidecar-policy-wrong", [plane.tools / "etcd", "--no-such-flag"])

    with pytest.raises(ProgramError, match=r"sidecar-policy-wrong ended with 2: see .*sidecar-policy-wrong\.log"):
        program.wait_until(lambda: False, seconds=10, what="ready")
