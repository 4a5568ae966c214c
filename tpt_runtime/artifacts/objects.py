"""Objects of S3 and its like, by obstore: endpoint, region and keys come from the environment (AWS_*) or the machine's identity.

Files go up and come down in pieces, several at a time. An object appears whole or not at all; a file first has another name, so
that a cut-off copy is never taken for a whole one. What the store refuses is said in words. Nothing here knows of manifests.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tpt_runtime.artifacts.files import storage_errors
from tpt_runtime.core.errors import ConfigurationError, StepFailed

PARALLEL = 8
"""Files or pieces under way at a time."""
PIECE = 16 << 20
"""Bytes of a piece."""
MOST_PIECES = 9000
"""Of one object; S3 takes 10,000."""
RETRIES = {
    "max_retries": 8,
    "retry_timeout": timedelta(seconds=120),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=4), "base": 2},
}
"""Of one request, inside the library; what fails after that fails the step, which is tried again as a whole."""


@dataclass(frozen=True)
class ObjectUri:
    """An s3:// URI, and the field of the spec that it stands in."""

    field: str
    bucket: str
    key: str
    secret: str | None = None
    """Name of the Secret that the keys come from, for messages."""

    @classmethod
    def parse(cls, field: str, uri: str, secret: str | None = None) -> "ObjectUri":
        """Split `s3://BUCKET/KEY`.

        Raises:
            ConfigurationError: no bucket or no key.
        """
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if not bucket or not key.strip("/"):
            raise ConfigurationError(f"{field}: {uri!r}; expected s3://BUCKET/KEY")
        return cls(field, bucket, key.strip("/"), secret)

    @property
    def shown(self) -> str:
        """Return how errors call it."""
        return f"{self.field}: {self}"

    def __str__(self) -> str:
        """Return the URI."""
        return f"s3://{self.bucket}/{self.key}"

    def key_of(self, name: str) -> str:
        """Return the key of what is called `name` below this one; it itself has no name."""
        return f"{self.key}/{name}" if name else self.key


@dataclass(frozen=True)
class Entry:
    """One object as it is now."""

    size: int
    tag: str
    """Another one whenever it is written."""
    modified: float
    """Seconds since the epoch."""


def ask_nobody() -> None:
    """Let a transfer go on to its end."""


class Objects:
    """The objects below one URI, by name relative to it."""

    def __init__(self, uri: ObjectUri, check: Callable[[], None] = ask_nobody) -> None:
        """Nothing is asked of the store yet; `check` is called between the pieces of a download, and may raise."""
        self.uri = uri
        self._check = check
        self._store = _store(uri.bucket)

    def touch(self) -> None:
        """Ask for a first object, to see whether the store answers.

        Raises:
            ConfigurationError: there is no such bucket, or access is refused.
            StepFailed: the store cannot be reached.
        """
        import obstore

        with self._in_words():
            next(iter(obstore.list(self._store, prefix=self.uri.key, chunk_size=1)), None)

    def list(self, below: str = "") -> dict[str, Entry]:
        """Return the objects below the folder `below`, by name."""
        import obstore

        with self._in_words():
            pages = obstore.list(self._store, prefix=self.uri.key_of(below))
            found = {meta["path"]: _entry(meta) for page in pages for meta in page}
        return {path.removeprefix(self.uri.key).strip("/"): entry for path, entry in found.items()}

    def stat(self, name: str = "") -> Entry | None:
        """Return one object as it is now, None if it is not there."""
        import obstore

        with self._in_words():
            try:
                return _entry(obstore.head(self._store, self.uri.key_of(name)))
            except FileNotFoundError:
                return None

    def read(self, name: str) -> bytes | None:
        """Return the content of a small object, None if it is not there."""
        import obstore

        with self._in_words():
            try:
                return bytes(obstore.get(self._store, self.uri.key_of(name)).bytes())
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

    def write(self, name: str, data: bytes) -> None:
        """Put a small object, over one that may be there."""
        import obstore

        with self._in_words():
            obstore.put(self._store, self.uri.key_of(name), data)

    def write_new(self, name: str, data: bytes) -> bool:
        """Put a small object unless there is one; return whether this one is there now."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self._in_words():
            try:
                obstore.put(self._store, self.uri.key_of(name), data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def upload(self, path: Path, name: str) -> str:
        """Put the file `path`, over what may be there, and return the object's tag."""
        import obstore

        piece = max(PIECE, -(-path.stat().st_size // MOST_PIECES))
        with self._in_words():
            put = obstore.put(self._store, self.uri.key_of(name), path, chunk_size=piece, max_concurrency=PARALLEL // 2)
        return str(put["e_tag"])

    def download(self, wanted: Iterable[tuple[str, Entry, Path]]) -> None:
        """Copy objects to files, each as its entry says; a copy has its name only once it is whole, and the object's date."""
        copies = [(name, entry, target, _partial(target)) for name, entry, target in wanted]
        for _, entry, target, partial in copies:
            with storage_errors(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                with partial.open("wb") as file:
                    file.truncate(entry.size)
        pieces = [(name, entry, partial, begin) for name, entry, _, partial in copies for begin in range(0, entry.size, PIECE)]
        try:
            in_parallel(self._fetch, pieces)
            for _, entry, target, partial in copies:
                with storage_errors(target):
                    os.utime(partial, (entry.modified, entry.modified))
                    partial.replace(target)
        finally:
            for _, _, _, partial in copies:
                partial.unlink(missing_ok=True)

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; one that is not there is none too many."""
        import obstore

        keys = [self.uri.key_of(name) for name in names]
        if keys:
            with self._in_words():
                obstore.delete(self._store, keys)

    def _fetch(self, piece: tuple[str, Entry, Path, int]) -> None:
        """Copy one piece of an object to its place in a file, if the object still is what it was."""
        import obstore

        name, entry, partial, begin = piece
        self._check()
        end = min(begin + PIECE, entry.size)
        with self._in_words():
            found = obstore.get(self._store, self.uri.key_of(name), options={"range": (begin, end), "if_match": entry.tag})
            data = found.bytes()
        with storage_errors(partial), partial.open("r+b") as file:
            file.seek(begin)
            file.write(data)

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """Turn what the store raises into words for the user."""
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError as error:
            raise ConfigurationError(f"{self.uri.shown}: no such object or bucket") from error
        except BaseError as error:
            raise _told(self.uri, str(error)) from error


def in_parallel(work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Do `work` on all items, a few at a time, and return the results; the first failure is raised, and no more begun."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(work, items))


def _partial(target: Path) -> Path:
    # No two processes share a name: several of one node may fetch the same.
    return target.with_name(f".{target.name}.{os.getpid()}-{os.urandom(4).hex()}.partial")


def _entry(meta: Mapping[str, Any]) -> Entry:
    return Entry(meta["size"], str(meta["e_tag"]), meta["last_modified"].timestamp())


def _store(bucket: str) -> Any:
    from obstore.store import S3Store

    endpoint = _endpoint()
    plain = {"allow_http": True} if (endpoint or "").startswith("http://") else {}
    extra = {"endpoint": endpoint} if endpoint else {}
    return S3Store(bucket, **extra, client_options=plain, retry_config=RETRIES)


def _told(uri: ObjectUri, text: str) -> ConfigurationError | StepFailed:
    """Return what to raise where the store answered `text`: of it only the code is repeated, as the rest may name keys."""
    code = re.search(r"<Code>(\w+)</Code>", text)
    answer = code[1] if code else " ".join(text.partition("<")[0].partition("Debug source")[0].split())[:200]
    where = f"{uri.field.removesuffix('.uri')}.secretRef"
    if "169.254." in text:
        return StepFailed(
            f"{uri.shown}: there are neither keys (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of a Secret that {where} names) "
            "nor an identity of this machine that answers"
        )
    if "NoSuchBucket" in text:
        return ConfigurationError(f"{uri.shown}: there is no bucket {uri.bucket!r} (asked {_asked()}); make it, or name another")
    if "403 Forbidden" in text or "401 Unauthorized" in text:
        place = f"in Secret {uri.secret!r}" if uri.secret else f"of the Secret that {where} names, or the machine's identity"
        return ConfigurationError(
            f"{uri.shown}: access refused ({answer}); check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY {place}"
        )
    if "redirect" in text.lower():
        return ConfigurationError(f"{uri.shown}: the bucket is in another region than AWS_REGION says ({answer})")
    if "error sending request" in text:
        return StepFailed(f"{uri.shown}: {_asked()} cannot be reached (AWS_ENDPOINT_URL says where the object store is)")
    return StepFailed(f"{uri.shown}: the object store failed: {answer}")


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")


def _asked() -> str:
    """Return where the store is, for messages: host and port only, as a URL may hold more than is to be shown."""
    return urlsplit(_endpoint() or "//Amazon S3").netloc.rpartition("@")[2]
