"""Names of Jobs and seeds of prompts: both are pure functions of what they stand for."""

import hashlib

from tpt_runtime.core.status import StepName

JOB_NAME_LENGTH = 52
"""Longest Job name: the pods of an Indexed Job are called NAME-INDEX and get that as a host name (at most 63 characters)."""


def job_name(run: str, uid: str, number: int, step: StepName, attempt: int) -> str:
    """Return the name of the Job of one attempt: a DNS label that begins with a letter, at most 52 characters long.

    Two runs of the same name (one deleted, one new) get different names by their `uid`.
    """
    suffix = f"-{hashlib.sha256(f'{run}/{uid}'.encode()).hexdigest()[:8]}-r{number}-{step.value}-a{attempt}"
    stem = run if run[:1].isalpha() else f"run-{run}"
    return stem[: JOB_NAME_LENGTH - len(suffix)].rstrip("-") + suffix


def prompt_seed(run_seed: int, number: int, purpose: str, prompt_id: str) -> int:
    """Return the 63-bit seed of all samples of one prompt in one round.

    vLLM gives sample i of a request the seed + i, so neighbouring prompts must not get neighbouring seeds: hence a hash.
    It depends on neither shards, order nor resume.
    """
    text = f"{run_seed}/{number}/{purpose}/{prompt_id}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
