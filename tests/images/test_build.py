"""What `images/build.py` runs for which options, and what pip's settings become inside a build."""

import re
from pathlib import Path

import pytest

from images import build
from images.build import Lent, Machine, Order

HERE = Machine("buildah", Path("/scratch"))
DOCKER = Machine("docker", Path("/scratch"))
LOCAL_WHEELS = Lent("[global]\n", (("/wheels", "/run/build/w"),))


def order(variant="cpu", **changed) -> Order:
    return Order(variant, "1.2.3", **changed)


def words(command: build.Command) -> str:
    return " ".join(command)


def value(command: build.Command, flag: str) -> str:
    return command[command.index(flag) + 1]


def arguments(command: build.Command) -> dict[str, str]:
    given = (command[at + 1] for at, word in enumerate(command) if word == "--build-arg")
    return dict(argument.split("=", 1) for argument in given)


def tags(run: list[build.Command]) -> list[str]:
    return [value(command, "--tag") for command in run if "--tag" in command]


def test_the_cpu_variants_are_built_on_one_stack():
    run = build.commands(order(), HERE)
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
    run = build.commands(order("cuda"), HERE)
    assert tags(run)[1:] == [f"localhost/tpt-{role}:1.2.3-cuda" for role in ("sampler", "pruner", "trainer")]
    assert [value(command, "--target") for command in run[1:]] == ["cuda"] * 3


def test_only_what_is_named_is_built():
    assert tags(build.commands(order(only=("operator",)), HERE)) == ["localhost/tpt-operator:1.2.3"]
    assert tags(build.commands(order(only=("trainer",)), HERE)) == [
        "localhost/tpt-cpu-stack:1.2.3",
        "localhost/tpt-trainer:1.2.3-cpu",
    ]


def test_images_are_named_for_the_registry_they_are_pushed_to():
    run = build.commands(order(only=("operator", "pruner"), registry="registry.example/team", push=True), HERE)
    named = ["registry.example/team/tpt-operator:1.2.3", "registry.example/team/tpt-pruner:1.2.3-cpu"]
    assert run[-2:] == [("buildah", "push", name, f"docker://{name}") for name in named]
    assert [name for name in tags(run) if "cpu-stack" not in name] == named


def test_nothing_is_pushed_unless_a_registry_is_named():
    assert [command for command in build.commands(order(archive=Path("/a")), HERE) if "docker://" in words(command)] == []


def test_the_steps_share_an_archive_so_that_their_layers_stand_in_it_once():
    run = build.commands(order(archive=Path("/a")), HERE)
    written = [value(command, "--file") for command in run if command[0] == "tar"]
    assert written == ["/a/tpt-operator-1.2.3.tar", "/a/tpt-steps-1.2.3-cpu.tar"]
    pushed = [command[-1] for command in run if command[:2] == ("buildah", "push")]
    assert pushed[1:] == ["oci:/scratch/tpt-steps-1.2.3-cpu:localhost/tpt-sampler:1.2.3-cpu"]
    (added,) = [command for command in run if "images/layout.py" in command]
    named = [f"localhost/tpt-{role}:1.2.3-cpu" for role in ("sampler", "pruner", "trainer")]
    assert added[2:] == ("/scratch/tpt-steps-1.2.3-cpu", *named)


def test_images_that_share_no_layers_are_packed_one_by_one():
    run = build.commands(order("cuda", archive=Path("/a")), HERE)
    assert len([command for command in run if command[:2] == ("buildah", "push")]) == 4
    assert [command for command in run if "images/layout.py" in command] == []


def test_an_archive_is_written_of_what_was_built_only():
    run = build.commands(order(only=("operator",), archive=Path("/a")), HERE)
    assert [value(command, "--file") for command in run if command[0] == "tar"] == ["/a/tpt-operator-1.2.3.tar"]


def test_docker_builds_pushes_and_archives_too():
    run = build.commands(order(only=("pruner",), registry="r.example", push=True, archive=Path("/a")), DOCKER)
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
    first = build.commands(order(base="debootstrap"), HERE)
    assert [command[0] for command in first[:4]] == ["debootstrap", "mkdir", "tar", "buildah"]
    assert tags(first)[0] == "localhost/tpt-base:bookworm"
    again = build.commands(order(base="debootstrap"), Machine("buildah", Path("/scratch"), has_base=True))
    assert again == first[4:]
    assert {arguments(command).get("BASE") for command in again[:2]} == {"localhost/tpt-base:bookworm"}


def test_a_base_can_be_named():
    run = build.commands(order(base="registry.example/python:3.11"), HERE)
    assert {arguments(command).get("BASE") for command in run[:2]} == {"registry.example/python:3.11"}


def test_what_the_dockerfiles_pin_stands_unless_a_base_is_named():
    assert all("BASE" not in arguments(command) for command in build.commands(order(), HERE))


def test_labels_change_no_layer_that_the_variants_share():
    run = build.commands(order(labels=(("REVISION", "abc"),)), HERE)
    with_label = {value(command, "--tag") for command in run if arguments(command).get("REVISION") == "abc"}
    assert with_label == set(tags(run)) - {"localhost/tpt-cpu-stack:1.2.3"}


def test_pip_settings_are_lent_where_something_is_installed_and_only_there():
    run = build.commands(order(), Machine("buildah", Path("/scratch"), LOCAL_WHEELS))
    lent = [value(command, "--secret") for command in run[:2]]
    assert lent == ["id=pip,src=/scratch/pip.conf"] * 2
    assert [value(command, "--volume") for command in run[:2]] == ["/wheels:/run/build/w:ro"] * 2
    assert all("--secret" not in command for command in run[2:])


def test_docker_says_that_it_cannot_lend_a_folder():
    with pytest.raises(ValueError, match=r"docker cannot lend /wheels.*use buildah"):
        build.commands(order(), Machine("docker", Path("/scratch"), LOCAL_WHEELS))


def test_docker_is_given_settings_that_name_no_folder():
    (command,) = build.commands(order(only=("operator",)), Machine("docker", Path("/scratch"), Lent("[global]\nproxy = p\n")))
    assert value(command, "--secret") == "id=pip,src=/scratch/pip.conf"


def test_without_settings_of_pip_nothing_is_lent():
    assert build.lent("") == Lent()
    assert all("--secret" not in command for command in build.commands(order(), HERE))


def test_what_pip_names_on_disk_is_moved_to_where_a_build_sees_it():
    listing = """
global.cert='/etc/ssl/one.crt'
global.extra-index-url='file:///mirror/simple https://index.example/simple'
global.find-links='/wheels'
"""
    found = build.lent(listing)
    there = dict(found.mounts)
    assert list(there) == ["/etc/ssl/one.crt", "/mirror", "/wheels"]  # not /mirror/simple: its pages link to files beside it
    assert found.configuration.splitlines() == [
        "[global]",
        f"cert = {there['/etc/ssl/one.crt']}",
        f"extra-index-url = file://{there['/mirror']}/simple https://index.example/simple",
        f"find-links = {there['/wheels']}",
    ]


def test_a_place_in_a_build_depends_on_nothing_else_and_tells_no_name():
    alone = dict(build.lent("global.find-links='/wheels'").mounts)["/wheels"]
    assert re.fullmatch(r"/run/build/[0-9a-f]{8}", alone)
    assert dict(build.lent("global.cert='/a'\nglobal.find-links='/b /wheels'").mounts)["/wheels"] == alone


def test_a_setting_of_the_environment_wins_over_those_of_files():
    found = build.lent(
        ":env:.index-url='https://b.example'\ninstall.index-url='https://c.example'\nglobal.index-url='https://a.example'\n"
    )
    assert found.configuration == "[global]\nindex-url = https://b.example\n"


def test_a_folder_that_is_named_twice_is_lent_once():
    found = build.lent("global.find-links='/wheels'\n:env:.find-links='/wheels file:///wheels'\n")
    ((folder, there),) = found.mounts
    assert folder == "/wheels"
    assert found.configuration.endswith(f"find-links = {there} file://{there}\n")


def test_settings_that_are_about_this_machine_only_stay_here():
    assert build.lent("global.user='true'\nglobal.cache-dir='/cache'\nfreeze.timeout='10'\n") == Lent()


@pytest.mark.parametrize(
    ("remote", "label"),
    [
        ("https://ada:secret@code.example/team/tpt.git", "https://code.example/team/tpt.git"),
        ("git@code.example:team/tpt.git", ""),
        ("/srv/tpt", ""),
        ("", ""),
    ],
)
def test_the_label_of_the_sources_tells_no_secret_and_no_folder(remote: str, label: str):
    assert build.public(remote) == label


def test_the_tag_is_the_version_of_the_project():
    from tpt_runtime import __version__

    assert build.version() == __version__


def test_what_is_missing_is_named_before_anything_runs():
    with pytest.raises(ValueError, match=r"no-such-builder needed and not there; .*apt-get install no-such-builder"):
        build.require("sh", "no-such-builder")


def test_an_unknown_role_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        build.main(["--variant", "cpu", "--only", "sampler,grader"])
    assert "'grader' is no image; allowed are operator, sampler, pruner, trainer" in capsys.readouterr().err


def test_the_variant_has_to_be_said(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        build.main([])
    assert "--variant" in capsys.readouterr().err
