"""Verifiers: is the final answer of a solution the reference answer?

`protocol` says what a verifier is and hands one out by name; `pool` grades streams of solutions under a time limit; `passk`
turns verdicts into pass@k with intervals; `traces` grades a file. Verdicts only: what is kept for training is decided by the
prune step.
"""
