"""Near misses: the right number stands in the text, or nearly so, and yet the text does not answer with it.

What a near miss is follows the rules of docs/verification.md. `KNOWN`, `FIRST`, `SECOND` and `HELD_OUT` differ as among the
styles.
"""

from benchmarks.answers.styles import Style, styles

KNOWN: tuple[Style, ...] = (
    *styles(
        "another number",
        ("at hashes", "{body_of_other}\n#### {other}"),
        ("right in the working", "{body}\n#### {other}"),
        ("right in the working, boxed", "{body}\nSo it is $\\boxed{{{other}}}$."),
        ("right in the working, in a sentence", "{body}\nThe answer is {other}."),
        ("right in the working, bold", "{body}\nTherefore they have **{other}**."),
        ("a digit more", "{body}\n#### {n}0"),
        ("ten times too small", "{body}\n#### {tenth}"),
        ("another sign", "{body}\n#### -{n}"),
        ("a half more", "{body}\n#### {n}.5"),
        ("a fraction of it", "{body}\n#### {n}/7"),
    ),
    *styles(
        "an intermediate step",
        ("hashes", "#### {n}\nBut that is only the first part: {n} + {gap_up} = {more}.\n#### {more}"),
        ("unmarked", "{body}\nThen {n} + {gap_up} = {more}, so they have {more}."),
        ("box", "First \\boxed{{{n}}}, and in the end \\boxed{{{more}}}."),
    ),
    *styles(
        "a choice",
        ("or", "{body}\n#### {n} or {other}"),
        ("or, second", "{body}\n#### {other} or {n}"),
        ("either", "{body}\nThe answer is either {n} or {other}."),
        ("range", "{body}\nThe answer is between {n} and {more}."),
        ("list", "{body}\n\\boxed{{{n}, {other}}}"),
        ("two variables", "{body}\n\\boxed{{x = {n}, y = {other}}}"),
    ),
    *styles(
        "denied",
        ("not", "{body}\nThe answer is not {n}."),
        ("not but", "{body}\nThe answer is not {n} but {other}."),
        ("more than", "{body}\nThe answer is more than {n}."),
        ("given up", "{body}\nBut the answer cannot be determined."),
    ),
    *styles(
        "revised",
        ("wait", "{body}\n#### {n}\nWait, that is wrong, it is {more}."),
        ("with a mark", "{body}\n#### {n}\n#### {n}\nOops, I forgot a part.\n#### {more}"),
        ("withdrawn", "{body}\n#### {n}\nSorry, that is incorrect."),
    ),
    *styles(
        "cut off",
        ("before the result", "{cut}"),
        ("at the mark", "{cut}\n####"),
        ("at the label", "{body}\nSo the answer is"),
        ("in the box", "{body}\nSo it is $\\boxed{{{n}"),
    ),
    *styles("only in the question", ("restated", "Is it true that they have {n}? How many do they have in the end?")),
)

FIRST: tuple[Style, ...] = (
    *styles(
        "another number",
        ("textbook", "{body}\n#### {other}\n(The textbook says {n}.)"),
        ("minus in words", "{body}\nThe answer is minus {n}."),
        ("JSON", '{body}\n{{"answer": {other}}}'),
        ("option", "Options: (A) {n} (B) {other}\n{body}\nAnswer: (B) {other}"),
        ("explained", "The answer is {other}.\n\nExplanation: {n} would be right if tax were included."),
    ),
    *styles(
        "an intermediate step",
        ("asks for more", "{body}\nThe question asks for twice as much, therefore the answer is {double}."),
        ("of two parts", "Part one gives {n}. Part two gives {gap_up}. Together that makes {more}."),
    ),
    *styles(
        "a choice",
        ("torn", "{body}\nI am torn between {other} and {n}."),
        ("two boxes", "{body}\n\\boxed{{{other}}} or \\boxed{{{n}}}?"),
        ("slash", "{body}\nThe answer is {more} / {n}, depending on how one reads the question."),
        ("depends", "{body}\nIt is {other} without tax, and {n} or {more} with it."),
    ),
    *styles(
        "denied",
        ("mistake", "Someone might say {n}. That is a common mistake. The right answer is {other}."),
        ("cannot be", "{body}\nIt cannot be {n}, so it is {other}."),
        ("would be", "If they had one more, the answer would be {n}. As it is, they have {other}."),
    ),
    *styles(
        "revised",
        ("no wait", "{body}\nThe answer is {n}... no wait, {more}."),
        ("corrected", "My first result was {n}, but I had forgotten a step; the corrected result is {other}."),
        ("on reflection", "{body}\n#### {n}\n\nOn reflection, they also pay tax, which makes the total {more}."),
    ),
    *styles(
        "cut off",
        ("question only", "Question: {question}\nAnswer:"),
        ("mid-word", "{cut} approxima"),
        ("in the tag", "{body}\n<answer>"),
    ),
)

SECOND: tuple[Style, ...] = (
    *styles(
        "another number",
        ("before the discount", "The answer is {other}. ({n} is the number before the discount.)"),
        ("emphasized denial", "{body}\n**Answer: {other}** (not {n}!)"),
        ("to be added up", "{body}\nanswer = {n} + {gap_up}"),
        ("a decimal comma", "{body}\n#### {n},5"),
        ("a digit in front", "{body}\n#### 1{n}"),
        ("two units", "{body}\n#### {n} hours and {gap_up} minutes"),
    ),
    *styles(
        "an intermediate step",
        ("starting point", "The question gives us {n} as a starting point, from which we get to {more}."),
        ("and the rest", "So far that is {n}. With the rest it is {more} in total."),
    ),
    *styles(
        "a choice",
        ("roughly to", "{body}\nThe answer is roughly {n} to {more}."),
        ("if you count", "{body}\n#### {other} ({n} if you count the first one)"),
        ("undecided", "{body}\n#### {other}\n#### {n}\nI cannot decide between the two."),
        ("options", "{body}\nThe correct answer is not among the options {other}, {more} and {n}."),
        ("unsure", "{body}\nThe answer is {n}?? I am not sure at all, maybe {other}."),
    ),
    *styles(
        "denied",
        ("others say", "Alice says {n}, Bob says {other}. Bob is right."),
        ("none of the above", "{body}\nFinal answer: none of the above, since {n} is not among the options."),
        ("would have been", "The answer would have been {n} had they not found more; now it is {more}."),
    ),
    *styles(
        "revised",
        ("misread", "{body}\nBut wait, I misread the question. They ask for {more}."),
        ("edit", "{body}\n#### {n}\n\nEdit: the above is wrong, the total should be {more}."),
        ("attempts", "I got {n} in my first attempt and {other} in my second attempt, and I trust the second."),
        ("arrow", "{body}\n#### {n} -> {more}"),
    ),
    *styles(
        "cut off",
        ("dots", "{cut}..."),
        ("at a label in bold", "{body}\n**Final answer"),
    ),
)

HELD_OUT: tuple[Style, ...] = (
    *styles(
        "another number",
        ("percent of it", "{body}\nThe answer is {other}, which is not {n}."),
        ("rounded away", "{body}\nThe answer is {more}, or {more}.00 in dollars; before tax it was {n}."),
        ("a power", "{body}\n#### {n}^2"),
        ("a product", "{body}\n\\boxed{{{n} \\times 3}}"),
        ("a coordinate", "{body}\n\\boxed{{({n}, {other})}}"),
        ("swapped", "{body}\nThe answer is {other}; the remainder is {n}."),
    ),
    *styles(
        "an intermediate step",
        ("then subtracts", "{n} is what they begin with. They give away {gap}, so {other} are left."),
        ("step results", "Step 1 result: {n}\nStep 2 result: {more}\nFinal result: {more}"),
        ("next step named", "{body}\nNow that we have {n}, we add {gap_up} and get {more}."),
    ),
    *styles(
        "a choice",
        ("maybe", "{body}\nThe answer may be {other}, or perhaps {n}."),
        ("and/or", "{body}\n#### {n} and/or {other}"),
        ("either at the end", "{body}\nIt is either {other} or {n}."),
        ("question marks", "{body}\n#### {n}? {other}?"),
    ),
    *styles(
        "denied",
        ("rather", "{body}\nThe answer is {other} rather than {n}."),
        ("no longer", "They no longer have {n}, they have {other}."),
        ("false", "{body}\nIt is false that the answer is {n}."),
        ("impossible", "{body}\nThe answer is {n}, which is impossible, so there is no answer."),
    ),
    *styles(
        "revised",
        ("apology", "{body}\nThe answer is {n}. Apologies, I mean {more}."),
        ("strike", "{body}\n#### ~~{n}~~ {more}"),
        ("however", "{body}\nThe answer is {n}. However, they must also pay {gap_up}, so the final total is {more}."),
    ),
    *styles(
        "cut off",
        ("open bold", "{cut}**"),
        ("before a unit", "{cut}$"),
        ("at a colon", "{body}\nThe final answer is:"),
    ),
)
