"""When do two solutions of one question count as the same?

Pure: text in, a key out. Who asks is the prune step, which keeps none twice, and a sampling that stops once it has enough.
"""

import re

from tpt_runtime.core.choices import Deduplicate

NUMBERS = "0123456789.,+-*/×÷()$% \t"
"""What the left side of an equation is made of; it stands on one line."""
RIGHT_SIDE = re.compile(r"=[ \t]*\$?-?[\d.,]*\d")
SAME = str.maketrans({"×": "*", "÷": "/", "$": "", " ": "", "\t": ""})
"""Ways of writing that do not make another equation."""


def likeness(text: str, how: Deduplicate, index: int) -> str:
    """Return the key under which samples of one prompt count as the same.

    Text: white space normalised. Equations: the list of equations in order, as in RFT (arXiv 2308.01825); a text
    without any is compared as text. None: never the same.
    """
    if how is Deduplicate.NONE:
        return str(index)
    if how is Deduplicate.EQUATIONS and (found := equations(text)):
        return "\n".join(found)
    return " ".join(text.split())


def equations(text: str) -> list[str]:
    """Return the equations of `text` in order, without spaces and currency: arithmetic, an equals sign, a number.

    It takes time in proportion to the text: a regular expression for the left side takes that cubed, and a model that repeats one
    digit until its limit writes just such a text.
    """
    found: list[str] = []
    end = 0
    for right in RIGHT_SIDE.finditer(text):
        before = text[end : right.start()]
        left = before[len(before.rstrip(NUMBERS)) :]
        end = right.start() + 1
        if any(map(str.isdigit, left)):
            found.append((left + right[0]).translate(SAME).lstrip(".,"))
            end = right.end()
    return found
