"""What is run to build the images, for which options."""

from pathlib import Path

import pytest

from images.commands import Command, Machine, Order, commands
from images.lending import Lent, lent

HERE = Machine("buildah", Path("/scratch"))
DOCKER = Machine("docker", Path("/scratch"))
LOCAL_WHEELS = Lent("[global]\n", (("/wheels", "/run/build/w"),))


def order(variant="cpu", **changed) -> Order:
    return Order(variant, "1.2.3", **changed)


def words(command: Command) -> str:
    return " ".join(command)


def value(command: Command, flag: str) -> str:
    return command[command.index(flag) + 1]


def arguments(command: Command) -> dict[str, str]:
    given = (command[at + 1] for at, word in enumerate(command) if word == "--build-arg")
    return dict(argument.split("=", 1) for argument in given)


def tags(run: list[Command]) -> list[str]:
    return [value(command, "--tag") for command in run if "--tag" in command]


def test_the_cpu_variants_are_built_on_one_stack():
    run = commands(order(), HERE)
    assert tags(run) == [
        "localhost/tpt-operator:1.2.3",
        "localhost/tpt-cpu-stack:1.2.3",
        "localhost/tpt-sampler:1.2.3-cpu",
        "localhost/tpt-pruner:1.2.3-cpu",
        "localhost/tpt-trainer:1.2.3-cpu",
    ]
    assert [arguments(command) for command in run[2:]] == [{"STACK": "localhost/tpt-cpu-stack:1.2.3"}] * 3
    assert [value(command, "--target") for command in run[2:]] == ["cpu"] * 3


def test_the_cuda_variants_stand_on_images_of_their_own():
    run = commands(order("cuda"), HERE)
    assert tags(run)[1:] == [f"localhost/tpt-{role}:1.2.3-cuda" for role in ("sampler", "pruner", "trainer")]
    assert [value(command, "--target") for command in run[1:]] == ["cuda"] * 3


def test_only_what_is_named_is_built():
    assert tags(commands(order(only=("operator",)), HERE)) == ["localhost/tpt-operator:1.2.3"]
    assert tags(commands(order(only=("trainer",)), HERE)) == [
        "localhost/tpt-cpu-stack:1.2.3",
        "localhost/tpt-trainer:1.2.3-cpu",
    ]


def test_images_are_named_for_the_registry_they_are_pushed_to():
    run = commands(order(only=("operator", "pruner"), registry="registry.example/team", push=True), HERE)
    named = ["registry.example/team/tpt-operator:1.2.3", "registry.example/team/tpt-pruner:1.2.3-cpu"]
    assert run[-2:] == [("buildah", "push", name, f"docker://{name}") for name in named]
    assert [name for name in tags(run) if "cpu-stack" not in name] == named


def test_nothing_is_pushed_unless_a_registry_is_named():
    assert [command for command in commands(order(archive=Path("/a")), HERE) if "docker://" in words(command)] == []


def test_the_steps_share_an_archive_so_that_their_layers_stand_in_it_once():
    run = commands(order(archive=Path("/a")), HERE)
    written = [value(command, "--file") for command in run if command[0] == "tar"]
    assert written == ["/a/tpt-operator-1.2.3.tar", "/a/tpt-steps-1.2.3-cpu.tar"]
    pushed = [command[-1] for command in run if command[:2] == ("buildah", "push")]
    assert pushed[1:] == ["oci:/scratch/tpt-steps-1.2.3-cpu:localhost/tpt-sampler:1.2.3-cpu"]
    (added,) = [command for command in run if "images/layout.py" in command]
    named = [f"localhost/tpt-{role}:1.2.3-cpu" for role in ("sampler", "pruner", "trainer")]
    assert added[2:] == ("/scratch/tpt-steps-1.2.3-cpu", *named)


def test_images_that_share_no_layers_are_packed_one_by_one():
    run = commands(order("cuda", archive=Path("/a")), HERE)
    assert len([command for command in run if command[:2] == ("buildah", "push")]) == 4
    assert [command for command in run if "images/layout.py" in command] == []


def test_an_archive_is_written_of_what_was_built_only():
    run = commands(order(only=("operator",), archive=Path("/a")), HERE)
    assert [value(command, "--file") for command in run if command[0] == "tar"] == ["/a/tpt-operator-1.2.3.tar"]


def test_docker_builds_pushes_and_archives_too():
    run = commands(order(only=("pruner",), registry="r.example", push=True, archive=Path("/a")), DOCKER)
    name = "r.example/tpt-pruner:1.2.3-cpu"
    assert [command[:2] for command in run] == [
        ("docker", "build"),
        ("docker", "build"),
        ("docker", "push"),
        ("mkdir", "--parents"),
        ("docker", "save"),
    ]
    assert run[-1] == ("docker", "save", "--output", "/a/tpt-steps-1.2.3-cpu.tar", name)


def test_a_base_is_made_without_a_registry_once():
    first = commands(order(base="debootstrap"), HERE)
    assert [command[0] for command in first[:4]] == ["debootstrap", "mkdir", "tar", "buildah"]
    assert tags(first)[0] == "localhost/tpt-base:bookworm"
    again = commands(order(base="debootstrap"), Machine("buildah", Path("/scratch"), has_base=True))
    assert again == first[4:]
    assert {arguments(command).get("BASE") for command in again[:2]} == {"localhost/tpt-base:bookworm"}


def test_a_base_can_be_named():
    run = commands(order(base="registry.example/python:3.11"), HERE)
    assert {arguments(command).get("BASE") for command in run[:2]} == {"registry.example/python:3.11"}


def test_what_the_dockerfiles_pin_stands_unless_a_base_is_named():
    assert all("BASE" not in arguments(command) for command in commands(order(), HERE))


def test_labels_change_no_layer_that_the_variants_share():
    run = commands(order(labels=(("REVISION", "abc"),)), HERE)
    with_label = {value(command, "--tag") for command in run if arguments(command).get("REVISION") == "abc"}
    assert with_label == set(tags(run)) - {"localhost/tpt-cpu-stack:1.2.3"}


def test_pip_settings_are_lent_where_something_is_installed_and_only_there():
    run = commands(order(), Machine("buildah", Path("/scratch"), LOCAL_WHEELS))
    lent = [value(command, "--secret") for command in run[:2]]
    assert lent == ["id=pip,src=/scratch/pip.conf"] * 2
    assert [value(command, "--volume") for command in run[:2]] == ["/wheels:/run/build/w:ro"] * 2
    assert all("--secret" not in command for command in run[2:])


def test_docker_says_that_it_cannot_lend_a_folder():
    with pytest.raises(ValueError, match=r"docker cannot lend /wheels.*use buildah"):
        commands(order(), Machine("docker", Path("/scratch"), LOCAL_WHEELS))


def test_docker_is_given_settings_that_name_no_folder():
    (command,) = commands(order(only=("operator",)), Machine("docker", Path("/scratch"), Lent("[global]\nproxy = p\n")))
    assert value(command, "--secret") == "id=pip,src=/scratch/pip.conf"


def test_without_settings_of_pip_nothing_is_lent():
    assert lent("") == Lent()
    assert all("--secret" not in command for command in commands(order(), HERE))
