"""Publishing the best model: to an object store, and to a double of the hub's HTTP API (the real hub was not tried)."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.object_store import SECRET, Answer, Bucket, Request, Wire, refusal
from tests.steps.publishing_hub import PublishingHub
from tests.steps.test_finalize import ROUNDS, build
from tpt_runtime.artifacts import objects
from tpt_runtime.artifacts.manifest import read_manifest, write_manifest
from tpt_runtime.core.commands import Commands
from tpt_runtime.core.errors import ArtifactError, ConfigurationError, StepFailed
from tpt_runtime.core.status import FinalizeSummary, PrepareSummary, Resolved
from tpt_runtime.finalize.step import finalize
from tpt_runtime.step.context import Context

BEST = 2
TOKEN = "hf_a-token-that-nobody-may-see"
CommandsOf = Callable[..., Commands]


def built(commands: CommandsOf, context: Context, uri: str) -> Commands:
    """Make a run of three rounds that is to be published; its models have a card of their own."""
    sections = {"pruning": {"minExamples": 1}, "evaluation": {"samplesPerPrompt": 1}, "sampling": {"samplesPerPrompt": 2}}
    made = commands(**sections, publish={"uri": uri, "secretRef": {"name": "keys"}})
    root = build(made, context)
    for number in (1, 2, 3):
        folder = root / made.paths.train_dir(number)
        (folder / "model" / "README.md").write_text(f"how model {number} was trained")
        before = read_manifest(folder)
        assert before is not None
        write_manifest(folder, before.digest, summary=before.summary)
    prepared = (root / made.paths.model_dir(0)).parent
    resolved = PrepareSummary(digest=made.paths.prepare, resolved=Resolved(data_revisions={"train": "abc123"}))
    write_manifest(prepared, made.paths.prepare, summary=resolved.full_wire())
    return made


class TestObjectStore:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("vl_convert.javascript_bundle", lambda code: code)  # takes seconds, and writes nothing
        monkeypatch.setattr(objects, "RETRIES", {"max_retries": 0})

    @pytest.fixture
    def made(self, commands: CommandsOf, context: Context, bucket: Bucket, wire: Wire) -> Commands:
        return built(commands, context, f"s3://{bucket.name}/models")

    def ending(self, made: Commands, context: Context, attempt: int = 1, best: int = BEST) -> FinalizeSummary:
        return finalize(made.finalize(ROUNDS, attempt, best_round=best, status={}), context)

    def test_the_best_model_is_there_with_its_card(self, made: Commands, context: Context, bucket: Bucket) -> None:
        summary = self.ending(made, context)
        name = f"test-round-2-{made.paths.train(BEST)}"
        assert summary.published == f"s3://{bucket.name}/models/{name}"
        files = bucket.files(f"models/{name}/")
        assert sorted(files) == ["README.md", "TRAINING.md", "manifest.json", "model.safetensors"]
        assert files["model.safetensors"] == b"model 2"
        assert files["TRAINING.md"] == b"how model 2 was trained"
        listed = json.loads(files["manifest.json"])["files"]
        assert sorted(listed) == ["README.md", "TRAINING.md", "model.safetensors"]

    def test_the_card_tells_figures_lineage_and_how_to_do_it_again(
        self, made: Commands, context: Context, bucket: Bucket
    ) -> None:
        self.ending(made, context)
        card = bucket.get(f"models/test-round-2-{made.paths.train(BEST)}/README.md").decode()
        assert card.startswith("---\nlibrary_name: transformers\n")
        assert "| 2 | 66.7%" in card
        assert f"| this model | round 2 of 3, digest {made.paths.train(BEST)} |" in card
        assert "| data, train | `train.jsonl` at abc123 |" in card
        assert "`tpt run` a SelfImprovementRun with this spec" in card
        assert "secretRef" not in card

    def test_another_attempt_sends_nothing_again(self, made: Commands, context: Context, wire: Wire) -> None:
        first = self.ending(made, context)
        (Path(made.prepare(1).root) / "report" / "manifest.json").unlink()  # as if it had been killed before it was done
        wire.seen.clear()
        assert self.ending(made, context, attempt=2).published == first.published
        assert wire.puts() == []

    def test_an_attempt_cut_off_at_any_change_has_published_nothing_and_the_next_one_does(
        self, made: Commands, context: Context, wire: Wire, bucket: Bucket
    ) -> None:
        cuts = 0
        for number in range(1, 20):
            wire.rule = nth_change_on(number)
            try:
                self.ending(made, context, attempt=number)
                break
            except StepFailed:
                cuts += 1
                assert not [name for name in bucket.names("models/") if name.endswith("manifest.json")]
        assert cuts == 4, "three files and the manifest"
        assert len(bucket.names("models/")) == 4

    def test_a_better_model_gets_a_folder_of_its_own(self, made: Commands, context: Context, bucket: Bucket) -> None:
        self.ending(made, context)
        self.ending(made, context, attempt=2, best=3)
        folders = {name.split("/")[1] for name in bucket.names("models/")}
        assert folders == {f"test-round-{n}-{made.paths.train(n)}" for n in (2, 3)}

    def test_a_model_that_was_edited_is_not_published(self, made: Commands, context: Context, bucket: Bucket) -> None:
        model = Path(made.prepare(1).root) / made.paths.model_dir(BEST)
        (model / "model.safetensors").write_text("model X")
        with pytest.raises(ArtifactError, match=r"model\.safetensors: not what its manifest says; it is not published"):
            self.ending(made, context)
        assert bucket.names("models/") == []

    def test_a_base_model_is_not_published(self, made: Commands, context: Context, bucket: Bucket) -> None:
        assert self.ending(made, context, best=0).published is None
        assert bucket.names("models/") == []

    def test_refused_keys_are_told_with_the_field_and_the_secret(self, made: Commands, context: Context, wire: Wire) -> None:
        wire.rule = lambda request: refusal(403, "AccessDenied")
        with pytest.raises(ConfigurationError, match=r"spec\.publish\.uri: s3://.*access refused .* in Secret 'keys'") as told:
            self.ending(made, context)
        assert SECRET not in str(told.value)


def nth_change_on(number: int) -> Callable[[Request], Answer | None]:
    """Return the rule of a store that takes no change from the `number`th on."""
    changes = iter(range(1, 10**6))

    def rule(request: Request) -> Answer | None:
        changed = request.method in ("PUT", "POST", "DELETE")
        return refusal(500, "InternalError") if changed and next(changes) >= number else None

    return rule


class TestHub:
    """The step as a program, because the hub's client reads its environment once."""

    @pytest.fixture
    def hub(self) -> Iterator[PublishingHub]:
        hub = PublishingHub({}, token=TOKEN)
        server = hub.start()
        yield hub
        server.shutdown()
        server.server_close()

    @pytest.fixture
    def made(self, commands: CommandsOf, context: Context) -> Commands:
        return built(commands, context, "hf://org/better")

    def ending(self, made: Commands, folder: Path, hub: PublishingHub, *, best: int = BEST, token: str = TOKEN) -> Any:
        """Run the step; return its exit code, what it handed in, and everything that it said."""
        config = json.dumps(made.finalize(ROUNDS, 1, best_round=best, status={}).wire())
        termination = folder / "termination"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "AWS_"))}
        own = {"TPT_TERMINATION_LOG": str(termination), "TPT_LOG": "json", "HF_HOME": str(folder / "cache")}
        own |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1"}
        (folder / "vl_convert.py").write_text("def javascript_bundle(code):\n    return code\n")  # the real one takes seconds
        own["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, "-m", "tpt_runtime.finalize", config],
            env=inherited | own,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        said = done.stdout + done.stderr + termination.read_text()
        assert TOKEN not in said
        return done.returncode, json.loads(termination.read_text()), said

    def test_one_commit_holds_the_model_and_the_next_attempt_makes_none(
        self, made: Commands, hub: PublishingHub, tmp_path: Path
    ) -> None:
        code, summary, said = self.ending(made, tmp_path, hub)
        assert code == 0, said
        assert summary["published"] == f"hf://org/better@{hub.head}"
        assert [asked["visibility"] for asked in hub.created] == ["private"]
        files = hub.repositories["models/org/better"]
        assert files["model.safetensors"] == b"model 2"
        assert files["TRAINING.md"] == b"how model 2 was trained"
        assert files["README.md"].startswith(b"---\nlibrary_name: transformers\n")
        assert len(hub.commits) == 1

        (tmp_path / "artifacts" / "report" / "manifest.json").unlink()  # as if it had been killed before it was done
        code, again, said = self.ending(made, tmp_path, hub)
        assert (code, again["published"]) == (0, summary["published"]), said
        assert len(hub.commits) == 1

    def test_a_hub_that_fails_at_the_commit_shows_nothing_and_another_attempt_makes_it_good(
        self, made: Commands, hub: PublishingHub, tmp_path: Path
    ) -> None:
        hub.repositories["models/org/better"] = {"old.safetensors": b"of another model", "notes.txt": b"mine"}
        hub.refusing_commits = 400
        code, told, _ = self.ending(made, tmp_path, hub)
        assert (code, told["error"]) == (1, "spec.publish.uri: hf://org/better: the hub answered HTTP 400")
        assert sorted(hub.repositories["models/org/better"]) == ["notes.txt", "old.safetensors"]
        hub.refusing_commits = None
        code, _, said = self.ending(made, tmp_path, hub)
        assert code == 0, said
        names = sorted(hub.repositories["models/org/better"])
        assert names == ["README.md", "TRAINING.md", "model.safetensors", "notes.txt", "tpt.json"]

    def test_a_token_that_is_refused_fails_at_once_and_names_its_secret(
        self, made: Commands, hub: PublishingHub, tmp_path: Path
    ) -> None:
        code, told, said = self.ending(made, tmp_path, hub, token="hf_another")
        assert code == 64
        assert "spec.publish.uri: hf://org/better" in told["error"]
        assert "in Secret 'keys', key HF_TOKEN" in told["error"]
        assert "hf_another" not in said
