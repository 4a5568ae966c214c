"""Where a run's artifacts are at home: a folder, or an object store of which a folder of this machine is the cache (`mirror`).

A step reads and writes in a folder in both cases. Before it reads what another step wrote it has it fetched; once something of
its own is complete it has it kept. Where home is that folder itself, there is nothing to do for either.
"""

import shutil
from pathlib import Path

from tpt_runtime.artifacts.files import publish_folder, write_json
from tpt_runtime.artifacts.manifest import Manifest, finished, read_manifest
from tpt_runtime.artifacts.objects import Objects
from tpt_runtime.core.layout import MANIFEST


class Storage:
    """A folder that is home itself: a claim that is mounted, or a work folder. Every path below is one in that folder."""

    objects: Objects | None = None
    """What is at home, where that is an object store."""

    def shown(self, text: str) -> str:
        """Return a message with paths as the user knows them."""
        return text

    def finished(self, folder: Path, digest: str, name: str = MANIFEST) -> Manifest | None:
        """Return the manifest of work already done with this very configuration, or None; its files need not be here.

        Raises:
            ArtifactError: the manifest is of another configuration, or a listed file is missing or of another size.
        """
        return finished(folder, digest, name)

    def manifest(self, folder: Path, name: str = MANIFEST) -> Manifest | None:
        """Return a manifest, and have it here; None if it is not at home."""
        return read_manifest(folder, name)

    def fetch(self, folder: Path, *below: str, name: str = MANIFEST) -> None:
        """Have the artifact `folder` here, or what lies at `below` in it, as its manifest says.

        Raises:
            ArtifactError: it is not complete, or what is there is not what its manifest says.
        """

    def fetch_samples(self, folder: Path, pattern: str) -> None:
        """Have all shards' samples here, with their manifests, which fit `pattern`."""

    def fetch_files(self, folder: Path, pattern: str) -> None:
        """Have the files here that lie in `folder` and fit `pattern`; whether they are sound is the reader's to see."""

    def keep(self, path: Path) -> None:
        """Keep one file, which is complete and will not change."""

    def publish(self, partial: Path, final: Path, manifest: Manifest) -> Manifest:
        """Let `partial`, an artifact with its manifest, become `final`; return the manifest that is in force then.

        It is another's where another attempt has ended the same work before.
        """
        publish_folder(partial, final)
        return self.complete(final, manifest)

    def complete(self, folder: Path, manifest: Manifest) -> Manifest:  # noqa: ARG002 - it is in its place
        """Keep the files that `manifest`, written in `folder`, lists, then it; return the manifest that is in force then."""
        return manifest

    def conclude(self, folder: Path, name: str, manifest: Manifest) -> Manifest:  # noqa: ARG002 - it is in its place
        """Keep a manifest whose files are kept already; return the manifest that is in force then."""
        return manifest

    def rewrite(self, folder: Path, manifest: Manifest) -> None:
        """Let another manifest take the place of the one in `folder`."""
        write_json(folder / MANIFEST, manifest.wire())

    def holds(self, folder: Path, name: str) -> bool:
        """Return whether the artifact `folder` still has its part `name`."""
        return (folder / name).is_dir()

    def remove(self, folder: Path) -> None:
        """Remove a folder; it is out of its place at once, so that nothing lacks a part."""
        removed = folder.with_name(f"{folder.name}.removed")
        if folder.is_dir():
            folder.replace(removed)
        shutil.rmtree(removed, ignore_errors=True)
