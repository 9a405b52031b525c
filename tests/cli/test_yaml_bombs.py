"""Every command ends at once on a small file that unfolds to millions of values, and says where and what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from pace import measured

MERGES = "a0: &a0 {k0: v, k1: v}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 9)}], z{n}: v}}\n" for n in range(1, 8)
)
LISTS = "a0: &a0 [1,2,3,4,5,6,7,8]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 8)}]\n" for n in range(1, 16))
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 3_000))
EXAMPLES = Path(__file__).parents[2] / "examples"
HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n"


@pytest.mark.parametrize("text", [MERGES, LISTS, CHAIN], ids=["merge keys", "lists", "a chain"])
@pytest.mark.parametrize(
    "command",
    [
        ("explain", "-f"),
        ("inject", "-f"),
        ("diagnose", "-f"),
        ("explain", "-f", EXAMPLES / "eshop", "--policy"),
        ("plan", "-f", EXAMPLES / "eshop"),
        ("plan", EXAMPLES / "policies" / "bypass-ports.yaml", "-f"),
        ("validate",),
        ("test",),
    ],
    ids=["explain", "inject", "diagnose", "explain by", "plan for", "plan on", "validate", "test"],
)
def test_a_bomb_is_refused_with_its_place_and_what_to_do(run, tmp_path, command, text):
    file = tmp_path / "bomb.yaml"
    file.write_text(HEAD + "".join(f"  {line}\n" for line in text.splitlines()))

    with measured() as work:
        ended = run(*command, file)

    assert work.seconds < 1.5
    assert ended.returncode not in {0, 2}
    assert f"{file}:" in ended.stderr + ended.stdout
    assert "error:" in ended.stderr + ended.stdout


def test_the_place_is_the_line_whose_aliases_stand_for_too_much(run, tmp_path):
    (tmp_path / "bomb.yaml").write_text(HEAD + "".join(f"  {line}\n" for line in LISTS.splitlines()))

    ended = run("explain", "-f", "bomb.yaml")

    assert ended.returncode == 3
    assert ended.stderr == (
        "bomb.yaml:10: error: its aliases expand to more than 100,000 values (expand the aliases, or remove them)\n"
    )
