"""What a run has in the cluster, read from the manifests alone."""

import json
from dataclasses import replace

import pytest

from tests.tpt_operator.runs import IMAGES, UID, run, start
from tpt_operator import checks, labels, manifests
from tpt_runtime.core.status import StepName
from tpt_runtime.core.worker import Worker

EVERY_STEP = [step.value for step in StepName]


def job(step="sample", indexes=1, **spec):
    return manifests.job(run(**spec), start(step, indexes), IMAGES)


def pod(manifest):
    return manifest["spec"]["template"]["spec"]


def container(manifest):
    (only,) = pod(manifest)["containers"]
    return only


def environment(manifest):
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container(manifest)["env"]}


@pytest.mark.parametrize("step", EVERY_STEP)
def test_every_pod_passes_the_restricted_standard_and_has_no_token(step):
    made = job(step)
    security = pod(made)["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(made)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert pod(made)["automountServiceAccountToken"] is False
    assert pod(made)["restartPolicy"] == "Never"


@pytest.mark.parametrize("step", EVERY_STEP)
def test_images_are_pulled_with_the_operators_secrets_unless_the_run_names_its_own(step):
    images = replace(IMAGES, pull_secrets=("registry", "mirror"))
    made = manifests.job(run(), start(step, 1), images)
    assert pod(made)["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]
    own = manifests.job(run(worker={"imagePullSecrets": [{"name": "mine"}]}), start(step, 1), images)
    assert pod(own)["imagePullSecrets"] == [{"name": "mine"}]
    assert "imagePullSecrets" not in pod(job(step))


@pytest.mark.parametrize("step", EVERY_STEP)
def test_a_pod_can_write_where_programs_write_and_finds_the_claim(step):
    made = job(step)
    mounts = {mount["mountPath"]: mount["name"] for mount in container(made)["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod(made)["volumes"]}
    assert volumes[mounts["/storage"]]["persistentVolumeClaim"] == {"claimName": "runs"}
    assert volumes[mounts["/dev/shm"]]["emptyDir"] == {"medium": "Memory"}
    told = environment(made)
    assert {"/tmp", told["HOME"]} <= set(mounts)
    assert told["TMPDIR"] in mounts
    for cache in ("XDG_CACHE_HOME", "HF_HOME", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        assert told[cache].startswith(f"{told['HOME']}/")
    assert told["USER"]


def test_the_command_is_the_steps_program_with_one_json_argument():
    made = container(job("sample", sampling={"shards": 1}))
    assert made["command"] == ["python", "-m", "tpt_runtime.sample"]
    (argument,) = made["args"]
    config = json.loads(argument)
    assert (config["storage"], config["root"]) == ("/storage", "/storage/team/example")
    assert (config["step"], config["round"], config["attempt"]) == ("sample", 1, 1)


@pytest.mark.parametrize(
    ("step", "image"),
    [
        *[("prepare", "pruner:1"), ("prune", "pruner:1"), ("grade", "pruner:1"), ("finalize", "pruner:1")],
        *[("sample", "sampler:1"), ("evaluate", "sampler:1"), ("train", "trainer:1")],
    ],
)
def test_a_step_runs_in_the_image_of_its_role(step, image):
    assert container(job(step))["image"] == image


def test_pinned_images_outlive_a_new_release_of_the_operator_and_the_users_image_wins():
    pinned = run().model_copy(update={"status": {"resolved": {"images": {"sampler": "sampler:0"}}}})
    assert container(manifests.job(pinned, start("sample"), IMAGES))["image"] == "sampler:0"
    assert container(manifests.job(pinned, start("train"), IMAGES))["image"] == "trainer:1"
    assert container(job("sample", worker={"image": "mine:2"}))["image"] == "mine:2"


def test_sampling_is_indexed_with_retries_of_each_shard_and_ends_with_the_first_lost_one():
    spec = job("sample", 4, sampling={"shards": 4})["spec"]
    assert (spec["completions"], spec["parallelism"], spec["completionMode"]) == (4, 4, "Indexed")
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (1, 0)
    assert "backoffLimit" not in spec


@pytest.mark.parametrize(
    ("step", "indexes", "action"),
    [("sample", 4, "Ignore"), ("prune", 1, "Ignore"), ("train", 1, "Ignore"), ("train", 2, "FailJob")],
)
def test_an_eviction_is_the_first_rule_and_ends_only_a_training_of_several_nodes(step, indexes, action):
    first, second = job(step, indexes)["spec"]["podFailurePolicy"]["rules"]
    assert first == {"action": action, "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    assert second["action"] == "FailJob"
    assert second["onExitCodes"]["values"] == list(range(64, 79))
    assert second["onExitCodes"]["containerName"] == container(job(step))["name"]


def test_nodes_meet_at_node_zero_by_its_name_in_the_service():
    made = job("train", 2, training={"nodes": 2})
    service = manifests.service(run())
    assert environment(made)["TPT_RENDEZVOUS"] == f"{made['metadata']['name']}-0.{service['metadata']['name']}:29500"
    assert pod(made)["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert service["spec"]["selector"].items() <= made["spec"]["template"]["metadata"]["labels"].items()
    assert "TPT_RENDEZVOUS" not in environment(job("train", 1))


@pytest.mark.parametrize("manifest", [job(), manifests.service(run()), *manifests.network_policies(run())])
def test_everything_belongs_to_the_run_and_bears_our_labels_not_its(manifest):
    (owner,) = manifest["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"], owner["kind"]) == (UID, True, "SelfImprovementRun")
    assert manifest["metadata"]["namespace"] == "team"
    assert manifest["metadata"]["labels"][labels.MANAGED_BY] == "tpt-operator"
    assert manifest["metadata"]["labels"][labels.RUN] == "example"


def test_labels_of_the_user_do_not_replace_ours():
    made = job(worker={"labels": {labels.RUN: "another", "team": "a"}, "annotations": {"note": "x"}})
    metadata = made["spec"]["template"]["metadata"]
    assert metadata["labels"][labels.RUN] == "example"
    assert metadata["labels"]["team"] == "a"
    assert metadata["annotations"] == {"note": "x"}
    assert "team" not in made["metadata"]["labels"]


def test_a_queue_is_named_on_the_job_and_its_suspend_is_left_to_kueue():
    made = job(queue={"name": "team-a", "priorityClass": "high"})
    assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    assert made["metadata"]["labels"]["kueue.x-k8s.io/priority-class"] == "high"
    assert "suspend" not in made["spec"]
    assert not [name for name in job()["metadata"]["labels"] if "kueue" in name]


def test_a_steps_worker_goes_over_the_runs_field_by_field():
    spec = {
        "worker": {"nodeSelector": {"pool": "cpu"}, "tolerations": [{"operator": "Exists"}], "schedulerName": "mine"},
        "training": {"worker": {"nodeSelector": {"pool": "gpu"}, "resourceClaims": [{"name": "gpus"}]}},
    }
    train, prepare = job("train", **spec), job("prepare", **spec)
    assert pod(train)["nodeSelector"] == {"pool": "gpu"}
    assert pod(prepare)["nodeSelector"] == {"pool": "cpu"}
    assert pod(train)["tolerations"] == pod(prepare)["tolerations"] == [{"operator": "Exists"}]
    assert pod(train)["resourceClaims"] == [{"name": "gpus"}]
    assert container(train)["resources"]["claims"] == [{"name": "gpus"}]
    assert "resources" not in container(prepare)


def test_the_users_environment_and_volumes_are_added_but_ours_comes_last():
    made = job(
        worker={"env": [{"name": "HOME", "value": "/elsewhere"}, {"name": "A", "value": "b"}], "volumes": [{"name": "data"}]}
    )
    assert environment(made)["A"] == "b"
    assert environment(made)["HOME"] != "/elsewhere"
    assert {"name": "data"} in pod(made)["volumes"]


def test_the_security_context_can_be_changed_and_a_field_taken_out():
    security = {"fsGroup": None, "runAsUser": 1234}
    given = run()
    given = given.model_copy(update={"spec": given.spec.model_copy(update={"worker": Worker(pod_security_context=security)})})
    made = pod(manifests.job(given, start("sample"), IMAGES))["securityContext"]
    assert "fsGroup" not in made
    assert made["runAsUser"] == 1234
    assert made["runAsNonRoot"] is True


def test_tokens_come_by_reference_and_only_to_prepare():
    spec = {
        "model": {"uri": "hf://a/b", "secretRef": {"name": "hub"}},
        "dataset": {"train": {"uri": "s3://bucket/x", "secretRef": {"name": "keys"}}},
    }
    told = environment(job("prepare", **spec))
    assert told["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "HF_TOKEN"}}
    assert told["AWS_SECRET_ACCESS_KEY"] == {"secretKeyRef": {"name": "keys", "key": "AWS_SECRET_ACCESS_KEY"}}
    assert told["AWS_ENDPOINT_URL"]["secretKeyRef"]["optional"] is True
    assert "HF_HUB_OFFLINE" not in told
    for step in set(EVERY_STEP) - {"prepare"}:
        told = environment(job(step, **spec))
        assert not {"HF_TOKEN", "AWS_SECRET_ACCESS_KEY"} & set(told)
        assert told["HF_HUB_OFFLINE"] == "1"


IN_A_BUCKET = {"persistentVolumeClaim": None, "uri": "s3://bucket/runs/", "secretRef": {"name": "keys"}}


@pytest.mark.parametrize("step", EVERY_STEP)
def test_an_object_store_as_storage_takes_the_claims_place_in_every_step(step):
    made = job(step, storage=IN_A_BUCKET)
    config = json.loads(container(made)["args"][0])
    assert (config["storage"], config["root"]) == ("s3://bucket/runs", "s3://bucket/runs/team/example")
    assert config["storageSecret"] == "keys"
    assert not [volume for volume in pod(made)["volumes"] if "persistentVolumeClaim" in volume]
    assert "/storage" not in [mount["mountPath"] for mount in container(made)["volumeMounts"]]
    told = environment(made)
    assert told["AWS_SECRET_ACCESS_KEY"] == {"secretKeyRef": {"name": "keys", "key": "AWS_SECRET_ACCESS_KEY"}}
    assert told["AWS_REGION"]["secretKeyRef"] == {"name": "keys", "key": "AWS_REGION", "optional": True}
    assert told["XDG_CACHE_HOME"].startswith(f"{told['HOME']}/"), "the cache lies on a volume that can be written"


@pytest.mark.parametrize("step", EVERY_STEP)
def test_without_a_secret_the_pods_own_identity_opens_the_object_store(step):
    made = job(step, storage={"persistentVolumeClaim": None, "uri": "s3://bucket"})
    assert not [name for name in environment(made) if name.startswith("AWS_")]
    config = json.loads(container(made)["args"][0])
    assert (config["root"], "storageSecret" in config) == ("s3://bucket/team/example", False)


def test_every_step_goes_out_to_an_object_store():
    _, out = manifests.network_policies(run(storage=IN_A_BUCKET))
    assert sorted(out["spec"]["podSelector"]["matchExpressions"][0]["values"]) == sorted(EVERY_STEP)
    assert out["spec"]["egress"] == [{}]


def test_the_storages_keys_serve_for_every_source_in_an_object_store():
    assert checks.problems(run(storage=IN_A_BUCKET, model={"uri": "s3://bucket/model", "secretRef": {"name": "keys"}})) == []
    (problem,) = checks.problems(run(storage=IN_A_BUCKET, model={"uri": "s3://bucket/model", "secretRef": {"name": "others"}}))
    assert str(problem).startswith("spec.model.secretRef: names the Secret others, spec.storage.secretRef the Secret keys")
    ambient = {"persistentVolumeClaim": None, "uri": "s3://bucket"}
    (problem,) = checks.problems(run(storage=ambient, model={"uri": "s3://bucket/model", "secretRef": {"name": "keys"}}))
    assert str(problem).startswith("spec.model.secretRef: names the Secret keys, spec.storage.secretRef none")
    assert problem.hint == "set spec.storage.secretRef too"


ON_THE_HUB = {"uri": "hf://org/better", "secretRef": {"name": "hub"}}


def test_what_is_published_with_goes_to_finalize_only():
    told = environment(job("finalize", publish=ON_THE_HUB))
    assert told["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "HF_TOKEN"}}
    assert "HF_HUB_OFFLINE" not in told
    for step in set(EVERY_STEP) - {"finalize"}:
        assert "HF_TOKEN" not in environment(job(step, publish=ON_THE_HUB))
    to_s3 = environment(job("finalize", publish={"uri": "s3://bucket/models", "secretRef": {"name": "keys"}}))
    assert to_s3["AWS_SECRET_ACCESS_KEY"] == {"secretKeyRef": {"name": "keys", "key": "AWS_SECRET_ACCESS_KEY"}}
    assert to_s3["HF_HUB_OFFLINE"] == "1"


def test_only_finalize_goes_out_to_publish():
    _, out = manifests.network_policies(run(publish=ON_THE_HUB))
    assert out["spec"]["podSelector"]["matchExpressions"][0]["values"] == ["finalize"]


def test_the_storages_keys_serve_for_publishing_to_an_object_store():
    same = {"uri": "s3://other/models", "secretRef": {"name": "keys"}}
    assert checks.problems(run(storage=IN_A_BUCKET, publish=same)) == []
    (problem,) = checks.problems(run(storage=IN_A_BUCKET, publish={**same, "secretRef": {"name": "others"}}))
    assert str(problem).startswith(
        "spec.publish.secretRef: names the Secret others, spec.storage.secretRef the Secret keys: finalize"
    )
    assert checks.problems(run(storage=IN_A_BUCKET, publish=ON_THE_HUB)) == []


def test_pods_talk_to_each_other_and_to_dns_and_only_those_that_must_go_out():
    (inside,) = manifests.network_policies(run())
    assert inside["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert [sorted(rule) for rule in inside["spec"]["egress"]] == [["to"], ["ports"]]
    _, out = manifests.network_policies(run(model={"uri": "hf://a/b"}, training={"reportTo": ["wandb"]}))
    assert out["spec"]["podSelector"]["matchExpressions"][0]["values"] == ["prepare", "train"]
    assert out["spec"]["egress"] == [{}]
    assert out["metadata"]["name"] != inside["metadata"]["name"]


def test_names_of_services_fit_and_differ_for_a_new_run_of_the_same_name():
    longest = run().metadata.model_copy(update={"name": "1" * 63})
    name = labels.child_name(longest, "nodes")
    assert len(name) <= 63
    assert name[0].isalpha()
    assert labels.child_name(run().metadata, "nodes") != labels.child_name(
        run().metadata.model_copy(update={"uid": "b"}), "nodes"
    )


def test_gpus_must_be_as_many_as_the_processes_that_use_them():
    limits = {"resources": {"limits": {"nvidia.com/gpu": "2"}}}
    assert checks.problems(run(sampling={"worker": limits, "tensorParallelSize": 2})) == []
    (problem,) = checks.problems(run(training={"worker": limits}))
    assert str(problem).startswith("spec.training.worker.resources.limits[nvidia.com/gpu]: must equal")
    assert "processesPerNode (1), found 2" in problem.message


def test_one_kind_of_source_has_one_secret():
    sources = {
        "train": {"uri": "hf://a/b", "secretRef": {"name": "one"}},
        "eval": {"uri": "hf://a/c", "secretRef": {"name": "two"}},
    }
    (problem,) = checks.problems(run(dataset=sources))
    assert problem.path == "spec.dataset.eval.secretRef"


def test_grace_is_long_where_a_gpu_works():
    assert pod(job("train"))["terminationGracePeriodSeconds"] == 120
    assert pod(job("prune"))["terminationGracePeriodSeconds"] == 30
