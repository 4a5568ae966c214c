"""Objects of S3 and its like, by obstore: endpoint, region and keys come from the environment (AWS_*) or the machine's identity.

Files come down in parallel, each first under another name, so that a cut-off copy is never taken for a whole one.
"""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tpt_runtime.core.errors import ConfigurationError, StepFailed

PARALLEL = 8


@dataclass(frozen=True)
class ObjectUri:
    """An s3:// URI, and the field of the spec that it stands in."""

    field: str
    bucket: str
    key: str

    @classmethod
    def parse(cls, field: str, uri: str) -> "ObjectUri":
        """Split `s3://BUCKET/KEY`.

        Raises:
            ConfigurationError: no bucket or no key.
        """
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if not bucket or not key.strip("/"):
            raise ConfigurationError(f"{field}: {uri!r}; expected s3://BUCKET/KEY")
        return cls(field, bucket, key.strip("/"))

    @property
    def shown(self) -> str:
        """Return how errors call it."""
        return f"{self.field}: s3://{self.bucket}/{self.key}"


def download_object(uri: ObjectUri, target: Path) -> None:
    """Copy one object to the file `target`."""
    with _in_words(uri):
        _fetch(_store(uri.bucket), uri.key, target)


def download_prefix(uri: ObjectUri, folder: Path) -> int:
    """Make `folder` a copy of what lies below the prefix, and return how many objects that is.

    What was copied whole before, and has not changed since, is not copied again; what is there no longer is removed.

    Raises:
        ConfigurationError: nothing is there, or access is refused.
        StepFailed: the store failed.
    """
    import obstore

    with _in_words(uri):
        store = _store(uri.bucket)
        entries = [entry for page in obstore.list(store, prefix=uri.key) for entry in page]
        targets = {folder / entry["path"].removeprefix(uri.key).strip("/"): entry for entry in entries}
        targets.pop(folder, None)  # the prefix itself: what some tools make to show an empty folder
        if not targets:
            raise ConfigurationError(f"{uri.shown}: no objects below this prefix")
        for path in folder.rglob("*"):
            if path.is_file() and path not in targets:
                path.unlink()
        missing = [(entry["path"], target) for target, entry in targets.items() if not _is_copy(target, entry)]
        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(lambda item: _fetch(store, *item), missing))
    return len(targets)


def _is_copy(target: Path, entry: Mapping[str, Any]) -> bool:
    """Return whether `target` is a copy of the object as it is now: of its size, and dated like it (see `_fetch`)."""
    if not target.is_file():
        return False
    found = target.stat()
    return bool(found.st_size == entry["size"] and found.st_mtime == entry["last_modified"].timestamp())


def _store(bucket: str) -> Any:
    from obstore.store import S3Store

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    plain = {"allow_http": True} if (endpoint or "").startswith("http://") else {}
    extra = {"endpoint": endpoint} if endpoint else {}
    return S3Store(bucket, **extra, client_options=plain)


def _fetch(store: Any, key: str, target: Path) -> None:
    """Copy one object; the copy has its name only once it is whole, and the date of the object."""
    import obstore

    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    found = obstore.get(store, key)
    with partial.open("wb") as file:
        for chunk in found.stream(min_chunk_size=8 << 20):
            file.write(chunk)
    changed = found.meta["last_modified"].timestamp()
    os.utime(partial, (changed, changed))
    partial.replace(target)


@contextmanager
def _in_words(uri: ObjectUri) -> Iterator[None]:
    """Turn what the store raises into words for the user."""
    from obstore import exceptions

    try:
        yield
    except (exceptions.NotFoundError, FileNotFoundError) as error:
        raise ConfigurationError(f"{uri.shown}: no such object or bucket") from error
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise ConfigurationError(
            f"{uri.shown}: access refused; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the machine's identity"
        ) from error
    except exceptions.BaseError as error:
        raise StepFailed(f"{uri.shown}: the object store failed: {str(error)[:300]}") from error
