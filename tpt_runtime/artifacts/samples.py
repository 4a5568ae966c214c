"""Reading the samples of one part: all shards together, each prompt once, none missing.

A shard's manifest (`shard-00000-of-00004.manifest.json`) lists the chunk files that cover its share of the prompts.
"""

from collections.abc import Iterator, Set
from pathlib import Path

from tpt_runtime.artifacts.files import read_rows
from tpt_runtime.artifacts.manifest import verified
from tpt_runtime.core.errors import ArtifactError
from tpt_runtime.core.layout import MANIFEST
from tpt_runtime.core.rows import SampledPrompt


def chunk_files(folder: Path, digest: str) -> list[Path]:
    """Return the chunk files that the shards' manifests list, after comparing sizes and hashes.

    Raises:
        ArtifactError: no shard has ended, or one does not fit its manifest.
    """
    manifests = sorted(folder.glob(f"shard-*.{MANIFEST}"))
    if not manifests:
        raise ArtifactError(f"{folder}: no shard has ended; the sample step has to run again")
    files: dict[Path, None] = {}
    for manifest in manifests:
        for name in verified(folder, digest, manifest.name).files:
            files[folder / name] = None
    return list(files)


def read_samples(files: list[Path], prompts: Set[str]) -> Iterator[SampledPrompt]:
    """Yield the samples of every prompt once, in the order of the files.

    A prompt that two attempts sampled has the same samples in both, since seeds hang on the prompt: the first is taken.

    Raises:
        ArtifactError: a prompt has no samples.
    """
    missing = set(prompts)
    for file in files:
        for row in read_rows(file):
            if row["id"] in missing:
                missing.remove(row["id"])
                yield row
    if missing:
        raise ArtifactError(
            f"{files[0].parent}: {len(missing)} of {len(prompts)} prompts have no samples, such as {min(missing)}; "
            "the sample step has to run again"
        )
