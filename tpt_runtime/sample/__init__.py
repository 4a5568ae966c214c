"""The step that draws samples: prompts in, samples out, through an engine behind one small interface (see `engine.py`)."""
