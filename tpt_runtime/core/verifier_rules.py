"""The rules of the verifier's part of a spec (see `rules`, which has them all)."""

from tpt_runtime.core.choices import Protection, Strategy, VerifierType
from tpt_runtime.core.rule import Rule, at

IN_THE_PRUNE_STEP = (VerifierType.CODE, VerifierType.COMMAND)
"""Verifiers that run programs: in the prune step only."""

VERIFIER_RULES = (
    Rule(
        path="spec.pruning.verifier",
        check=lambda verifier: verifier.code is None or verifier.type is VerifierType.CODE,
        cel="!has(self.code) || self.type == 'Code'",
        message="code is for type Code only",
        field_path=".code",
        accepts=at("spec.pruning.verifier", {"type": "Code", "code": {"memoryMebibytes": 256}}),
        rejects=at("spec.pruning.verifier", {"type": "Math", "code": {"memoryMebibytes": 256}}),
        hint="set type: Code, or leave code out",
    ),
    Rule(
        path="spec.pruning.verifier",
        check=lambda verifier: (verifier.command is not None) == (verifier.type is VerifierType.COMMAND),
        cel="has(self.command) == (self.type == 'Command')",
        message="command goes with type Command, and type Command with command",
        field_path=".command",
        accepts=at("spec.pruning.verifier", {"type": "Command", "command": {"argv": ["verify"]}}),
        rejects=at("spec.pruning.verifier", {"type": "Command"}),
        hint="command: {argv: [PROGRAM, ARGUMENT, ...]} names the program that gives the verdicts",
    ),
    Rule(
        path="spec.pruning.verifier",
        check=lambda verifier: verifier.sandbox is Protection.REQUIRED or verifier.type is VerifierType.CODE,
        cel="self.sandbox == 'Required' || self.type == 'Code'",
        message="only type Code runs programs that were generated, so only it has a sandbox",
        field_path=".sandbox",
        accepts=at("spec.pruning.verifier", {"type": "Code", "sandbox": "BestEffort"}),
        rejects=at("spec.pruning.verifier", {"type": "Math", "sandbox": "BestEffort"}),
        hint="leave sandbox out",
    ),
    Rule(
        path="spec.pruning",
        check=lambda pruning: not pruning.check_arithmetic or pruning.verifier.type not in IN_THE_PRUNE_STEP,
        cel="!self.checkArithmetic || !(self.verifier.type in ['Code', 'Command'])",
        message="must be false with the verifiers Code and Command: only in solutions in prose do equations mean what they say",
        field_path=".checkArithmetic",
        accepts=at("spec.pruning", {"checkArithmetic": False, "verifier": {"type": "Code"}}),
        rejects=at("spec.pruning", {"checkArithmetic": True, "verifier": {"type": "Code"}}),
        hint="leave checkArithmetic out",
    ),
    Rule(
        path="spec",
        check=lambda spec: spec.sampling.strategy is Strategy.FIXED or spec.pruning.verifier.type not in IN_THE_PRUNE_STEP,
        cel="self.sampling.strategy == 'Fixed' || !(self.pruning.verifier.type in ['Code', 'Command'])",
        message="must be Fixed with the verifiers Code and Command: they run programs, which only the prune step does",
        field_path=".sampling.strategy",
        accepts={"spec": {"sampling": {"strategy": "Fixed"}, "pruning": {"verifier": {"type": "Code"}}}},
        rejects={"spec": {"sampling": {"strategy": "StopWhenCorrect"}, "pruning": {"verifier": {"type": "Code"}}}},
        hint="leave strategy out",
    ),
)
