"""The set-up: `python3 -m tpt_runtime.setup` checks the machine, then installs TPT into the checkout's .venv.

Standard library only, and nothing newer than Python 3.8 at import, so that an old interpreter gets a sentence
instead of a traceback. `machine` looks; `checks`, `packages`, `profiles` and `recipe` decide (pure functions);
`__main__` acts.

It deliberately never calls sudo, never removes an environment, and never imports the rest of TPT.
"""
