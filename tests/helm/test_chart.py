"""The chart by itself: what Helm and kubeconform say of it, and which values it refuses in which words."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts import generate
from pve_evpn.settings import Timing
from tests.helm import schemas
from tests.helm.conftest import CHART, ROOT, Helm
from tests.helm.tools import ensure
from tests.kube.controlplane import ControlPlane

#: What a values file must name at least.
IMAGE = {"repository": "registry.example.com/pve-evpn-operator"}
EVERYTHING: dict[str, Any] = {
    "global": {"imageRegistry": "mirror.example.com:5000", "imagePullSecrets": [{"name": "mirror"}]},
    "replicas": 3,
    "fullnameOverride": "networks",
    "image": {"registry": "registry.example.com", "repository": "pve/operator", "digest": "sha256:" + "0" * 64},
    "imagePullSecrets": ["registry", {"name": "other"}],
    "commonLabels": {"team": "network"},
    "commonAnnotations": {"owner": "network"},
    "extraArgs": ["--log-level=DEBUG"],
    "extraVolumes": [{"name": "proxy-ca", "configMap": {"name": "proxy-ca"}}],
    "extraVolumeMounts": [{"name": "proxy-ca", "mountPath": "/etc/proxy", "readOnly": True}],
    "startupProbe": {"failureThreshold": 30},
    "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "50%"}},
    "dnsPolicy": "None",
    "dnsConfig": {"nameservers": ["192.0.2.53"], "searches": ["example.com"], "options": [{"name": "ndots"}]},
    "hostAliases": [{"ip": "192.0.2.8", "hostnames": ["pve1"]}],
    "podDisruptionBudget": {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"},
    "service": {
        "type": "LoadBalancer",
        "annotations": {"a": "b"},
        "ipFamilyPolicy": "RequireDualStack",
        "ipFamilies": ["IPv6", "IPv4"],
    },
    "clusters": [
        {
            "name": "dc1",
            "credentials": {"tokenId": "a@pve!b", "token": "c", "ca.crt": "PEM"},
            "spec": {"endpoints": ["https://pve1:8006"], "observe": {"intervalSeconds": 30}},
        },
        {"name": "dc2", "spec": {"endpoints": ["https://pve2:8006"], "credentialsSecretRef": {"name": "mine"}}},
    ],
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "podLabels": {"team": "network"},
    "podAnnotations": {"note": "x"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "infra", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "system-cluster-critical",
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
    ],
    "serviceAccount": {"name": "somebody", "annotations": {"a": "b"}},
    "networkPolicy": {
        "enabled": True,
        "proxmoxCidrs": ["192.0.2.0/24", "2001:db8::/64"],
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
    },
    "tables": {"enabled": True, "expose": True, "tlsSecret": "tables-cert", "audiences": ["tables"]},
    "serviceMonitor": {
        "enabled": True,
        "labels": {"release": "prometheus"},
        "annotations": {"a": "b"},
        "namespace": "monitoring",
        "scrapeTimeout": "10s",
        "relabelings": [{"action": "labeldrop", "regex": "pod"}],
        "metricRelabelings": [{"action": "drop", "sourceLabels": ["__name__"], "regex": "process_.*"}],
    },
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}, "namespace": "monitoring"},
    "dashboards": {"enabled": True, "annotations": {"folder": "networks"}, "namespace": "monitoring"},
}
#: What runs in a pod when everything is asked for.
OUR_PODS = (("Deployment", "networks"), ("Job", "networks-clusters"))
NOTHING = {
    "replicas": 1,
    "crds": {"enabled": False},
    "rbac": {"create": False},
    "serviceAccount": {"create": False, "name": "mine"},
    "podDisruptionBudget": {"enabled": False},
}


def rendered(helm: Helm, values: dict[str, Any], tmp_path: Path, *more: str) -> str:
    command = ("template", "pve-evpn-operator", str(CHART), "-n", "pve-evpn-system")
    return helm(*command, *given(values, tmp_path), *more).stdout


def given(values: dict[str, Any], tmp_path: Path) -> tuple[str, ...]:
    """Helm's option for these values, with an image where they name none."""
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump({"image": IMAGE, **values}))
    return "-f", str(file)


def refused(helm: Helm, values: dict[str, Any], tmp_path: Path) -> str:
    """Helm's words."""
    done = helm("template", "x", str(CHART), *given(values, tmp_path), check=False)
    assert done.returncode != 0
    return done.stderr


def objects(text: str) -> dict[tuple[str, str], dict[str, Any]]:
    found = [document for document in yaml.safe_load_all(text) if document]
    return {(document["kind"], document["metadata"]["name"]): document for document in found}


def test_lint(each_helm: Helm, tmp_path: Path) -> None:
    for values in ({}, EVERYTHING, NOTHING):
        assert "0 chart(s) failed" in each_helm("lint", "--strict", str(CHART), *given(values, tmp_path)).stdout


@pytest.mark.kube
@pytest.mark.parametrize("values", [{}, EVERYTHING, NOTHING], ids=["defaults", "everything", "nothing"])
def test_kubeconform_strict(values: dict[str, Any], helm: Helm, plane: ControlPlane, tmp_path: Path) -> None:
    """By the schemas of this very API server."""
    schemas.write(json.loads(plane.kubectl("get", "--raw", "/openapi/v2")), tmp_path)
    command = [str(ensure()["kubeconform"]), "-strict", "-summary", "-output=json"]
    location = f"-schema-location={tmp_path}/{schemas.LOCATION}"
    done = subprocess.run(
        [*command, location, "-"], input=rendered(helm, values, tmp_path), capture_output=True, text=True, timeout=120
    )
    summary = json.loads(done.stdout)
    assert summary["resources"] == []
    assert (summary["summary"]["invalid"], summary["summary"]["errors"], summary["summary"]["skipped"]) == (0, 0, 0)
    assert summary["summary"]["valid"] == len(objects(rendered(helm, values, tmp_path)))


@pytest.mark.kube
def test_kubeconform_would_find_a_wrong_field(plane: ControlPlane, tmp_path: Path) -> None:
    schemas.write(json.loads(plane.kubectl("get", "--raw", "/openapi/v2")), tmp_path)
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"port": []}}
    command = [str(ensure()["kubeconform"]), "-strict", f"-schema-location={tmp_path}/{schemas.LOCATION}", "-"]
    done = subprocess.run(command, input=json.dumps(wrong), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "port" in done.stdout


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"replicaCount": 3}, ["replicaCount"]),
        ({"image": {"tagg": "x"}}, ["/image", "tagg"]),
        ({"image": {"digest": "latest"}}, ["/image/digest"]),
        ({"replicas": "two"}, ["/replicas", "integer"]),
        ({"logLevel": "verbose"}, ["/logLevel", "DEBUG"]),
        ({"leaderElection": {"leaseDuration": 5}}, ["/leaderElection", "leaseDuration"]),
        (
            {"clusters": [{"name": "dc1", "credentials": {}, "spec": {"endpoint": "x"}}]},
            ["/clusters/0/spec", "endpoint"],
        ),
        ({"clusters": [{"name": "dc1", "credentials": {"tokenID": "x"}}]}, ["/clusters/0/credentials", "tokenID"]),
        ({"clusters": [{"name": "dc1", "spec": {"endpoints": ["https://a"]}}]}, ["credentialsSecretRef"]),
        (
            {
                "clusters": [
                    {"name": "dc1", "credentials": {}, "spec": {"endpoints": ["https://a"], "apply": {"polcy": 1}}}
                ]
            },
            ["/clusters/0/spec/apply", "polcy"],
        ),
        (
            {
                "clusters": [
                    {"name": "a", "credentials": {}, "spec": {"endpoints": ["https://a"], "tls": {"fingerprint": ".."}}}
                ]
            },
            ["/clusters/0/spec/tls/fingerprint", "does not match pattern"],
        ),
        (
            {"clusters": [{"name": "a", "credentials": {}, "spec": {"endpoints": ["pve1:8006"]}}]},
            ["/clusters/0/spec/endpoints/0", "https"],
        ),
        ({"networkPolicy": {"proxmoxCidrs": ["192.0.2.0"]}}, ["/networkPolicy/proxmoxCidrs/0"]),
        ({"networkPolicy": {"proxmoxCidrs": ["2001:db8::"]}}, ["/networkPolicy/proxmoxCidrs/0"]),
        ({"networkPolicy": {"proxmoxCidrs": ["192.0.2.0/33"]}}, ["/networkPolicy/proxmoxCidrs/0"]),
        ({"networkPolicy": {"from": [{"cidr": "192.0.2.0/24"}]}}, ["/networkPolicy/from/0", "cidr"]),
        ({"image": {"repository": "registry.example.com/it:1.2"}}, ["/image/repository"]),
        ({"imagePullSecrets": [{"secret": "x"}]}, ["/imagePullSecrets/0"]),
        ({"livenessProbe": {"httpGet": {}}}, ["/livenessProbe", "httpGet"]),
        ({"strategy": "Recreate"}, ["/strategy", "object"]),
        ({"service": {"ipFamilyPolicy": "DualStack"}}, ["/service/ipFamilyPolicy", "PreferDualStack"]),
        ({"podDisruptionBudget": {"minAvailable": "half"}}, ["/podDisruptionBudget/minAvailable"]),
    ],
    ids=lambda value: None if isinstance(value, list) else json.dumps(value)[:50],
)
def test_a_typo_is_refused_by_name(values: dict[str, Any], words: list[str], each_helm: Helm, tmp_path: Path) -> None:
    said = refused(each_helm, values, tmp_path)
    for word in words:
        assert word in said


ONE_CLUSTER: dict[str, Any] = {"name": "pve", "credentials": {}, "spec": {"endpoints": ["https://a"]}}
PLACEHOLDER = {
    **ONE_CLUSTER,
    "credentials": {"tokenId": "pve-evpn@pve!operator", "token": "00000000-0000-0000-0000-000000000000"},
}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"leaderElection": {"renewDeadlineSeconds": 20}}, "leaseDurationSeconds (15) must be longer than"),
        ({"leaderElection": {"retryPeriodSeconds": 9}}, "1.2 times retryPeriodSeconds (9)"),
        ({"clusters": [ONE_CLUSTER, {**ONE_CLUSTER, "name": "dc2"}, ONE_CLUSTER]}, "clusters: pve is there twice"),
        ({"image": {}}, "names no image. Install the chart of a release"),
        ({"enabled": False}, "`condition` of a parent chart"),
        ({"serviceAccount": {"create": False}}, "set serviceAccount.name"),
        ({"podDisruptionBudget": {"minAvailable": 2}}, "minAvailable (2) of 2 replicas would let no node be drained"),
        ({"podDisruptionBudget": {"minAvailable": "100%"}}, "minAvailable (100%)"),
        ({"podDisruptionBudget": {"maxUnavailable": 0}}, "maxUnavailable (0) would let no node be drained"),
        ({"podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": 1}}, "set only one of"),
        ({"serviceMonitor": {"scrapeTimeout": "1m"}}, "scrapeTimeout (1m) must not be longer than interval (30s)"),
        ({"extraEnv": [{"name": "PVE_EVPN_LOG", "value": "DEBUG"}]}, "PVE_EVPN_LOG is set by the chart itself"),
        ({"extraVolumes": [{"name": "tmp"}]}, "there are two volumes tmp"),
        ({"extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}]}, "ca is none of extraVolumes"),
        ({"extraVolumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}, "/tmp is the chart's own volume"),
        ({"commonLabels": {"app.kubernetes.io/name": "x"}}, "commonLabels: app.kubernetes.io/name is how"),
        ({"podLabels": {"app.kubernetes.io/instance": "x"}}, "podLabels: app.kubernetes.io/instance is how"),
        ({"clusters": [PLACEHOLDER]}, "the token of pve is the placeholder"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_values_that_contradict_each_other_are_refused(
    values: dict[str, Any], words: str, each_helm: Helm, tmp_path: Path
) -> None:
    assert words in refused(each_helm, values, tmp_path)


@pytest.mark.parametrize(
    ("duration", "deadline", "retry"), [(15, 10, 2), (15, 10, 8), (15, 10, 9), (15, 15, 2), (15, 20, 2), (3, 1.5, 0.5)]
)
def test_the_chart_takes_the_timing_that_the_operator_takes(
    duration: int, deadline: float, retry: float, helm: Helm, tmp_path: Path
) -> None:
    try:
        Timing(duration, deadline, retry)
        taken = True
    except ValueError:
        taken = False
    names = ("leaseDurationSeconds", "renewDeadlineSeconds", "retryPeriodSeconds")
    timing = dict(zip(names, (duration, deadline, retry), strict=True))
    command = ("template", "x", str(CHART), *given({"leaderElection": timing}, tmp_path))
    done = helm(*command, check=False)
    assert (done.returncode == 0) is taken, done.stderr


def test_each_pod_is_let_out_to_what_it_needs_and_no_further(helm: Helm, tmp_path: Path) -> None:
    """In a namespace that lets nothing out, what no policy selects reaches nothing: not even the API server."""
    found = objects(rendered(helm, EVERYTHING, tmp_path))
    policies = [o["spec"] for (kind, _), o in found.items() if kind == "NetworkPolicy"]
    ports = {}
    for kind, name in OUR_PODS:
        labels = found[kind, name]["spec"]["template"]["metadata"]["labels"]
        ours = [policy for policy in policies if policy["podSelector"]["matchLabels"].items() <= labels.items()]
        ports[kind] = [{port["port"] for rule in policy["egress"] for port in rule["ports"]} for policy in ours]
    dns, api_server = {53, 5353}, {443, 6443, 8443, 16443}
    assert ports == {"Deployment": [{*dns, *api_server, 8006, 22, 9342}], "Job": [{*dns, *api_server}]}
    without_job = objects(rendered(helm, {}, tmp_path))
    assert [kind for kind, _ in without_job].count("NetworkPolicy") == 1


@pytest.mark.redteam
def test_by_default_pods_reach_dns_the_api_server_and_proxmox_and_are_reached_for_metrics_and_probes(
    helm: Helm, tmp_path: Path
) -> None:
    observe = {"ssh": {"keySecretRef": {"name": "x"}, "port": 2222}, "frrExporter": {"port": 9343}}
    spec = {
        "endpoints": ["https://pve1:8006", "https://[2001:db8::1]", "https://pve3:9006"],
        "proxyUrl": "http://proxy:3128",
        "observe": observe,
    }
    found = objects(rendered(helm, {"clusters": [{**ONE_CLUSTER, "spec": spec}]}, tmp_path))
    policy = found["NetworkPolicy", "pve-evpn-operator"]["spec"]
    pod = found["Deployment", "pve-evpn-operator"]["spec"]["template"]
    assert policy["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    (container,) = pod["spec"]["containers"]
    assert policy["ingress"] == [{"ports": [{"port": "http"}]}]
    assert [port["name"] for port in container["ports"]] == ["http"]
    assert {container[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")} == {"http"}
    dns, api_server, proxmox = ({port["port"] for port in rule["ports"]} for rule in policy["egress"])
    assert dns >= {53}
    assert api_server >= {443, 6443}
    assert proxmox == {8006, 22, 9342, 443, 9006, 3128, 2222, 9343}


@pytest.mark.redteam
def test_the_rights_of_the_job_that_applies_clusters_end_with_it(helm: Helm, tmp_path: Path) -> None:
    found = objects(rendered(helm, {"clusters": [ONE_CLUSTER]}, tmp_path))
    job = found["Job", "pve-evpn-operator-clusters"]["metadata"]["annotations"]
    rights = [
        found[kind, "pve-evpn-operator-clusters"] for kind in ("ServiceAccount", "ClusterRole", "ClusterRoleBinding")
    ]
    for made in (right["metadata"]["annotations"] for right in rights):
        for policy in ("helm.sh/hook", "helm.sh/hook-delete-policy"):
            assert made[policy] == job[policy]
        assert "hook-succeeded" in made["helm.sh/hook-delete-policy"]
        assert int(made["helm.sh/hook-weight"]) < int(job.get("helm.sh/hook-weight", 0))


@pytest.mark.redteam
def test_with_names_the_operator_reads_no_other_secret(helm: Helm, tmp_path: Path) -> None:
    clusters = [{**ONE_CLUSTER, "credentials": {"token": "x"}}]
    values = {"clusters": clusters, "rbac": {"secrets": ["other"], "clusters": ["pve", "dc2"]}}
    rules = objects(rendered(helm, values, tmp_path))["Role", "pve-evpn-operator"]["rules"]
    may: dict[str, set[str]] = {}
    for rule in rules:
        for verb in rule["verbs"] if "secrets" in rule["resources"] else ():
            may[verb] = may.get(verb, set()) | set(rule.get("resourceNames", ["*"]))
    journals = {"pve-evpn-journal-pve", "pve-evpn-journal-dc2"}
    assert may == {"get": {"other", "pve-credentials"} | journals, "patch": journals, "create": {"*"}}


def test_the_kinds_are_the_committed_ones_and_stay(helm: Helm, tmp_path: Path) -> None:
    found = objects(rendered(helm, {}, tmp_path))
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        committed = yaml.safe_load(path.read_text())
        made = found["CustomResourceDefinition", committed["metadata"]["name"]]
        assert made["spec"] == committed["spec"]
        assert made["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    given_up = objects(rendered(helm, {"crds": {"keep": False}}, tmp_path))
    assert "annotations" not in given_up["CustomResourceDefinition", "vnets.pve-evpn.dev"]["metadata"]


def test_the_warnings_are_the_committed_ones_and_only_warn(helm: Helm, tmp_path: Path) -> None:
    found = objects(rendered(helm, {}, tmp_path))
    committed = [
        document
        for path in sorted((ROOT / "crds" / "warnings").glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
    ]
    assert committed
    for document in committed:
        made = found[document["kind"], document["metadata"]["name"]]
        assert made["spec"] == document["spec"]
        if document["kind"] == "ValidatingAdmissionPolicyBinding":
            assert made["spec"]["validationActions"] == ["Warn"]
    without = objects(rendered(helm, {"crds": {"enabled": False}}, tmp_path))
    assert not [kind for kind, _ in without if kind.startswith("ValidatingAdmissionPolicy")]


def test_the_rbac_for_those_without_helm_is_the_charts() -> None:
    assert generate.RBAC.read_text() == generate.rbac(str(ensure()["helm"])), (
        "run: python charts/generate.py --rbac HELM"
    )


def test_pods_meet_the_restricted_standard(helm: Helm, tmp_path: Path) -> None:
    found = objects(rendered(helm, EVERYTHING, tmp_path))
    for kind, name in OUR_PODS:
        pod = found[kind, name]["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
            assert container["image"].endswith("@sha256:" + "0" * 64)


def test_every_dashboard_and_every_rule_is_packaged(helm: Helm, tmp_path: Path) -> None:
    text = rendered(helm, EVERYTHING, tmp_path)
    found = objects(text)
    boards = {path.name: path for path in (CHART / "dashboards").glob("*.json")}
    maps = [o for (kind, name), o in found.items() if kind == "ConfigMap" and "-dashboard-" in name]
    assert {name: json.loads(text) for o in maps for name, text in o["data"].items()} == {
        name: json.loads(path.read_text()) for name, path in boards.items()
    }
    assert all(o["metadata"]["labels"]["grafana_dashboard"] == "1" for o in maps)
    rules = [o["spec"] for (kind, _), o in found.items() if kind == "PrometheusRule"]
    assert sorted(map(str, rules)) == sorted(
        str(yaml.safe_load(path.read_text())) for path in (CHART / "rules").glob("*.yaml")
    )


def test_one_replica_gets_no_budget_that_would_block_a_drain(helm: Helm, tmp_path: Path) -> None:
    kinds = {kind for kind, _ in objects(rendered(helm, {"replicas": 1}, tmp_path))}
    assert "PodDisruptionBudget" not in kinds


def test_the_arguments_are_ones_the_operator_has(helm: Helm, tmp_path: Path) -> None:
    found = objects(rendered(helm, EVERYTHING, tmp_path))
    help_ = subprocess.run(
        [sys.executable, "-m", "pve_evpn", "run", "--help"], capture_output=True, text=True, cwd=ROOT / "operator"
    ).stdout
    known = set(re.findall(r"PVE_EVPN_[A-Z_]+", help_.replace("\n", "")))
    container = found["Deployment", "networks"]["spec"]["template"]["spec"]["containers"][0]
    used = {entry["name"] for entry in container["env"] if entry["name"].startswith("PVE_EVPN_")}
    assert used == known
