"""Digests and folders of everything that a run makes, computed from its spec alone.

A digest covers the settings that determine results, chained through what a step builds on (as in a Merkle tree). So where an
artifact lies is known before it exists, and again after the status was lost. What is mutable (shards, nodes, micro batches,
secrets) is in none.
"""

import hashlib
import json
from typing import Any

from tpt_runtime.core import layout
from tpt_runtime.core.choices import Strategy, TrainData, TrainFrom
from tpt_runtime.core.model import fixed_settings
from tpt_runtime.core.spec import Spec


def digest_of(*parts: Any) -> str:
    """Return the first 16 hex digits of the SHA-256 of the canonical JSON of `parts`."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Paths:
    """Digests and folders of everything that a run will make, from its spec alone."""

    def __init__(self, spec: Spec) -> None:
        """Chain from `spec`."""
        self.spec = spec
        verifier = fixed_settings(spec.pruning.verifier)
        self.prepare = digest_of(
            "prepare",
            fixed_settings(spec.model),
            fixed_settings(spec.dataset),
            verifier.get("type"),
            spec.sampling.seed,
            spec.sampling.max_tokens,
            *([{"hint": spec.sampling.rationalization.template}] if spec.sampling.rationalization else []),
        )
        self._verifier = verifier
        self._models = {0: self.prepare}

    def model(self, number: int) -> str:
        """Return the digest of model `number`; 0 is the base model."""
        for n in range(len(self._models), number + 1):
            self._models[n] = self.train(n)
        return self._models[number]

    def sample(self, number: int) -> str:
        """Return the digest of round `number`'s training samples."""
        settings = [fixed_settings(self.spec.sampling), *([self._enough()] if self.sample_is_graded else [])]
        return digest_of("sample", self.model(number - 1), self.prepare, number, *settings)

    @property
    def sample_is_graded(self) -> bool:
        """Whether samples are graded as they are drawn, so that they hang on what pruning would keep."""
        return self.spec.sampling.strategy is not Strategy.FIXED or self.spec.sampling.rationalization is not None

    def _enough(self) -> dict[str, Any]:
        """Return the settings of pruning by which a prompt has enough samples."""
        pruning = fixed_settings(self.spec.pruning)
        deciding = ("verifier", "maxCorrectPerPrompt", "deduplicate", "checkArithmetic")
        return {name: value for name, value in pruning.items() if name in deciding}

    def evaluate(self, number: int) -> str:
        """Return the digest of the evaluation samples of model `number`."""
        evaluation = fixed_settings(self.spec.evaluation)
        drawn = {key: value for key, value in evaluation.items() if key not in ("k", "everyRounds")}
        sampling = self.spec.sampling
        shared = [sampling.engine.value, sampling.max_tokens, sampling.stop, sampling.seed]
        return digest_of("evaluate", self.model(number), self.prepare, drawn, shared)

    def grade(self, number: int) -> str:
        """Return the digest of the grades of model `number`."""
        return digest_of("grade", self.evaluate(number), self._verifier, sorted(self.spec.evaluation.k))

    def prune(self, number: int) -> str:
        """Return the digest of round `number`'s training set."""
        return digest_of("prune", self.sample(number), fixed_settings(self.spec.pruning))

    def train(self, number: int) -> str:
        """Return the digest of the training that makes model `number`."""
        training = self.spec.training
        data = [self.prune(n) for n in self.trained_on(number)]
        return digest_of("train", self.model(self.trained_from(number)), data, fixed_settings(training))

    def trained_from(self, number: int) -> int:
        """Return the number of the model that round `number` starts its training from."""
        return 0 if self.spec.training.from_ is TrainFrom.BASE else number - 1

    def trained_on(self, number: int) -> range:
        """Return the rounds whose examples round `number` trains on."""
        return range(1 if self.spec.training.data is TrainData.ACCUMULATED else number, number + 1)

    def sample_dir(self, number: int) -> str:
        """Return the folder of round `number`'s training samples."""
        return layout.step_dir(number, "sample", self.sample(number))

    def evaluate_dir(self, number: int) -> str:
        """Return the folder of the evaluation samples of model `number`."""
        return layout.step_dir(number, "evaluate", self.evaluate(number))

    def grade_dir(self, number: int) -> str:
        """Return the folder of the grades of model `number`."""
        return layout.step_dir(number, "grade", self.grade(number))

    def prune_dir(self, number: int) -> str:
        """Return the folder of round `number`'s training set."""
        return layout.step_dir(number, "prune", self.prune(number))

    def train_dir(self, number: int) -> str:
        """Return the folder of the training that makes model `number`."""
        return layout.step_dir(number, "train", self.train(number))

    def model_dir(self, number: int) -> str:
        """Return the folder of model `number`, below the run's root.

        Of a local base model it is `prepare-DIGEST/model`, a link that prepare puts there, so that nobody else resolves URIs.
        """
        return f"{layout.prepare_dir(self.prepare)}/model" if number == 0 else layout.model_dir(self.train_dir(number))

    def prompts(self, *sets: str) -> dict[str, str]:
        """Return the prepared prompt files of `sets`, those that the spec has."""
        present = [name for name in sets if name != "eval" or self.spec.dataset.eval is not None]
        return {name: layout.prompts_file(self.prepare, name) for name in present}

    def artifacts(self, number: int) -> dict[str, str]:
        """Return the folders of round `number` by kind."""
        folders = {"evaluate": self.evaluate_dir(number), "grade": self.grade_dir(number), "model": self.model_dir(number)}
        if number:
            folders |= {
                "sample": self.sample_dir(number),
                "prune": self.prune_dir(number),
                "train": self.train_dir(number),
            }
        return folders
