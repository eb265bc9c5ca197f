"""What the chart renders, refuses and grants, by the real helm."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.build import ensure

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "hypersweep"
NAMESPACE = "sweeps"
DIGEST = f"sha256:{'0' * 64}"
EVERYTHING = {
    "metrics.serviceMonitor.enabled": "true",
    "store.url": "s3://sweeps/all",
    "store.endpoint": "http://minio.storage:9000",
    "store.region": "eu-central-1",
    "store.secretName": "s3-credentials",
    "store.allowedPrefixes": "{s3://sweeps/{namespace\\}}",
}

Object = dict[str, Any]


@pytest.fixture(scope="session")
def helm() -> str:
    return str(ensure("helm") / "helm")


def run(helm: str, values: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    settings = [f"--set={name}={value}" for name, value in values.items()]
    command = [helm, "template", "demo", str(CHART), "--namespace", NAMESPACE, *settings]
    return subprocess.run(command, capture_output=True, text=True)


def rendered(helm: str, values: Mapping[str, str] | None = None) -> list[Object]:
    done = run(helm, values or {})
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def refusal(helm: str, values: Mapping[str, str]) -> str:
    done = run(helm, values)
    assert done.returncode != 0, "the values were accepted"
    return done.stderr


def only(objects: list[Object], kind: str) -> Object:
    found = [item for item in objects if item["kind"] == kind]
    assert len(found) == 1, [item["metadata"]["name"] for item in found]
    return found[0]


def operator(objects: list[Object]) -> Object:
    (container,) = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(container)


def rules(objects: list[Object]) -> Iterator[Object]:
    for item in objects:
        if item["kind"] in ("Role", "ClusterRole"):
            yield from item["rules"]


def test_helm_lint_finds_nothing(helm: str) -> None:
    done = subprocess.run([helm, "lint", "--strict", str(CHART)], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_chart_s_copy_of_the_crd_is_the_generated_one() -> None:
    generated = (ROOT / "crds" / "hypersweep.yaml").read_text()

    assert generated == (CHART / "files" / "hypersweep.yaml").read_text(), "run `make crd`"


def test_the_rendered_crd_differs_from_the_generated_one_by_the_keep_annotation_alone(helm: str) -> None:
    crd = only(rendered(helm), "CustomResourceDefinition")
    keep = crd["metadata"].pop("annotations")

    assert keep == {"helm.sh/resource-policy": "keep"}
    assert yaml.safe_load((ROOT / "crds" / "hypersweep.yaml").read_text()) == crd


def test_the_crd_can_be_left_out_or_left_to_helm(helm: str) -> None:
    without = [item["kind"] for item in rendered(helm, {"crds.install": "false"})]
    unkept = only(rendered(helm, {"crds.keep": "false"}), "CustomResourceDefinition")

    assert "CustomResourceDefinition" not in without
    assert "annotations" not in unkept["metadata"]


@pytest.mark.parametrize("values", [{}, {"watchNamespaces": "{team-a,team-b}"}])
def test_no_role_grants_secrets_or_wildcards(helm: str, values: Mapping[str, str]) -> None:
    granted = list(rules(rendered(helm, values)))
    words = {word for rule in granted for key in ("apiGroups", "resources", "verbs") for word in rule[key]}

    assert granted
    assert not {"*", "secrets", "escalate", "bind", "impersonate"} & words
    assert not any(word.startswith("pods/") for word in words)


def test_by_default_the_operator_works_in_all_namespaces_through_a_cluster_role(helm: str) -> None:
    objects = rendered(helm)
    binding = only(objects, "ClusterRoleBinding")

    assert not [argument for argument in operator(objects)["args"] if argument.startswith("--namespace")]
    assert binding["roleRef"]["name"] in {
        i["metadata"]["name"] for i in objects if i["kind"] == "ClusterRole"
    }
    assert [(s["name"], s["namespace"]) for s in binding["subjects"]] == [("demo-hypersweep", NAMESPACE)]


def test_with_watched_namespaces_it_has_a_role_in_each_and_no_cluster_role_of_its_own(helm: str) -> None:
    objects = rendered(helm, {"watchNamespaces": "{team-a,team-b}", "rbac.aggregate": "false"})
    roles = {(i["metadata"]["namespace"], i["metadata"]["name"]) for i in objects if i["kind"] == "Role"}
    bound = {
        (i["metadata"]["namespace"], i["roleRef"]["name"]) for i in objects if i["kind"] == "RoleBinding"
    }
    watched = [argument for argument in operator(objects)["args"] if argument.startswith("--namespace")]

    assert {
        ("team-a", "demo-hypersweep"),
        ("team-b", "demo-hypersweep"),
        (NAMESPACE, "demo-hypersweep-lease"),
    } == roles
    assert roles == bound
    assert watched == ["--namespace=team-a", "--namespace=team-b"]
    assert not [i for i in objects if i["kind"].startswith("ClusterRole")]


def test_the_lease_role_names_the_lease_that_the_operator_takes(helm: str) -> None:
    objects = rendered(helm)
    role = only(objects, "Role")
    (lease,) = next(rule["resourceNames"] for rule in role["rules"] if "resourceNames" in rule)

    assert {f"--lease-name={lease}", f"--lease-namespace={NAMESPACE}"} <= set(operator(objects)["args"])
    assert role["metadata"]["namespace"] == NAMESPACE


def test_the_operator_s_pod_meets_the_restricted_standard(helm: str) -> None:
    pod = only(rendered(helm), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"volumes", "hostNetwork", "hostPID", "hostIPC"} & set(pod)


def test_there_is_never_a_second_operator_beside_the_first(helm: str) -> None:
    spec = only(rendered(helm), "Deployment")["spec"]

    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")


def test_the_service_monitor_selects_the_service_that_selects_the_operator(helm: str) -> None:
    objects = rendered(helm, EVERYTHING)
    monitor, service = only(objects, "ServiceMonitor"), only(objects, "Service")
    pod = only(objects, "Deployment")["spec"]["template"]
    wanted = monitor["spec"]["selector"]["matchLabels"]
    ports = {port["name"] for port in pod["spec"]["containers"][0]["ports"]}

    assert wanted.items() <= service["metadata"]["labels"].items()
    assert [service["metadata"]["namespace"]] == monitor["spec"]["namespaceSelector"]["matchNames"]
    assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= {
        port["name"] for port in service["spec"]["ports"]
    }
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_the_store_s_values_reach_the_operator_and_its_secret_only_the_environment(helm: str) -> None:
    container = operator(rendered(helm, EVERYTHING))
    store = [a for a in container["args"] if a.startswith(("--store", "--allowed"))]

    assert store == [
        "--store-url=s3://sweeps/all",
        "--store-endpoint=http://minio.storage:9000",
        "--store-region=eu-central-1",
        "--store-secret=s3-credentials",
        "--allowed-prefix=s3://sweeps/{namespace}",
    ]
    assert container["envFrom"] == [{"secretRef": {"name": "s3-credentials"}}]


def test_a_digest_wins_over_the_version(helm: str) -> None:
    objects = rendered(helm, {"image.registry": "registry.example", "image.digest": DIGEST})

    assert f"registry.example/hypersweep-operator@{DIGEST}" == operator(objects)["image"]


def test_images_follow_the_chart_s_version(helm: str) -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    container = operator(rendered(helm))

    assert f"hypersweep-operator:{version}" == container["image"]
    assert f"--trainer-image=hypersweep-trainer:{version}" in container["args"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"metrics.serviceMonitor.enabled": "true", "metrics.service.enabled": "false"},
            "through its Service",
        ),
        ({"store.endpoint": "http://minio:9000"}, "says where in it a sweep may write"),
        ({"store.secretName": "s3"}, "names an S3 that it is for"),
        ({"image.tag": "v1", "image.digest": DIGEST}, "image.tag and image.digest are both set"),
        (
            {"trainer.image.tag": "v1", "trainer.image.digest": DIGEST},
            "trainer.image.tag and trainer.image.digest",
        ),
        ({"serviceAccount.create": "false"}, "serviceAccount.name must be set"),
    ],
)
def test_values_that_contradict_each_other_are_refused_by_a_sentence(
    helm: str, values: Mapping[str, str], sentence: str
) -> None:
    assert sentence in refusal(helm, values)


@pytest.mark.parametrize(
    "values",
    [
        {"stroe": "s3://a"},
        {"store.uri": "s3://a"},
        {"image.name": "x"},
        {"metrics.serviceMonitor.intervall": "1m"},
        {"store.url": "https://bucket"},
        {"operator.workers": "0"},
        {"operator.logLevel": "loud"},
        {"watchNamespaces": "{Team_A}"},
        {"metrics.port": "80"},
    ],
)
def test_the_schema_refuses_typos_and_values_out_of_range(helm: str, values: Mapping[str, str]) -> None:
    (name,) = values

    assert name.split(".")[-1] in refusal(helm, values)


def test_every_value_has_a_description_and_a_place_in_the_schema() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    schema = json.loads((CHART / "values.schema.json").read_text())
    leaves = dict(flat(yaml.safe_load("\n".join(lines)), schema))
    described = sum(line.lstrip().startswith("# -- ") for line in lines)

    assert [path for path, known in leaves.items() if not known] == []
    assert described == len(leaves)


def flat(values: Mapping[str, Any], schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, bool]]:
    """Each value that has a description of its own, and whether the schema knows it."""
    for name, value in values.items():
        inner = schema.get("properties", {}).get(name)
        nested = isinstance(value, dict) and value and inner and "properties" in inner
        if nested and name not in ("podSecurityContext", "containerSecurityContext"):
            yield from flat(value, inner, f"{path}{name}.")
        elif name in ("requests", "limits"):
            yield from ((f"{path}{name}.{key}", inner is not None) for key in value)
        else:
            yield f"{path}{name}", inner is not None


def test_every_part_of_the_schema_refuses_unknown_names() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    assert list(open_objects(schema)) == []


def open_objects(schema: Mapping[str, Any], path: str = "values") -> Iterator[str]:
    if "properties" in schema and schema.get("additionalProperties") is not False:
        yield path
    for name, inner in schema.get("properties", {}).items():
        yield from open_objects(inner, f"{path}.{name}")


def test_the_notes_say_how_to_start_a_sweep(helm: str) -> None:
    command = [helm, "install", "demo", str(CHART), "--dry-run=client", "--namespace", NAMESPACE]
    done = subprocess.run(command, capture_output=True, text=True)
    notes = done.stdout[done.stdout.find("NOTES:") :]

    assert "kubectl apply -f examples/" in notes
    assert all((ROOT / path).exists() for path in re.findall(r"examples/\S+\.yaml", notes))
