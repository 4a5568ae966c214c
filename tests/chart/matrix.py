"""Values that are tried together: every template, every branch, and every value somewhere set to something else."""

from typing import Any

Json = dict[str, Any]

EVERYTHING: Json = {
    "fullnameOverride": "improver",
    "images": {
        "registry": "registry.example:5000/tpt",
        "tag": "9.9.9",
        "variant": "cuda",
        "pullPolicy": "Always",
        "pullSecrets": [{"name": "of-operator"}],
        "stepPullSecrets": [{"name": "of-steps"}, {"name": "of-mirror"}],
        "trainer": "own/trainer@sha256:" + 64 * "a",
    },
    "replicas": 3,
    "leaseSeconds": 30,
    "resyncSeconds": 60,
    "logLevel": "DEBUG",
    "serviceAccount": {"name": "somebody", "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/tpt"}},
    "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "control", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}}}
            ]
        }
    },
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
    ],
    "priorityClassName": "system-cluster-critical",
    "runtimeClassName": "gvisor",
    "terminationGracePeriodSeconds": 40,
    "podLabels": {"team": "research"},
    "podAnnotations": {"prometheus.io/scrape": "false"},
    "deploymentAnnotations": {"reloader.stakater.com/auto": "true"},
    "podSecurityContext": {"runAsNonRoot": True, "runAsUser": 12345, "seccompProfile": {"type": "RuntimeDefault"}},
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "privileged": False,
    },
    "extraEnv": [
        {"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ],
    "livenessProbe": {"initialDelaySeconds": 60, "periodSeconds": 20, "timeoutSeconds": 10, "failureThreshold": 5},
    "readinessProbe": {"initialDelaySeconds": 1, "periodSeconds": 2, "timeoutSeconds": 1, "failureThreshold": 1},
    "podDisruptionBudget": {"maxUnavailable": "50%"},
    "networkPolicy": {
        "enabled": True,
        "apiServerPorts": [8443],
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
    },
    "monitoring": {
        "podMonitor": {"enabled": True, "interval": "10s", "labels": {"release": "prometheus"}},
        "stepMonitor": {"enabled": True, "interval": "5s", "labels": {"release": "prometheus"}},
        "rules": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "runbookUrl": "https://docs.example/operator/",
            "alertLabels": {"team": "research"},
        },
    },
    "dashboard": {"enabled": True, "labels": {"grafana_dashboard": "yes"}, "annotations": {"grafana_folder": "TPT"}},
    "tests": {
        "storage": {"storageClassName": "fast", "accessModes": ["ReadWriteMany"], "size": "1Gi"},
        "worker": {"nodeSelector": {"pool": "cpu"}, "imagePullSecrets": [{"name": "own"}]},
        "timeoutSeconds": 900,
    },
}
NOTHING: Json = {
    "nameOverride": "improver",
    "replicas": 0,
    "steps": {"networkPolicies": False},
    "crds": {"enabled": False},
    "rbac": {"create": False, "aggregatedRoles": False},
    "serviceAccount": {"create": False},
    "resources": None,
    "securityContext": None,
    "podSecurityContext": None,
    "podDisruptionBudget": {"enabled": False},
    "tests": {"enabled": False},
}
MATRIX: dict[str, Json] = {
    "defaults": {},
    "one namespace": {"watchNamespace": "team-a"},
    "everything": EVERYTHING,
    "everything, one namespace": EVERYTHING | {"watchNamespace": "team-a"},
    "a ServiceMonitor": {
        "monitoring": {"serviceMonitor": {"enabled": True, "interval": "1m", "labels": {"release": "prometheus"}}}
    },
    "no policies of runs": {"steps": {"networkPolicies": False}},
    "a definition that goes": {"crds": {"keep": False}},
    "nothing": NOTHING,
}
