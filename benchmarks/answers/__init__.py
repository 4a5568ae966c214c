"""What `benchmarks.verify` measures: labelled answers, the verifiers that are compared, and their speed."""
