"""The step that grades samples, measures models by them, and keeps what is to be trained on."""
