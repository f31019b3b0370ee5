"""Every value of the chart: what it changes in which object, by the real Helm."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts import generate
from tests.helm.conftest import CHART, ROOT, Helm
from tests.helm.test_chart import IMAGE, ONE_CLUSTER, objects, refused, rendered

NAME = "pve-evpn-operator"
POD = f"Deployment/{NAME} spec template spec"
OPERATOR = f"{POD} containers 0"
JOB = f"Job/{NAME}-clusters spec template spec"
SERVICE = f"Service/{NAME}"
BUDGET = f"PodDisruptionBudget/{NAME}"
POLICY = f"NetworkPolicy/{NAME}"
MONITOR = f"ServiceMonitor/{NAME}"
RULE = f"PrometheusRule/{NAME}-pve-evpn"
BOARD = f"ConfigMap/{NAME}-dashboard-fleet"
DIGEST = "sha256:" + "0" * 64
VOLUME = {"name": "proxy-ca", "configMap": {"name": "proxy-ca"}}
MOUNT = {"name": "proxy-ca", "mountPath": "/etc/proxy"}
PEER = {"podSelector": {"matchLabels": {"app": "prometheus"}}}
SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
TOLERATION = {"key": "infra", "operator": "Exists"}
DNS = {"nameservers": ["192.0.2.53"]}
ALIAS = {"ip": "2001:db8::8", "hostnames": ["pve1"]}
RELABELING = {"action": "labeldrop", "regex": "pod"}
RESOURCES = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
NO_IDS = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
MISSING = "(not there)"


def env(name: str) -> str:
    """Where an environment variable of the operator is."""
    return f"{OPERATOR} env {name} value"


#: The value (dots as in the chart's README), what it is set to, and what is then where. Values that only act beside
#: another one come with it.
TABLE: list[tuple[str, Any, dict[str, Any]]] = [
    ("global.imageRegistry", "mirror.example.com:5000", {f"{OPERATOR} image": f"mirror.example.com:5000/{NAME}:0.1.0"}),
    ("global.imagePullSecrets", ["a"], {f"{POD} imagePullSecrets": [{"name": "a"}]}),
    ("replicas", 3, {f"Deployment/{NAME} spec replicas": 3}),
    ("image.registry", "registry.example.com/", {f"{OPERATOR} image": f"registry.example.com/{NAME}:0.1.0"}),
    ("image.repository", "registry:5000/it", {f"{OPERATOR} image": "registry:5000/it:0.1.0"}),
    ("image.tag", "1.2.3", {f"{OPERATOR} image": f"{NAME}:1.2.3"}),
    (
        "image.digest",
        DIGEST,
        {f"{OPERATOR} image": f"{NAME}@{DIGEST}", f"{JOB} containers 0 image": f"{NAME}@{DIGEST}"},
    ),
    ("image.pullPolicy", "Always", {f"{OPERATOR} imagePullPolicy": "Always"}),
    (
        "imagePullSecrets",
        ["a", {"name": "b"}, {"name": "a"}],
        {f"{POD} imagePullSecrets": [{"name": "a"}, {"name": "b"}], f"{JOB} imagePullSecrets 1 name": "b"},
    ),
    (
        "nameOverride",
        "sdn",
        {f"Deployment/{NAME}-sdn spec selector matchLabels app.kubernetes.io/name": "sdn"},
    ),
    ("fullnameOverride", "sdn", {"Deployment/sdn kind": "Deployment", "ClusterRole/sdn kind": "ClusterRole"}),
    (
        "commonLabels",
        {"team": "network"},
        {
            f"Deployment/{NAME} metadata labels team": "network",
            f"Deployment/{NAME} spec template metadata labels team": "network",
            f"Deployment/{NAME} spec selector matchLabels team": MISSING,
            f"Job/{NAME}-clusters spec template metadata labels team": "network",
            "CustomResourceDefinition/vnets.pve-evpn.dev metadata labels team": "network",
            f"ClusterRole/{NAME} metadata labels team": "network",
        },
    ),
    (
        "commonAnnotations",
        {"owner": "network"},
        {
            f"Deployment/{NAME} metadata annotations owner": "network",
            f"Job/{NAME}-clusters metadata annotations owner": "network",
            "CustomResourceDefinition/vnets.pve-evpn.dev metadata annotations owner": "network",
        },
    ),
    ("crds.enabled", False, {"CustomResourceDefinition/vnets.pve-evpn.dev": MISSING}),
    (
        "crds.keep",
        False,
        {"CustomResourceDefinition/vnets.pve-evpn.dev metadata annotations": MISSING},
    ),
    (
        "clusters",
        [{**ONE_CLUSTER, "name": "dc2", "credentials": {"token": "x"}}],
        {"Secret/dc2-credentials stringData": {"token": "x"}},
    ),
    ("logLevel", "DEBUG", {env("PVE_EVPN_LOG"): "DEBUG"}),
    ("logFormat", "json", {env("PVE_EVPN_LOG_FORMAT"): "json"}),
    ("logFormat", "json", {env("PVE_EVPN_LOG_FORMAT"): "json"}),
    ("leaderElection.leaseDurationSeconds", 30, {env("PVE_EVPN_LEASE_DURATION"): "30"}),
    ("leaderElection.renewDeadlineSeconds", 12, {env("PVE_EVPN_LEASE_RENEW_DEADLINE"): "12"}),
    ("leaderElection.retryPeriodSeconds", 3, {env("PVE_EVPN_LEASE_RETRY_PERIOD"): "3"}),
    ("terminationGracePeriodSeconds", 30, {f"{POD} terminationGracePeriodSeconds": 30}),
    ("resources", RESOURCES, {f"{OPERATOR} resources": RESOURCES}),
    ("extraArgs", ["--log-level=DEBUG"], {f"{OPERATOR} args": ["run", "--log-level=DEBUG"]}),
    ("extraEnv", [{"name": "HTTPS_PROXY", "value": "p"}], {env("HTTPS_PROXY"): "p"}),
    ("extraVolumes", [VOLUME], {f"{POD} volumes 1": VOLUME}),
    ("extraVolumeMounts", [MOUNT], {f"{OPERATOR} volumeMounts 1": MOUNT}),
    (
        "podSecurityContext",
        {"runAsUser": None, "runAsGroup": None, "fsGroup": None},
        {f"{POD} securityContext": NO_IDS, f"{JOB} securityContext": NO_IDS},
    ),
    ("podSecurityContext", {"runAsUser": 1000650000}, {f"{POD} securityContext runAsUser": 1000650000}),
    (
        "securityContext",
        {"privileged": False},
        {f"{OPERATOR} securityContext privileged": False, f"{JOB} containers 0 securityContext privileged": False},
    ),
    (
        "livenessProbe",
        {"initialDelaySeconds": 7},
        {
            f"{OPERATOR} livenessProbe initialDelaySeconds": 7,
        },
    ),
    ("readinessProbe", {"periodSeconds": 9}, {f"{OPERATOR} readinessProbe periodSeconds": 9}),
    (
        "startupProbe",
        {"failureThreshold": 30},
        {f"{OPERATOR} startupProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "failureThreshold": 30}},
    ),
    ("revisionHistoryLimit", 0, {f"Deployment/{NAME} spec revisionHistoryLimit": 0}),
    ("strategy", {"type": "Recreate"}, {f"Deployment/{NAME} spec strategy": {"type": "Recreate"}}),
    ("podLabels", {"a": "b"}, {f"Deployment/{NAME} spec template metadata labels a": "b"}),
    ("podAnnotations", {"a": "b"}, {f"Deployment/{NAME} spec template metadata annotations": {"a": "b"}}),
    ("nodeSelector", {"a": "b"}, {f"{POD} nodeSelector": {"a": "b"}, f"{JOB} nodeSelector": {"a": "b"}}),
    ("tolerations", [TOLERATION], {f"{POD} tolerations": [TOLERATION], f"{JOB} tolerations": [TOLERATION]}),
    ("affinity", {"nodeAffinity": {}}, {f"{POD} affinity": {"nodeAffinity": {}}}),
    ("topologySpreadConstraints", [SPREAD], {f"{POD} topologySpreadConstraints": [SPREAD]}),
    ("priorityClassName", "high", {f"{POD} priorityClassName": "high", f"{JOB} priorityClassName": "high"}),
    ("dnsPolicy", "Default", {f"{POD} dnsPolicy": "Default", f"{JOB} dnsPolicy": "Default"}),
    ("dnsConfig", DNS, {f"{POD} dnsConfig": DNS, f"{JOB} dnsConfig": DNS}),
    ("hostAliases", [ALIAS], {f"{POD} hostAliases": [ALIAS], f"{JOB} hostAliases": [ALIAS]}),
    (
        "serviceAccount",
        {"create": False, "name": "mine"},
        {
            f"ServiceAccount/{NAME}": MISSING,
            f"ServiceAccount/{NAME}-clusters": MISSING,
            f"{POD} serviceAccountName": "mine",
            f"{JOB} serviceAccountName": "mine",
            f"ClusterRoleBinding/{NAME} subjects 0 name": "mine",
            f"ClusterRoleBinding/{NAME}-clusters subjects 0 name": "mine",
        },
    ),
    ("serviceAccount.name", "mine", {"ServiceAccount/mine kind": "ServiceAccount"}),
    ("serviceAccount.annotations", {"a": "b"}, {f"ServiceAccount/{NAME} metadata annotations a": "b"}),
    (
        "rbac.create",
        False,
        {
            f"{kind}/{NAME}{suffix}": MISSING
            for kind, suffix in (
                ("ClusterRole", ""),
                ("ClusterRole", "-view"),
                ("ClusterRole", "-clusters"),
                ("ClusterRoleBinding", ""),
                ("ClusterRoleBinding", "-clusters"),
                ("Role", ""),
                ("RoleBinding", ""),
            )
        },
    ),
    (
        "rbac.clusters",
        ["pve", "dc2"],
        {
            f"Role/{NAME} rules 0 resourceNames": ["pve-evpn-journal-pve", "pve-evpn-journal-dc2"],
            f"Role/{NAME} rules 0 verbs": ["get", "patch"],
            f"Role/{NAME} rules 1 resourceNames": MISSING,
            f"Role/{NAME} rules 1 verbs": ["create"],
        },
    ),
    ("rbac.secrets", ["mine"], {f"Role/{NAME} rules 1 resourceNames": ["mine"]}),
    ("rbac.aggregate", False, {f"ClusterRole/{NAME}-view": MISSING, f"ClusterRole/{NAME}-admin": MISSING}),
    ("podDisruptionBudget.enabled", False, {BUDGET: MISSING}),
    ("podDisruptionBudget.minAvailable", "50%", {f"{BUDGET} spec minAvailable": "50%"}),
    (
        "podDisruptionBudget.maxUnavailable",
        1,
        {f"{BUDGET} spec maxUnavailable": 1, f"{BUDGET} spec minAvailable": MISSING},
    ),
    (
        "podDisruptionBudget.unhealthyPodEvictionPolicy",
        "AlwaysAllow",
        {f"{BUDGET} spec unhealthyPodEvictionPolicy": "AlwaysAllow"},
    ),
    (
        "service.port",
        9090,
        {
            f"{SERVICE} spec ports 0 port": 9090,
            f"{OPERATOR} ports 0 containerPort": 9090,
            env("PVE_EVPN_HTTP"): ":9090",
        },
    ),
    ("service.type", "NodePort", {f"{SERVICE} spec type": "NodePort"}),
    ("service.annotations", {"a": "b"}, {f"{SERVICE} metadata annotations": {"a": "b"}}),
    ("service.ipFamilyPolicy", "PreferDualStack", {f"{SERVICE} spec ipFamilyPolicy": "PreferDualStack"}),
    ("service.ipFamilies", ["IPv6"], {f"{SERVICE} spec ipFamilies": ["IPv6"]}),
    (
        "tables.enabled",
        True,
        {
            env("PVE_EVPN_TABLES"): ":8443",
            f"{OPERATOR} ports tables containerPort": 8443,
            f"{SERVICE} spec ports 1": MISSING,
            f"{POLICY} spec ingress 1": MISSING,
            f"ClusterRole/{NAME} rules 5": {
                "apiGroups": ["authentication.k8s.io"],
                "resources": ["tokenreviews"],
                "verbs": ["create"],
            },
            f"ClusterRole/{NAME} rules 6 resources": ["subjectaccessreviews"],
        },
    ),
    ("tables.port", 9443, {env("PVE_EVPN_TABLES"): ":9443", f"{OPERATOR} ports tables containerPort": 9443}),
    (
        "tables.expose",
        True,
        {
            f"{SERVICE} spec ports tables": {"name": "tables", "port": 8443, "targetPort": "tables"},
            f"{POLICY} spec ingress 1": {"ports": [{"port": "tables"}]},
        },
    ),
    ("tables.from", [PEER], {f"{POLICY} spec ingress 1 from": [PEER]}),
    (
        "tables.tlsSecret",
        "cert",
        {
            env("PVE_EVPN_TABLES_TLS"): "/etc/pve-evpn/tables",
            f"{POD} volumes tables-tls secret secretName": "cert",
            f"{OPERATOR} volumeMounts tables-tls readOnly": True,
        },
    ),
    ("tables.audiences", ["a", "b"], {env("PVE_EVPN_TABLES_AUDIENCES"): "a,b"}),
    ("networkPolicy.enabled", False, {POLICY: MISSING, f"{POLICY}-clusters": MISSING}),
    ("networkPolicy.from", [PEER], {f"{POLICY} spec ingress 0 from": [PEER]}),
    (
        "networkPolicy.dnsPorts",
        [1053],
        {f"{POLICY} spec egress 0 ports": [{"port": 1053, "protocol": name} for name in ("UDP", "TCP")]},
    ),
    ("networkPolicy.apiServerPorts", [16443], {f"{POLICY} spec egress 1 ports": [{"port": 16443}]}),
    ("networkPolicy.proxmoxPorts", [9000], {f"{POLICY} spec egress 2 ports 0": {"port": 9000}}),
    (
        "networkPolicy.proxmoxCidrs",
        ["2001:db8::/64", "192.0.2.0/24"],
        {f"{POLICY} spec egress 2 to": [{"ipBlock": {"cidr": cidr}} for cidr in ("2001:db8::/64", "192.0.2.0/24")]},
    ),
    ("serviceMonitor.enabled", False, {MONITOR: MISSING}),
    ("serviceMonitor.interval", "1m", {f"{MONITOR} spec endpoints 0 interval": "1m"}),
    ("serviceMonitor.scrapeTimeout", "10s", {f"{MONITOR} spec endpoints 0 scrapeTimeout": "10s"}),
    ("serviceMonitor.namespace", "monitoring", {f"{MONITOR} metadata namespace": "monitoring"}),
    ("serviceMonitor.labels", {"a": "b"}, {f"{MONITOR} metadata labels a": "b"}),
    ("serviceMonitor.annotations", {"a": "b"}, {f"{MONITOR} metadata annotations a": "b"}),
    ("serviceMonitor.relabelings", [RELABELING], {f"{MONITOR} spec endpoints 0 relabelings": [RELABELING]}),
    ("serviceMonitor.metricRelabelings", [RELABELING], {f"{MONITOR} spec endpoints 0 metricRelabelings": [RELABELING]}),
    ("prometheusRule.enabled", False, {RULE: MISSING}),
    ("prometheusRule.namespace", "monitoring", {f"{RULE} metadata namespace": "monitoring"}),
    ("prometheusRule.labels", {"a": "b"}, {f"{RULE} metadata labels a": "b"}),
    ("prometheusRule.annotations", {"a": "b"}, {f"{RULE} metadata annotations a": "b"}),
    ("dashboards.enabled", False, {BOARD: MISSING}),
    ("dashboards.namespace", "monitoring", {f"{BOARD} metadata namespace": "monitoring"}),
    ("dashboards.labels", {"a": "b"}, {f"{BOARD} metadata labels a": "b"}),
    ("dashboards.annotations", {"a": "b"}, {f"{BOARD} metadata annotations a": "b"}),
]
#: What the table's rows are set on top of, so that every object is there.
BASE: dict[str, Any] = {
    "image": {"repository": NAME},
    "clusters": [ONE_CLUSTER],
    **{name: {"enabled": True} for name in ("networkPolicy", "serviceMonitor", "prometheusRule", "dashboards")},
}
#: Values that only act beside another one.
BESIDE = {
    "extraVolumeMounts": ("extraVolumes", [VOLUME]),
    "rbac.secrets": ("rbac.clusters", ["pve"]),
    "tables.port": ("tables.enabled", True),
    "tables.expose": ("tables.enabled", True),
    "tables.from": ("tables", {"enabled": True, "expose": True, "from": [PEER]}),
    "tables.tlsSecret": ("tables.enabled", True),
    "tables.audiences": ("tables.enabled", True),
}


def found(documents: dict[tuple[str, str], dict[str, Any]], path: str) -> Any:
    """What is at ``Kind/name key key ...``, MISSING if nothing. Items of a list go by number or by their name."""
    name, *keys = path.split(" ")
    kind, _, name = name.partition("/")
    place: Any = documents.get((kind, name), MISSING)
    for key in keys:
        if place is MISSING:
            break
        if isinstance(place, list) and not key.isdecimal():
            place = next((item for item in place if item["name"] == key), MISSING)
        elif isinstance(place, list):
            place = place[int(key)] if int(key) < len(place) else MISSING
        else:
            place = place.get(key, MISSING)
    return place


def assigned(values: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The values with one more set, as ``--set`` would."""
    first, _, rest = path.partition(".")
    return {**values, first: assigned(values.get(first, {}), rest, value) if rest else value}


@pytest.fixture(scope="module")
def unchanged(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, Any]]:
    return objects(rendered(helm, BASE, tmp_path_factory.mktemp("unchanged")))


@pytest.mark.parametrize(("value", "given", "changes"), TABLE, ids=[row[0] for row in TABLE])
def test_a_value_changes_what_its_line_says(
    value: str,
    given: Any,
    changes: dict[str, Any],
    unchanged: dict[tuple[str, str], dict[str, Any]],
    helm: Helm,
    tmp_path: Path,
) -> None:
    values = assigned(BASE, value, given)
    if value in BESIDE:
        values = assigned(values, *BESIDE[value])
    documents = objects(rendered(helm, values, tmp_path))
    assert {path: found(documents, path) for path in changes} == changes
    before = {path: found(unchanged, path) for path in changes}
    assert any(before[path] != changes[path] for path in changes), f"{value} changes nothing"


def test_no_value_is_missing_from_the_table() -> None:
    """But `enabled`, which a parent chart reads (see below)."""
    documented = {path for path, _ in generate.documented(CHART / "values.yaml")}
    set_ = {row[0] for row in TABLE} | {
        f"{row[0]}.{key}" for row in TABLE if isinstance(row[1], dict) for key in row[1]
    }
    left = {path for path in documented - set_ if not any(path.startswith(f"{row[0]}.") for row in TABLE)}
    assert left == {"enabled"}


def test_both_helms_render_the_same(helm: Helm, helm3: Helm, tmp_path: Path) -> None:
    assert objects(rendered(helm3, BASE, tmp_path)) == objects(rendered(helm, BASE, tmp_path))


@pytest.mark.parametrize("enabled", [True, False])
def test_a_parent_chart_can_leave_it_out(enabled: bool, each_helm: Helm, tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    (parent / "charts").mkdir(parents=True)
    (parent / "charts" / NAME).symlink_to(CHART)
    dependency = {"name": NAME, "version": "0.1.0", "condition": f"{NAME}.enabled"}
    chart = {"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]}
    (parent / "Chart.yaml").write_text(yaml.safe_dump(chart))
    values = {NAME: {"enabled": enabled, "image": IMAGE}, "global": {"imageRegistry": "mirror", "mine": {"a": 1}}}
    (parent / "values.yaml").write_text(yaml.safe_dump(values))
    documents = objects(each_helm("template", "x", str(parent)).stdout)
    assert (("Deployment", f"x-{NAME}") in documents) is enabled
    if enabled:
        image = found(documents, f"Deployment/x-{NAME} spec template spec containers 0 image")
        assert image == f"mirror/{IMAGE['repository']}:0.1.0"


def test_openshift_assigns_the_ids(helm: Helm, tmp_path: Path) -> None:
    """Its restricted-v2 constraint refuses a uid outside of the namespace's range."""
    documents = objects(rendered(helm, BASE, tmp_path, "--api-versions", "security.openshift.io/v1"))
    assert found(documents, f"{POD} securityContext") == NO_IDS
    assert found(documents, f"{JOB} securityContext") == NO_IDS
    own = assigned(BASE, "podSecurityContext", {"runAsUser": 1000650000})
    documents = objects(rendered(helm, own, tmp_path, "--api-versions", "security.openshift.io/v1"))
    assert found(documents, f"{POD} securityContext") == {**NO_IDS, "runAsUser": 1000650000}


def test_every_object_says_what_it_is_part_of(helm: Helm, tmp_path: Path) -> None:
    parts = {
        document["metadata"]["labels"]["app.kubernetes.io/component"]
        for document in objects(rendered(helm, BASE, tmp_path)).values()
        if document["metadata"]["labels"]["app.kubernetes.io/part-of"] == "pve-evpn"
    }
    assert parts == {"operator", "clusters", "crds", "monitoring", "access"}


def test_a_job_that_fails_says_why_where_helm_and_kubectl_show_it(helm: Helm, tmp_path: Path) -> None:
    documents = objects(rendered(helm, BASE, tmp_path))
    annotations = found(documents, f"Job/{NAME}-clusters metadata annotations")
    assert annotations["helm.sh/hook-output-log-policy"] == "hook-failed"
    assert found(documents, f"{JOB} containers 0 terminationMessagePolicy") == "FallbackToLogsOnError"


@pytest.mark.parametrize("page", ["README.md", "docs/install.md", "charts/pve-evpn-operator/README.md"])
def test_the_values_of_the_documentation_are_taken_once_they_are_filled_in(
    page: str, each_helm: Helm, tmp_path: Path
) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(), re.S)
    (values,) = (found for found in map(yaml.safe_load, blocks) if "clusters" in found)
    assert "fingerprint" in refused(each_helm, values, tmp_path)
    (cluster,) = values["clusters"]
    cluster["spec"]["tls"]["fingerprint"] = ":".join(["0A"] * 32)
    assert "the token of pve is the placeholder" in refused(each_helm, values, tmp_path)
    cluster["credentials"]["token"] = "1a2b3c4d-0000-0000-0000-000000000000"
    assert found(objects(rendered(each_helm, values, tmp_path)), "Secret/pve-credentials kind") == "Secret"


def test_artifact_hub_lists_the_kinds() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    listed = yaml.safe_load(chart["annotations"]["artifacthub.io/crds"])
    committed = [yaml.safe_load(path.read_text()) for path in (CHART / "files/crds").glob("*.yaml")]
    assert {(kind["kind"], kind["name"], kind["version"]) for kind in listed} == {
        (crd["spec"]["names"]["kind"], crd["metadata"]["name"], crd["spec"]["versions"][0]["name"]) for crd in committed
    }
    assert (CHART.parent / chart["icon"].rpartition("/charts/")[2]).exists()
