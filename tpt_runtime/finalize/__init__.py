"""The last step: the report, the model card, and which models stay on the storage."""
