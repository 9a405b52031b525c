"""Detection reaches its targets on the labelled sets that are there, and the measure itself can be trusted."""

from __future__ import annotations

import json

import pytest
from baselines import keywords_in_env
from labels import CorpusError, cases_in
from measure import OWN, PROJECT, corpora, main
from report import as_data, measure
from score import Score, client_pairs
from targets import shortfalls

from webhook.policy.catalog_schema import BackendModel


@pytest.mark.parametrize("corpus", corpora(), ids=lambda path: path.name)
def test_detection_reaches_its_targets(corpus):
    assert list(shortfalls(measure(cases_in(corpus)))) == []


def test_a_method_below_the_targets_is_told_so():
    cases = cases_in(OWN)
    measured = measure(cases)
    worse = type(measured)(cases, client_pairs(cases, keywords_in_env), measured.servers, (), {})

    assert {sentence.partition(" is ")[0] for sentence in shortfalls(worse)} == {
        "clients: precision",
        "clients: recall",
        "clients: mean precision over applications",
        "clients: mean recall over applications",
    }


def test_the_own_set_is_one_that_a_list_of_words_or_ports_fails():
    data = as_data(measure(cases_in(OWN)))

    assert all(baseline["precision"] < 0.9 and baseline["recall"] < 0.9 for baseline in data["baselines"].values()), (
        data["baselines"]
    )


@pytest.mark.parametrize(
    ("corpus", "columns"), [(corpora()[0], (0, 1)), *((larger, (2, 3)) for larger in corpora()[1:])]
)
def test_the_documented_figures_are_the_measured_ones(corpus, columns):
    data = as_data(measure(cases_in(corpus)))
    measured = {
        "**Detection**": data["clients"],
        "Detection, Secrets not read": data["clientsWithoutSecrets"],
        **{f"Baseline: {name}": score for name, score in data["baselines"].items()},
    }

    page = (PROJECT / "docs" / "detection.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]
    documented = {row[0]: [row[1:][column] for column in columns] for row in rows if row[0] in measured}

    assert documented == {
        name: [f"{score['precision']:.3f}", f"{score['recall']:.3f}"] for name, score in measured.items()
    }


def test_every_field_of_the_catalog_is_documented():
    page = (PROJECT / "docs" / "detection.md").read_text()

    fields = [field.alias or name for name, field in BackendModel.model_fields.items()]

    assert [field for field in fields if f"| `{field}`" not in page] == []


def _corpus(folder, clients, *, url="redis://cache:6379", fields="", services=""):
    folder.mkdir()
    (folder / "manifests.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: app}\n"
        f"spec: {{containers: [{{name: c, image: x, env: [{{name: URL, value: '{url}'}}]}}]}}\n{services}"
    )
    (folder / "labels.yaml").write_text(
        f"workloads:\n- {{kind: Pod, name: app, clients: [{clients}], serves: [], evidence: env{fields}}}\n"
    )
    return folder


@pytest.mark.parametrize(
    ("clients", "url", "fields", "counts"),
    [
        ("redis", "redis://cache", "", (1, 0, 1, 1)),
        ("valkey", "redis://cache", "", (1, 0, 1, 1)),
        ("postgres", "postgres://db", "", (1, 0, 1, 1)),
        ("", "redis://cache", "", (0, 1, 0, 0)),
        ("", "redis://cache", ", debatable: [redis]", (0, 0, 0, 0)),
        ("", "redis://cache", ", http_clients: [redis]", (0, 0, 0, 0)),
        ("redis", "http://web", "", (0, 0, 1, 0)),
        ("redis", "http://web", ", evidence_by_kind: {redis: code-only}", (0, 0, 0, 0)),
        ("", "http://web", ", http_clients: [s3]", (0, 0, 0, 0)),
    ],
)
def test_pairs_are_counted_as_the_labels_say(tmp_path, clients, url, fields, counts):
    cases = cases_in(_corpus(tmp_path / "shop", clients, url=url, fields=fields))

    total = Score.of(measure(cases).clients).total

    assert (total.right, total.wrong, total.expected, total.found) == counts


def test_the_mean_over_applications_gives_each_the_same_weight(tmp_path):
    _corpus(tmp_path / "found", "redis")
    _corpus(tmp_path / "missed", "redis", url="http://web")

    score = Score.of(measure(cases_in(tmp_path)).clients)

    assert (score.mean_precision, score.mean_recall) == (1.0, 0.5)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ("workloads: [{kind: Pod, name: other, clients: []}]", "Pod other is not in the manifests"),
        ("workloads: []", "without a label: Pod app"),
        ("workloads: 1", "expected a list of labelled workloads"),
        ("workloads: [{kind: Pod, name: app, clients: [redis], evidence: air}]", "air is none of env"),
        ("workloads: [{kind: Pod, name: app, clients: redis}]", "expected a list of kinds"),
    ],
)
def test_labels_that_do_not_fit_are_an_error_that_says_where(tmp_path, labels, told):
    folder = _corpus(tmp_path / "shop", "")
    (folder / "labels.yaml").write_text(labels)

    with pytest.raises(CorpusError, match=told) as raised:
        cases_in(folder)

    assert "labels.yaml" in str(raised.value)


def test_the_command_prints_a_report_and_fails_below_the_targets(tmp_path, capsys):
    missed = _corpus(tmp_path / "missed", "redis", url="http://web")

    assert main([str(missed)]) == 1
    shown = capsys.readouterr()
    assert "Missed: 1\n  missed: Pod/app: redis\n    to be seen in env\n    looked at 0 Services, 1 env" in shown.out
    assert "below target: missed: clients: recall is 0.0000" in shown.err
    assert main([str(OWN), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[str(OWN)]["belowTarget"] == []
    assert main([str(tmp_path / "nowhere")]) == 3
