"""Models and data sets of a hub that speaks Hugging Face's HTTP API; HF_ENDPOINT and HF_TOKEN come from the environment.

A revision is resolved once to a commit, and only that commit is read from then on. Refusals say what to do about them; a
connection that fails is worth another attempt and is raised as `StepFailed`.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tpt_runtime.core.errors import ConfigurationError, StepFailed

NOT_NEEDED = [
    "*.gguf",
    "*.onnx",
    "*.msgpack",
    "*.h5",
    "*.ot",
    "original/*",
    "*.pth",
    "flax_model*",
    "tf_model*",
    "onnx/*",
    "openvino/*",
]
"""What other frameworks need of a model's repository; it is not copied."""


WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json")
"""How the names of weights end: those of another model must not stay beside a new one."""


@dataclass(frozen=True)
class Repository:
    """One repository of the hub, and where the run names it."""

    kind: Literal["model", "dataset"]
    name: str
    """ORG/NAME."""
    field: str
    """Field of the spec: `spec.model`."""
    revision: str | None = None
    secret: str | None = None
    """Name of the Secret that the token comes from, for messages."""

    @property
    def shown(self) -> str:
        """Return how errors call it."""
        return f"{self.field}.uri: hf://{self.name}"


def repository_name(uri: str) -> str | None:
    """Return ORG/NAME of an hf:// URI, None of any other."""
    return uri.removeprefix("hf://").strip("/") if uri.startswith("hf://") else None


def resolve(repository: Repository) -> str:
    """Return the commit that the revision (default: main) is at.

    Raises:
        ConfigurationError: no such repository or revision, no access, or a bad token.
        StepFailed: the hub cannot be reached.
    """
    from huggingface_hub import HfApi

    with _in_words(repository):
        info = HfApi().repo_info(repository.name, repo_type=repository.kind, revision=repository.revision)
    if info.sha is None:
        raise StepFailed(f"{repository.shown}: the hub named no commit for revision {repository.revision or 'main'}")
    return str(info.sha)


def download_model(repository: Repository, commit: str, folder: Path) -> None:
    """Copy the model at `commit` into `folder`; a download that was cut off goes on where it was.

    Weights in PyTorch's pickle format are copied only where the repository has no safetensors.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    with _in_words(repository):
        files = HfApi().list_repo_files(repository.name, repo_type="model", revision=commit)
        ignored = [*NOT_NEEDED, "*.bin"] if any(name.endswith(".safetensors") for name in files) else NOT_NEEDED
        disable_progress_bars()
        snapshot_download(repository.name, revision=commit, local_dir=folder, ignore_patterns=ignored)


def dataset_rows(repository: Repository, commit: str, config: str | None, split: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of one split of a data set at `commit`.

    Raises:
        ConfigurationError: no access, no such config or split, or files that cannot be read as data.
        StepFailed: the hub cannot be reached.
    """
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    datasets.disable_progress_bars()
    with _in_words(repository):
        try:
            table = datasets.load_dataset(repository.name, config, split=split, revision=commit)
        except (ValueError, FileNotFoundError, datasets.exceptions.DatasetGenerationError) as error:
            if "gated" in str(error):  # the library hides the hub's answer
                raise _gated(repository) from error
            cause = error.__cause__
            if isinstance(cause, HfHubHTTPError) or (isinstance(cause, OSError) and cause.errno):
                raise cause from error  # a refusal, or a full disk, and not this configuration
            reason = cause or error
            raise ConfigurationError(f"{repository.shown}: config {config or 'default'!r}, split {split!r}: {reason}") from error
    yield from table


def publish_model(repository: Repository, files: Mapping[str, Path], texts: Mapping[str, bytes], message: str) -> str:
    """Have the repository hold a model, and return the commit that it is at.

    Everything goes into one commit: before it nothing is seen of the model, after it all is. Weights of another model that was
    there are removed by the same commit; other files stay. Where all of `texts` are there already, nothing is sent.

    Args:
        repository: Where to; made, private, if it is not there.
        files: The model's files by name.
        texts: Small files beside them, which name the model; the same model has the same ones.
        message: Of the commit.

    Raises:
        ConfigurationError: no such organisation, no access, or a bad token.
        StepFailed: the hub cannot be reached, or somebody else has written there meanwhile.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    api = HfApi()
    with _in_words(repository):
        api.create_repo(repository.name, private=True, exist_ok=True)
        head = resolve(repository)
        there = set(api.list_repo_files(repository.name, revision=head))
        if texts.keys() <= there and all(_content(repository, head, name) == text for name, text in texts.items()):
            return head
        contents: dict[str, Path | bytes] = {**files, **texts}
        stale = sorted(name for name in there - contents.keys() if name.endswith(WEIGHTS))
        operations = [CommitOperationAdd(name, content) for name, content in contents.items()]
        operations += [CommitOperationDelete(name) for name in stale]
        made = api.create_commit(repository.name, operations, commit_message=message, parent_commit=head)
    return str(made.oid)


def _content(repository: Repository, commit: str, name: str) -> bytes:
    """Return a small file of a model's repository."""
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(repository.name, name, revision=commit)).read_bytes()


@contextmanager
def _in_words(repository: Repository) -> Iterator[None]:
    """Turn what the hub's client raises into words for the user."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise _gated(repository) from error
    except errors.RevisionNotFoundError as error:
        raise ConfigurationError(
            f"{repository.field}.revision: hf://{repository.name} has no revision {repository.revision!r}"
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise ConfigurationError(
            f"{repository.shown}: no such {repository.kind}, or it is private; check the name, or give a token "
            f"{_token_place(repository)}"
        ) from error
    except errors.HfHubHTTPError as error:
        raise _refusal(repository, error) from error
    except (errors.LocalEntryNotFoundError, errors.HTTPError, ConnectionError) as error:
        offline = "; HF_HUB_OFFLINE is set" if os.environ.get("HF_HUB_OFFLINE") else ""
        raise StepFailed(f"{repository.shown}: {_endpoint()} cannot be reached ({type(error).__name__}){offline}") from error


def _gated(repository: Repository) -> ConfigurationError:
    page = f"{_endpoint()}/{'datasets/' if repository.kind == 'dataset' else ''}{repository.name}"
    return ConfigurationError(
        f"{repository.shown}: gated; accept its licence at {page} and give a token of that account {_token_place(repository)}"
    )


def _refusal(repository: Repository, error: Exception) -> Exception:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return ConfigurationError(
            f"{repository.shown}: the hub refused the token (HTTP {status}); give a valid one {_token_place(repository)}"
        )
    return StepFailed(f"{repository.shown}: the hub answered HTTP {status}")


def _token_place(repository: Repository) -> str:
    if repository.secret:
        return f"in Secret {repository.secret!r}, key HF_TOKEN"
    return (
        f"in a Secret's key HF_TOKEN, named by {repository.field}.secretRef (on a laptop: in the environment variable HF_TOKEN)"
    )


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
