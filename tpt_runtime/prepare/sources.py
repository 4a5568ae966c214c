"""Where model and data come from: every kind of URI becomes a local folder, or rows."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tpt_runtime.artifacts import hub
from tpt_runtime.artifacts.downloads import download_object, download_prefix
from tpt_runtime.artifacts.objects import ObjectUri
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.core.spec import Dataset, DataSource, ModelSource
from tpt_runtime.prepare.tables import Row, read_table

WAY_OUT = "; a path without a scheme counts from the root of the storage, which with `tpt run` is the work folder"
DEFAULT_SPLITS = {"train": "train", "validation": "validation", "eval": "test"}


def local_path(uri: str, storage: Path) -> Path:
    """Return the path of a file:// URI or of a path relative to the storage's root."""
    return Path(uri.removeprefix("file://")) if uri.startswith("file://") else storage / uri


def data_sources(dataset: Dataset) -> dict[str, DataSource]:
    """Return the data sets that are read, by name; a validation set that is held out of train is not among them."""
    sources = {"train": dataset.train}
    validation = dataset.validation
    if validation.uri is not None:
        sources["validation"] = DataSource(
            uri=validation.uri,
            revision=validation.revision,
            config=validation.config,
            split=validation.split,
            prompt_field=validation.prompt_field or dataset.train.prompt_field,
            answer_field=validation.answer_field or dataset.train.answer_field,
            secret_ref=validation.secret_ref,
        )
    if dataset.eval is not None:
        sources["eval"] = dataset.eval
    return sources


@dataclass
class Sources:
    """Fetches what a run names, and keeps which commits that was."""

    storage: str
    """What URIs without a scheme count from: a folder, or an s3:// URI."""
    downloads: Path
    """Folder for what is remote; a download that was cut off goes on there."""
    secret: str | None = None
    """Name of the Secret with the storage's keys, which serve for sources without one of their own."""
    revisions: dict[str, str] = field(default_factory=dict)
    """Commits by name: model, train, validation, eval."""

    def model_folder(self, source: ModelSource) -> tuple[Path, bool]:
        """Return the base model's folder, and whether it was downloaded (into one of its own in `downloads`)."""
        if name := hub.repository_name(source.uri):
            secret = source.secret_ref.name if source.secret_ref else None
            repository = hub.Repository("model", name, "spec.model", source.revision, secret)
            commit = self.revisions["model"] = hub.resolve(repository)
            target = self.downloads / f"model-{commit}"  # two commits must not mix where a branch moves between attempts
            hub.download_model(repository, commit, target)
            return target, True
        uri = self._located(source.uri)
        if uri.startswith("s3://"):
            target = self.downloads / "model"
            download_prefix(self._object("spec.model", uri, source), target)
            return target, True
        return local_path(uri, Path(self.storage)), False

    def rows(self, name: str, source: DataSource) -> Iterator[Row]:
        """Yield the rows of the data set `name`."""
        where = f"spec.dataset.{name}"
        if repository_name := hub.repository_name(source.uri):
            yield from self._hub_rows(name, repository_name, source)
            return
        uri = self._located(source.uri)
        path = local_path(uri, Path(self.storage))
        if uri.startswith("s3://"):
            path = self.downloads / f"{name}-{Path(uri).name}"
            download_object(self._object(where, uri, source), path)
        elif "://" in uri.removeprefix("file://"):
            raise ConfigurationError(f"{where}.uri: {source.uri!r}; expected hf://, s3://, file:// or a relative path")
        if not path.exists():
            raise ConfigurationError(f"{where}.uri: {source.uri}: no such file (looked at {path}){WAY_OUT}")
        yield from read_table(path, source.uri)

    def _located(self, uri: str) -> str:
        """Return a URI with a scheme where the storage is an object store."""
        return f"{self.storage}/{uri}" if self.storage.startswith("s3://") and "://" not in uri else uri

    def _object(self, where: str, uri: str, source: ModelSource | DataSource) -> ObjectUri:
        return ObjectUri.parse(f"{where}.uri", uri, source.secret_ref.name if source.secret_ref else self.secret)

    def _hub_rows(self, name: str, repository_name: str, source: DataSource) -> Iterator[Row]:
        secret = source.secret_ref.name if source.secret_ref else None
        repository = hub.Repository("dataset", repository_name, f"spec.dataset.{name}", source.revision, secret)
        self.revisions[name] = hub.resolve(repository)
        split = source.split or DEFAULT_SPLITS[name]
        for number, fields in enumerate(hub.dataset_rows(repository, self.revisions[name], source.config, split), 1):
            yield Row(f"{source.uri} ({split}), row {number}", fields)
