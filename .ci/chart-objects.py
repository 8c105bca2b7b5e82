"""Reads rendered manifests for .ci/chart.

  chart-objects.py schema VERSION FILE..   every object against the strict API schema of that Kubernetes
  chart-objects.py promises FOLDER         what holds for the renderings of chart/ci in FOLDER
  chart-objects.py pods < FILE             the pod templates alone, to compare
"""
import json
import pathlib
import re
import sys

import yaml

# Objects of operators: Kubernetes itself has no schema of them.
FOREIGN = {"PodMonitor", "SecurityContextConstraints"}


def objects(text):
    return [o for o in yaml.safe_load_all(text) if o]


def pod_templates(documents):
    for o in documents:
        if o["kind"] in ("DaemonSet", "StatefulSet", "Deployment"):
            yield o["kind"], o["spec"]["template"]


def schema(version, files):
    import kubernetes_validate

    count = 0
    for file in files:
        seen = set()
        for o in objects(pathlib.Path(file).read_text()):
            key = (o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"])
            if key in seen:
                raise SystemExit(f"FAIL {file}: {key} is rendered twice")
            seen.add(key)
            if o["kind"] in FOREIGN:
                continue
            try:
                kubernetes_validate.validate(o, version, strict=True)
            except Exception as e:  # the library has no common class of errors
                raise SystemExit(f"FAIL {file}: {key} on Kubernetes {version}: {str(e)[:600]}")
            count += 1
    print(f"ok   schema: {count} objects are valid on Kubernetes {version}")


RIGHTS = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["nodes/stats"], "verbs": ["get"]},
]


def collectors_of_objects():
    """What the collectors of the cluster's objects read, as the reference page that is made of the code has it."""
    page = pathlib.Path("agent/docs/METRICS.md").read_text()
    found = {}
    for section in page.split("\n## ")[1:]:
        paths = re.findall(r"`/apis?/([^`]+)`", next((line for line in section.splitlines() if line.startswith("- Reads ")), ""))
        # `v1/pods`, `apps/v1/deployments`: the core group has no name.
        if paths:
            found[section.split("\n")[0]] = {("/".join(path.split("/")[:-2]), path.split("/")[-1]) for path in paths}
    assert len(found) > 5, f"METRICS.md has another form now: {found}"
    return found


def cluster_rights(config):
    """Exactly what is switched on, and the uid of kube-system: group, resource, names, verbs."""
    rights = {("", "namespaces", ("kube-system",), ("get",))}
    if config["events"]["enabled"]:
        rights |= {(group, "events", (), ("get", "list", "watch")) for group in ("", "events.k8s.io")}
    if config["heartbeats"]["cronJobs"]["enabled"]:
        followed = (("", "pods"), ("batch", "cronjobs"), ("batch", "jobs"))
        rights |= {(group, resource, (), ("list", "watch")) for group, resource in followed}
    chosen = config["metrics"].get("collectors") or {}
    for name, resources in collectors_of_objects().items():
        if config["metrics"]["enabled"] and (chosen.get(name) or {}).get("enabled") is not False:
            rights |= {(group, resource, (), ("list", "watch")) for group, resource in resources}
    return rights


def flat(rules):
    """Rules taken apart, as cluster_rights has them."""
    return {
        (group, resource, tuple(rule.get("resourceNames", ())), tuple(rule["verbs"]))
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def lease_rights(name):
    """One Lease, in the release's namespace."""
    group = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    return [{**group, "verbs": ["create"]}, {**group, "resourceNames": [name], "verbs": ["get", "update"]}]


def check_cluster_work(name, everything, config, run_in):
    """Who does what is done once, with which rights: never a node's pod, unless that is asked for."""
    bindings = [o for o in everything if o["kind"].endswith("Binding")]
    accounts = lambda suffix: {s["name"] for b in bindings if b["metadata"]["name"].endswith(suffix) for s in b["subjects"]}
    agent = next(t for k, t in pod_templates(everything) if k == "DaemonSet")["spec"]
    cluster = next((t["spec"] for k, t in pod_templates(everything) if k == "Deployment"), None)
    roles = [o for o in everything if o["kind"].endswith("Role") and o["metadata"]["name"].endswith("-cluster")]
    asks = "--role" in agent["containers"][0]["args"]
    if run_in == "none":
        assert not roles and not cluster and not asks, f"{name}: something is done once in the cluster"
        return
    lease = config["cluster"]["lease"]["name"]
    everywhere, at_home = (o["rules"] for o in roles)
    wanted = cluster_rights(config)
    assert flat(everywhere) == wanted, f"{name}: rights that differ: {flat(everywhere) ^ wanted}"
    assert at_home == lease_rights(lease), f"{name}: rights on the Lease are {at_home}"
    if run_in == "daemonset":
        assert asks and not cluster, f"{name}: no node's pod stands for the lead"
        assert accounts("-cluster") == {agent["serviceAccountName"]}, f"{name}: the rights are another one's"
        return
    assert cluster and not asks, f"{name}: there is no pod for it"
    assert accounts("-cluster") == {cluster["serviceAccountName"]} != {agent["serviceAccountName"]}, f"{name}: accounts"
    assert not [v for v in cluster["volumes"] if "hostPath" in v], f"{name}: the cluster's pod mounts the node's"
    assert cluster["securityContext"]["runAsNonRoot"] is True, f"{name}: the cluster's pod is root"


def check_pod(name, kind, spec):
    """The posture of every pod, whatever the values."""
    assert spec["automountServiceAccountToken"] is False, f"{name}: {kind} mounts a token by itself"
    assert not any(spec.get(k) for k in ("hostNetwork", "hostPID", "hostIPC")), f"{name}: {kind} uses the host's"
    assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", f"{name}: {kind} seccomp"
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"]}, f"{name}: {kind} keeps capabilities"
        assert context["readOnlyRootFilesystem"] is True, f"{name}: {kind} can write its root"
        assert context["allowPrivilegeEscalation"] is False, f"{name}: {kind} can escalate"
        assert context["privileged"] is False, f"{name}: {kind} is privileged"
        assert "memory" in container["resources"]["limits"], f"{name}: {kind} has no memory limit"
        assert "cpu" not in container["resources"]["limits"], f"{name}: {kind} has a cpu limit"
        for mount in container["volumeMounts"]:
            assert "subPath" not in mount, f"{name}: {mount['name']} by subPath would not follow a changed Secret"
            volume = next(v for v in spec["volumes"] if v["name"] == mount["name"])
            writable = mount["name"] in ("spool", "data")
            assert mount.get("readOnly", False) is not writable, f"{name}: {mount['name']} readOnly"
            assert "hostPath" not in volume or mount["name"] in ("pod-logs", "spool", "host-proc", "host-sys", "host-root") or mount["name"].startswith(
                "extra-logs-"), f"{name}: mounts {volume['hostPath']}"


def promises(folder):
    for file in sorted(pathlib.Path(folder).glob("*.yaml")):
        name = file.stem
        everything = objects(file.read_text())
        roles = [o for o in everything if o["kind"].endswith("Role") and not o["metadata"]["name"].endswith("-cluster")]
        agent = next(t for k, t in pod_templates(everything) if k == "DaemonSet")
        strategy = next(o for o in everything if o["kind"] == "DaemonSet")["spec"]["updateStrategy"]
        surge = (strategy.get("rollingUpdate") or {}).get("maxSurge", 0)
        assert surge == 0, f"{name}: two agents of a node would meet on one spool ({strategy})"
        volumes = {v["name"] for v in agent["spec"]["volumes"]}
        if name == "source-none":
            assert not [o for o in everything if "Role" in o["kind"]], f"{name}: has RBAC objects"
            assert "api-access" not in volumes, f"{name}: has a token"
        else:
            assert [r["rules"] for r in roles] == [RIGHTS], f"{name}: rights are {roles}"
            assert "api-access" in volumes, f"{name}: has no token"
        for kind, template in pod_templates(everything):
            check_pod(name, kind, template["spec"])
            assert "helm.sh/chart" not in template["metadata"]["labels"], f"{name}: {kind} rolls with the chart's version"
        for o in everything:
            if o["kind"] == "Pod":
                check_pod(name, "Pod", o["spec"])
        # The configuration names only files that are mounted.
        config = next(yaml.safe_load(o["data"]["hawsepipe.yaml"]) for o in everything if o["kind"] == "ConfigMap")
        run_in = {"source-none": "none", "receiver-full": "daemonset", "openshift": "none", "nothing-once": "none"}.get(name, "deployment")
        check_cluster_work(name, everything, config, run_in)
        mounts = {m["mountPath"] for m in agent["spec"]["containers"][0]["volumeMounts"]}
        for key, destination in config["destinations"].items():
            for path in (destination.get("auth", {}).get("keyFile"), destination.get("tls", {}).get("caFile")):
                assert path is None or path.rsplit("/", 1)[0] in mounts, f"{name}: {key}: {path} is not mounted"
        assert config["logs"]["podsPath"] in mounts and config["spool"]["path"] in mounts, f"{name}: {mounts}"
        metrics = config["metrics"]
        for key in ("procPath", "sysPath", "rootPath"):
            assert metrics.get(key) in mounts | {None, ""}, f"{name}: metrics.{key} is not mounted"
        assert metrics["enabled"] is ("/host/proc" in mounts), f"{name}: mounts {mounts}"
        print(f"ok   promises: {name}")
    for o in objects((pathlib.Path(folder) / "manifests.yaml").read_text()):
        assert o["kind"] != "Secret", "manifests: a Secret is in git"
    # A plain number stays one; the template engine likes to write 1.073741824e+09.
    assert "--max-bytes=1073741824" in (pathlib.Path(folder) / "nulls.yaml").read_text(), "nulls: --max-bytes"
    # No key is rendered anywhere but into a Secret.
    for o in objects((pathlib.Path(folder) / "tls-ca.yaml").read_text()):
        assert o["kind"] == "Secret" or "not-a-real-key" not in json.dumps(o), f"the key is in {o['kind']}"


if __name__ == "__main__":
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "schema":
        schema(arguments[0], arguments[1:])
    elif command == "promises":
        try:
            promises(arguments[0])
        except AssertionError as e:
            raise SystemExit(f"FAIL {e}")
    elif command == "pods":
        print(json.dumps(dict(pod_templates(objects(sys.stdin.read()))), indent=1, sort_keys=True))
