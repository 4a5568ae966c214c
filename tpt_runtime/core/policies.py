"""The rules about how many samples a question gets and which of them are kept; they belong to `rules.py`."""

from tpt_runtime.core.choices import Keep, PromptMode, Strategy
from tpt_runtime.core.rule import Fragment, Rule, at
from tpt_runtime.core.verifier_rules import IN_THE_PRUNE_STEP


def cap(share: float, most: int) -> Fragment:
    """Return an entry of difficultyCaps."""
    return {"solvedUpTo": share, "maxExamples": most}


POLICY_RULES = (
    Rule(
        path="spec.sampling",
        check=lambda sampling: (
            sampling.rationalization is None or sampling.temperature > 0 or sampling.rationalization.samples_per_prompt == 1
        ),
        cel="!has(self.rationalization) || self.temperature > 0.0 || self.rationalization.samplesPerPrompt == 1",
        message="must be 1 at temperature 0, where all samples of a prompt are the same",
        field_path=".rationalization.samplesPerPrompt",
        accepts=at("spec.sampling", {"temperature": 0, "samplesPerPrompt": 1, "rationalization": {"samplesPerPrompt": 1}}),
        rejects=at("spec.sampling", {"temperature": 0, "samplesPerPrompt": 1, "rationalization": {"samplesPerPrompt": 2}}),
        hint="raise temperature, or set rationalization.samplesPerPrompt: 1",
    ),
    Rule(
        path="spec",
        check=lambda spec: (
            spec.sampling.rationalization is None
            or spec.sampling.rationalization.template is not None
            or spec.dataset.prompt.mode is PromptMode.CHAT
        ),
        cel=(
            "!has(self.sampling.rationalization) || has(self.sampling.rationalization.template)"
            " || self.dataset.prompt.mode == 'Chat'"
        ),
        message="is needed with mode Completion: where in the prompt the hint belongs, only its author knows",
        field_path=".sampling.rationalization.template",
        accepts={"spec": {"sampling": {"rationalization": {}}, "dataset": {"prompt": {"mode": "Chat"}}}},
        rejects={"spec": {"sampling": {"rationalization": {}}, "dataset": {"prompt": {"mode": "Completion"}}}},
        hint="such as 'Hint: the answer is {{ answer }}. {{ prompt }}'",
    ),
    Rule(
        path="spec",
        check=lambda spec: spec.sampling.rationalization is None or spec.pruning.keep is Keep.CORRECT,
        cel="!has(self.sampling.rationalization) || self.pruning.keep == 'Correct'",
        message="needs pruning.keep Correct: a control is not told the answers",
        field_path=".sampling.rationalization",
        accepts={"spec": {"sampling": {"rationalization": {}}, "pruning": {"keep": "Correct"}}},
        rejects={"spec": {"sampling": {"rationalization": {}}, "pruning": {"keep": "Random"}}},
    ),
    Rule(
        path="spec",
        check=lambda spec: spec.sampling.rationalization is None or spec.pruning.verifier.type not in IN_THE_PRUNE_STEP,
        cel="!has(self.sampling.rationalization) || !(self.pruning.verifier.type in ['Code', 'Command'])",
        message="is not for the verifiers Code and Command: what is not solved is found while sampling, where no program is run",
        field_path=".sampling.rationalization",
        accepts={"spec": {"sampling": {"rationalization": {}}, "pruning": {"verifier": {"type": "GSM8KStrict"}}}},
        rejects={"spec": {"sampling": {"rationalization": {}}, "pruning": {"verifier": {"type": "Code"}}}},
        hint="leave rationalization out",
    ),
    Rule(
        path="spec",
        check=lambda spec: spec.sampling.strategy is Strategy.FIXED or spec.pruning.keep is Keep.CORRECT,
        cel="self.sampling.strategy == 'Fixed' || self.pruning.keep == 'Correct'",
        message="must be Fixed unless pruning.keep is Correct: a control's samples must not be stopped by what is correct",
        field_path=".sampling.strategy",
        accepts={"spec": {"sampling": {"strategy": "StopWhenCorrect"}, "pruning": {"keep": "Correct"}}},
        rejects={"spec": {"sampling": {"strategy": "StopWhenCorrect"}, "pruning": {"keep": "Random"}}},
    ),
    Rule(
        path="spec.pruning",
        check=lambda pruning: len({cap.solved_up_to for cap in pruning.difficulty_caps}) == len(pruning.difficulty_caps),
        cel="self.difficultyCaps.all(cap, self.difficultyCaps.exists_one(other, other.solvedUpTo == cap.solvedUpTo))",
        message="each solvedUpTo may stand once",
        field_path=".difficultyCaps",
        accepts=at("spec.pruning", {"difficultyCaps": [cap(0.5, 9), cap(1, 9)]}),
        rejects=at("spec.pruning", {"difficultyCaps": [cap(0.5, 9), cap(0.5, 8)]}),
        hint="give one cap for both",
    ),
)
