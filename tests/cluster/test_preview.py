"""What `tpt plan -o yaml` tells is what a real operator then makes."""

import json

from tests.cluster.conftest import SETTINGS
from tests.cluster.kube import JOBS
from tpt_operator import preview
from tpt_runtime.core.resource import parse_run

PLACES = {
    "Job": JOBS,
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "Service": "/api/v1/namespaces/{}/services",
}


def told(item):
    """Return an object without what nobody can know before: how long the steps took."""
    if item["kind"] == "Job":
        (container,) = item["spec"]["template"]["spec"]["containers"]
        config = json.loads(container["args"][0])
        config.pop("seconds", None)
        container["args"] = [json.dumps(config)]
    return item


def lies_within(part, whole):
    """Return whether everything in `part` is in `whole`, to which the API server has added."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(name in whole and lies_within(part[name], whole[name]) for name in part)
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) == len(whole) and all(map(lies_within, part, whole))
    return part == whole


def test_every_object_of_a_whole_run_is_told_before_it_is_there(cluster):
    given = cluster.create(maxRounds=2, sampling={"shards": 2}, training={"nodes": 2}, model={"uri": "hf://a/b"})
    run = parse_run({name: given[name] for name in ("apiVersion", "kind", "metadata", "spec")}, "example")
    found = preview.objects(run, SETTINGS.images.by_role)

    cluster.operator()
    cluster.kubelet()
    cluster.wait_for("Complete")

    live = {
        kind: {item["metadata"]["name"]: item for item in cluster.kube.items(place.format(cluster.namespace))}
        for kind, place in PLACES.items()
    }
    assert [item["metadata"]["name"] for item in found if item["metadata"]["name"] not in live[item["kind"]]] == []
    assert len(found) == sum(len(items) for items in live.values())
    for item in found:
        made = live[item["kind"]][item["metadata"]["name"]]
        assert lies_within(told(item), told({**made, "kind": item["kind"], "apiVersion": item["apiVersion"]})), made
