"""The first step: model and data are resolved, copied, checked, rendered and tokenized, before any GPU is asked for."""
