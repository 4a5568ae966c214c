"""What a sample step leaves behind, made by hand: prompts, samples, manifests."""

import json
from pathlib import Path
from typing import Any

from tests.steps.conftest import write_jsonl
from tpt_runtime.artifacts.manifest import write_manifest
from tpt_runtime.core.commands import Commands

END = 1


def sample(index: int, text: str, finish: str = "stop") -> dict[str, Any]:
    ids = [10, *range(20, 20 + len(text.split())), *([END] if finish == "stop" else [])]
    return {"index": index, "text": text, "ids": ids, "tokens": len(ids), "finish": finish, "logprob": -0.5}


def prompts(root: Path, commands: Commands, name: str, answers: dict[str, str]) -> None:
    rows = [
        {"id": key, "question": f"question {key}", "prompt": key, "promptIds": [0, 5], "reference": f"#### {answer}"}
        for key, answer in answers.items()
    ]
    path = root / commands.paths.prompts(name)[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_jsonl(path, rows)


def samples(folder: Path, digest: str, data_set: str, texts: dict[str, list[Any]], shards: int = 1) -> None:
    """Write what a sample step leaves: a chunk and a manifest for each shard."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        rows = []
        for key in list(texts)[shard::shards]:
            made = [sample(i, *text) if isinstance(text, tuple) else sample(i, text) for i, text in enumerate(texts[key])]
            rows.append({"id": key, "set": data_set, "samples": made})
        chunk = folder / f"chunk-{data_set}-{shard}.jsonl"
        write_jsonl(chunk, rows)
        name = f"shard-{shard:05d}-of-{shards:05d}.manifest.json"
        write_manifest(folder, digest, summary={}, name=name, files=[chunk])


def rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of `path`."""
    return [json.loads(line) for line in path.read_text().splitlines()]
