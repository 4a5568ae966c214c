"""What `python3 -m images.build` says, refuses and finds out by itself."""

import pytest

from images import build


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
