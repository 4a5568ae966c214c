"""Where model and data come from: every kind of URI becomes a local folder, or rows."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tpt_runtime.artifacts import hub
from tpt_runtime.artifacts.objects import ObjectUri, download_object, download_prefix
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

    storage: Path
    downloads: Path
    """Folder for what is remote; a download that was cut off goes on there."""
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
        if source.uri.startswith("s3://"):
            target = self.downloads / "model"
            download_prefix(ObjectUri.parse("spec.model.uri", source.uri), target)
            return target, True
        return local_path(source.uri, self.storage), False

    def rows(self, name: str, source: DataSource) -> Iterator[Row]:
        """Yield the rows of the data set `name`."""
        where = f"spec.dataset.{name}"
        if repository_name := hub.repository_name(source.uri):
            yield from self._hub_rows(name, repository_name, source)
            return
        path = local_path(source.uri, self.storage)
        if source.uri.startswith("s3://"):
            path = self.downloads / f"{name}-{Path(source.uri).name}"
            download_object(ObjectUri.parse(f"{where}.uri", source.uri), path)
        elif "://" in source.uri.removeprefix("file://"):
            raise ConfigurationError(f"{where}.uri: {source.uri!r}; expected hf://, s3://, file:// or a relative path")
        if not path.exists():
            raise ConfigurationError(f"{where}.uri: {source.uri}: no such file (looked at {path}){WAY_OUT}")
        yield from read_table(path, source.uri)

    def _hub_rows(self, name: str, repository_name: str, source: DataSource) -> Iterator[Row]:
        secret = source.secret_ref.name if source.secret_ref else None
        repository = hub.Repository("dataset", repository_name, f"spec.dataset.{name}", source.revision, secret)
        self.revisions[name] = hub.resolve(repository)
        split = source.split or DEFAULT_SPLITS[name]
        for number, fields in enumerate(hub.dataset_rows(repository, self.revisions[name], source.config, split), 1):
            yield Row(f"{source.uri} ({split}), row {number}", fields)
