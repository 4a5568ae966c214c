"""How a run is shown to people: a table in the terminal, a self-contained page, a model card."""
