"""Near misses: the right number stands in the text, but the text does not answer with it."""

import pytest

from tpt_runtime.core.verdict import Verdict
from tpt_runtime.verify.math import Math

WRONG = Verdict.WRONG
UNPARSEABLE = Verdict.UNPARSEABLE

NEAR_MISSES = [
    ("right only in an intermediate step", "9 * 2 = 18 dollars.\n18 + 2 = 20.\n#### 20", "18", WRONG),
    ("right only in an unmarked intermediate step", "9 * 2 = 18 dollars. So 18 + 2 = 20 dollars.", "18", WRONG),
    ("right only in an intermediate hash line", "#### 18\nTwice that is 36.\n#### 36", "18", WRONG),
    ("right only in an intermediate box", r"\boxed{18} a day, so a week makes \boxed{126}.", "18", WRONG),
    ("right only in an intermediate bold", "She sells **18** eggs. She makes **36** dollars.", "18", WRONG),
    ("right only in bold before the result", "She sells **18** eggs. She makes 36 dollars.", "18", WRONG),
    ("right only in the question", "How much does she make from 18 eggs?", "18", UNPARSEABLE),
    ("right only in the restated question", "Question: she has 18 eggs. How many are left?\nI do not know.", "18", UNPARSEABLE),
    ("one of two with or", "#### 18 or 20", "18", WRONG),
    ("the second of two with or", "#### 20 or 18", "18", WRONG),
    ("one of two with units", "The answer is 18 dollars or 20 dollars.", "18", WRONG),
    ("one of either", "The answer is either 18 or 20.", "18", WRONG),
    ("the second of an unmarked choice", "She makes 20 or 18 dollars.", "18", WRONG),
    ("an end of a range", "#### 18-20", "18", WRONG),
    ("the other end of a range", "#### 16-18", "18", WRONG),
    ("an end of a range in words", "The answer is between 16 and 18.", "18", WRONG),
    ("an end of a range with to", "#### 18 to 20", "18", WRONG),
    ("one of a list", r"\boxed{18, 20}", "18", WRONG),
    ("one of two variables", r"\boxed{x = 20, y = 18}", "18", WRONG),
    ("one of two results", "#### 18 apples and 20 pears", "18", WRONG),
    ("one of two with perhaps", "The answer is 18, or maybe 20.", "18", WRONG),
    ("denied", "The answer is not 18.", "18", UNPARSEABLE),
    ("denied after a result", "9 * 2 = 18. The answer is not 18.", "18", UNPARSEABLE),
    ("denied by a contraction", "The answer isn't 18.", "18", UNPARSEABLE),
    ("denied in favour of another", "The answer is not 18 but 20.", "18", WRONG),
    ("denied behind another", "The answer is 20, not 18.", "18", WRONG),
    ("denied at the hashes", "#### not 18", "18", UNPARSEABLE),
    ("only a bound", "The answer is more than 18.", "18", UNPARSEABLE),
    ("only a bound by a sign", r"\boxed{x > 18}", "18", WRONG),
    ("revised with a mark", "#### 18\nWait, she also eats one.\n#### 16", "18", WRONG),
    ("revised without a mark", "The answer is 18. Wait, that is wrong, it is 9 * 3 = 27.", "18", WRONG),
    ("repeated and then revised", "#### 18\n#### 18\nOops, I forgot the muffins. She makes 16 dollars.", "18", WRONG),
    ("withdrawn", "#### 18\nSorry, that is incorrect.", "18", UNPARSEABLE),
    ("withdrawn by denial", "#### 18\nThe answer is not 18.", "18", UNPARSEABLE),
    ("only a guess", "I thought the answer is 18, but she makes 20 dollars.", "18", WRONG),
    ("only supposed", "If the answer is 18, she sells 9 eggs. She sells 8 eggs.", "18", WRONG),
    ("cut off after an equals sign", "She sells 9 eggs for 2 dollars, 9 * 2 =", "2", UNPARSEABLE),
    ("cut off after an operator", "16 - 3 = 13 eggs, 13 - 4 = 9, 9 *", "9", UNPARSEABLE),
    ("cut off after the mark", "9 * 2 = 18\n####", "18", UNPARSEABLE),
    ("cut off after is", "9 * 2 = 18. So the answer is", "18", UNPARSEABLE),
    ("cut off after the label", "9 * 2 = 18.\n**Answer:**", "18", UNPARSEABLE),
    ("cut off in a box", r"9 * 2 = 18. The answer is \boxed{18", "18", UNPARSEABLE),
    ("cut off in a sentence", "She has 18 eggs and sells them for the", "18", UNPARSEABLE),
    ("cut off in an annotation", "She makes 9 * 2 = $<<9*2=18", "18", UNPARSEABLE),
    ("given up", "9 * 2 = 18, but the answer cannot be determined.", "18", UNPARSEABLE),
    ("unknown at the mark", "9 * 2 = 18\n#### unknown", "18", UNPARSEABLE),
    ("another number of the same digits", "#### 1.8", "18", WRONG),
    ("a thousand times too small", "#### 2.125", "2125", WRONG),
    ("a thousand times too large", "#### 18,000", "18", WRONG),
    ("of the other sign", "#### -18", "18", WRONG),
    ("a rounded third", "#### 0.33", "1/3", WRONG),
    ("nearly equal", "#### 17.999", "18", WRONG),
    ("longer by a digit", "#### 181", "18", WRONG),
    ("a numerator", "#### 18/5", "18", WRONG),
    ("the whole part of a mixed fraction", "#### 18 1/2", "18", WRONG),
    ("a coefficient", r"\boxed{18x}", "18", WRONG),
    ("a factor of a root", r"\boxed{18\sqrt{2}}", "18", WRONG),
    ("a factor of pi", r"The answer is $18\pi$.", "18", WRONG),
    ("a base", r"\boxed{18^2}", "18", WRONG),
    ("half past", "#### 5:30 PM", "5", WRONG),
    ("part of a date", "#### 3/4/2024", "3/4", WRONG),
    ("a step's number", "She sells 9 eggs.\n#### Step 18", "18", WRONG),
    ("a list number only", "18. She sells the eggs", "18", UNPARSEABLE),
    ("an ordinal", "She comes on the 18th day.", "18", UNPARSEABLE),
    ("part of a word", "She uses model X18 today", "18", UNPARSEABLE),
    ("only compared with", "Bob has 5 more than 18.", "18", WRONG),
    ("of a made-up next question", "#### 5\n\nQ: Tom sells 9 eggs for 2 dollars.\nA: 9 * 2 = 18\n#### 18", "18", WRONG),
    ("of a made-up next question without marks", "She has 5 eggs.\n\nQuestion: Tom sells 9 eggs.\nHe makes 18", "18", WRONG),
    ("two percentages apart", "#### 0.5%", "50%", WRONG),
    ("empty", "", "18", UNPARSEABLE),
    ("blank", " \n \n", "18", UNPARSEABLE),
    ("words only", "I like eggs.", "18", UNPARSEABLE),
    ("an empty box", r"\boxed{}", "18", UNPARSEABLE),
    ("a box of words", r"18 eggs, so \boxed{\text{no solution}}", "18", WRONG),
    ("an expression of another value", r"\boxed{9 \cdot 3}", "18", WRONG),
    ("an unequal check", "The answer is 18/0.", "18", WRONG),
    ("a difference of the reference", "#### 18 - 20", "18", WRONG),
]


@pytest.mark.parametrize(
    ("solution", "reference", "verdict"), [row[1:] for row in NEAR_MISSES], ids=[row[0] for row in NEAR_MISSES]
)
def test_an_answer_that_is(solution: str, reference: str, verdict: Verdict) -> None:
    assert Math().grade(solution, reference).verdict is verdict
