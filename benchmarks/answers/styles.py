"""Right answers in many styles, as templates over a GSM8K solution: `body` is its working, the rest is its answer, written.

`KNOWN` are the kinds that the verifier's own tests have examples of. `FIRST`, `SECOND` and `HELD_OUT` were each written before
any verifier was run on them. What went wrong on the first and the second was mended afterwards, so they count as known since;
because of `HELD_OUT` nothing is changed. A corpus that a verifier was tuned on proves little.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Style:
    """One way to write a solution."""

    name: str
    group: str
    template: str
    """With places for what `corpus.fields` returns."""


def styles(group: str, *rows: tuple[str, str]) -> tuple[Style, ...]:
    """Return styles of one group from their names and templates."""
    return tuple(Style(name, group, template) for name, template in rows)


KNOWN = (
    *styles(
        "hashes",
        ("bare", "{body}\n#### {n}"),
        ("separators", "{body}\n#### {commas}"),
        ("currency", "{body}\n#### ${commas}"),
        ("currency and cents", "{body}\n#### ${commas}.00"),
        ("decimal", "{body}\n#### {n}.0"),
        ("period", "{body}\n#### {n}."),
        ("unit", "{body}\n#### {n} dollars"),
        ("percent", "{body}\n#### {n}%"),
        ("fraction", "{body}\n#### {double}/2"),
        ("bold", "{body}\n#### **{n}**"),
        ("bold around", "{body}\n**#### {n}**"),
        ("word", "{body}\n#### Answer: {n}"),
        ("sentence", "{body}\n#### They have {commas} in total"),
        ("formula", "{body}\n#### ${n}$"),
        ("no space", "{body}\n####{n}"),
        ("closed", "{body}\n#### {n} ####"),
        ("intermediate line before", "First part:\n#### {other}\n{body}\n#### {n}"),
        ("chatter behind", "{body}\n#### {n}\n\nLet me know if you want to see 3 more problems like this!"),
        ("note behind", "{body}\n#### {n}\n\nNote: this assumes that a month has 30 days."),
        ("made-up problem behind", "{body}\n#### {n}\n\nQ: Tom has {other} apples. How many?\nA: {other}\n#### {other}"),
    ),
    *styles(
        "boxes",
        ("bare", "{body}\nSo the answer is $\\boxed{{{n}}}$."),
        ("displayed", "{body}\n\\[\n\\boxed{{{latex}}}\n\\]"),
        ("currency", "{body}\n\\boxed{{\\${commas}}}"),
        ("unit", "{body}\n\\boxed{{{n} \\text{{ dollars}}}}"),
        ("percent", "{body}\n\\boxed{{{n}\\%}}"),
        ("decimal", "{body}\n\\boxed{{{n}.00}}"),
        ("fraction", "{body}\n\\boxed{{\\frac{{{double}}}{{2}}}}"),
        ("variable", "{body}\n\\boxed{{x = {n}}}"),
        ("text", "{body}\n\\boxed{{\\text{{They have }} {n}}}"),
    ),
    *styles(
        "sentences",
        ("plain", "{body}\nThe answer is {n}."),
        ("final", "{body}\nSo the final answer is: ${commas}."),
        ("label", "{body}\n\nAnswer: {commas}"),
        ("bold label", "{body}\n\n**Answer:** {n} dollars"),
        ("heading", "{body}\n\n### Final Answer\n\n{commas}"),
        ("bold", "{body}\n\nTherefore, they have **{commas}** in the end."),
        ("backward", "{body}\nThus {n} is the answer."),
        ("several candidates", "Is it {other}? Let us see.\n{body}\nSo it is not {other}: the answer is {n}."),
        ("denied alternative", "{body}\nThe answer is {n}, not {other}."),
        ("revised", "The answer is {other}. Wait, that is wrong.\n{body}\nThe answer is {n}."),
        ("repeated", "{body}\nThe answer is {n}. The answer is {n}. The answer is {n}."),
        ("equation", "{body}\nThe answer is {other} + {gap} = {n}."),
    ),
    *styles(
        "other languages",
        ("German", "{body}\nDie Antwort ist {points} Euro."),
        ("German decimals", "{body}\nDie Antwort lautet {points},00 Euro."),
        ("French", "{body}\nLa réponse est {spaces}."),
        ("Spanish", "{body}\nLa respuesta es {n},0."),
        ("Chinese", "{body}\n答案是{n}。"),
        ("Russian", "{body}\nОтвет: {n}"),
    ),
    *styles(
        "unmarked",
        ("the working alone", "{body}"),
        ("a last sentence", "{body}\nSo in the end they have ${commas}."),
        ("a last equation", "{body}\n{other} + {gap} = {n}"),
    ),
)

FIRST = (
    *styles(
        "hashes",
        ("list and emphasis", "{body}\n\n* #### {commas} *"),
        ("equals", "{body}\n#### = {n}"),
        ("quoted", "{body}\n> #### {n}"),
        ("tilde space", "{body}\n#### \\${n}~USD"),
        ("thanks behind", "{body}\n#### {n}\n\nThank you for the question, and good luck with the other 9!"),
        ("end of text", "{body}\n#### {n}<|endoftext|>{other}"),
    ),
    *styles(
        "boxes",
        ("therefore", "{body}\n\n\\(\\therefore\\) the total comes to \\(\\boxed{{{n}}}\\)."),
        ("bold math", "{body}\n$$\\boxed{{\\boldsymbol{{{n}}}}}$$"),
        ("nested", "{body}\n\\boxed{{\\boxed{{{n}}}}}"),
        ("thin space unit", "{body}\n\\boxed{{{latex}\\;\\mathrm{{items}}}}"),
    ),
    *styles(
        "sentences",
        ("shouted", "{body}\n\nFINAL ANSWER: {n}"),
        ("arrow", "{body}\n\n> **Final answer \u2192 {commas}**"),
        ("ticked", "{body}\nHence the answer: {n} \u2705"),
        ("short", "{body}\nFinal: {commas}"),
        ("our answer", "{body}\nSo our answer: {n} (in the units of the question)."),
        ("exclaimed", "{body}\nQ.E.D. The answer must be {n}!"),
        ("strong in HTML", "{body}\n<p>The answer is <strong>{n}</strong>.</p>"),
        ("underlined heading", "{body}\n\nAnswer\n------\n{n}"),
        ("offer behind", "{body}\nThe answer is {n}.\n\nShall I also solve problem 2 or 3 for you?"),
        ("checked behind", "{body}\nThe answer is {n}. Double-checking each of the 4 steps: all of them hold, so {n} stands."),
        ("in a formula", "{body}\n$$\\text{{Answer}} = {latex}$$"),
    ),
    *styles(
        "formats",
        ("JSON", '{body}\n{{"answer": {n}}}'),
        ("JSON string", '{body}\n{{"final_answer": "{commas}"}}'),
        ("tag", "{body}\n<final_answer>{n}</final_answer>"),
        ("brackets", "{body}\n[ANSWER]{n}[/ANSWER]"),
        ("code", "{body}\n```\n{n}\n```"),
        ("Python", "{body}\n```python\nanswer = {n}\nprint(answer)\n```"),
        ("table", "{body}\n\n| item | value |\n|---|---|\n| total | **{commas}** |"),
        ("aligned", "{body}\n\\begin{{align*}}\n\\text{{Total}} &= {n}\n\\end{{align*}}"),
    ),
    *styles(
        "other languages",
        ("Italian", "{body}\nQuindi la risposta finale \u00e8 {points},00 euro."),
        ("Portuguese", "{body}\nPortanto, a resposta \u00e9 {n}."),
        ("Dutch", "{body}\nHet antwoord is {n}."),
        ("Polish", "{body}\nOdpowied\u017a: {n}"),
        ("Japanese", "{body}\n\u3057\u305f\u304c\u3063\u3066\u3001\u7b54\u3048\u306f{n}\u3067\u3059\u3002"),
        ("Korean", "{body}\n\uc815\ub2f5\uc740 {n}\uc785\ub2c8\ub2e4."),
        ("Hindi", "{body}\n\u0909\u0924\u094d\u0924\u0930: {n}"),
    ),
    *styles(
        "unmarked",
        ("total in dollars", "{body}\nThat gives us a grand total of ${commas}.00 USD."),
        ("result", "{body}\nSo, the result that we are looking for equals {n}."),
        ("conclusion", "{body}\n\n**Conclusion.** Everything considered, {n} is what they end up with."),
        ("in short", "{body}\nTL;DR {n}"),
    ),
)

SECOND = (
    *styles(
        "hashes",
        ("boxed", "{body}\n#### \\boxed{{{n}}}"),
        ("spaced unit", "{body}\n####   {commas} units\n"),
        ("pointing to a step", "{body}\n#### {n} (see step 3)"),
        ("arrow", "{body}\n#### => {n}"),
    ),
    *styles(
        "boxes",
        ("labelled inside a display", "{body}\n\n\\[ \\text{{Final answer: }} \\boxed{{{n}}} \\]"),
        ("with a colon", "{body}\nAnswer: \\boxed{{{latex}}}."),
    ),
    *styles(
        "sentences",
        ("thus", "{body}\nThe answer is thus: **{commas}**."),
        ("bold and backward", "{body}\n\n**{n}** is the final answer."),
        ("in brackets", "{body}\n(Answer: {n})"),
        ("arrow", "{body}\nans -> {n}"),
        ("display below", "{body}\n\n---\n**Final Answer**\n$$\n{latex}\n$$"),
        ("rounded", "{body}\nFinal answer: The total is {commas} (rounded to the nearest whole number)."),
        ("confident", "{body}\nI am confident that the answer is {n}. My confidence is 95%."),
        ("bold math", "{body}\nSo, the final answer is $ \\mathbf{{{n}}} $"),
        ("bullet below", "{body}\nAnswer:\n\n- {n}"),
        ("numbered", "{body}\n3) The answer is {n}."),
        ("code", "{body}\n**The answer is:** `{n}`"),
    ),
    *styles(
        "formats",
        ("tag with confidence", "{body}\n<answer>{n}</answer>\n<confidence>0.9</confidence>"),
        ("YAML", "{body}\nanswer: {n}\nunit: dollars"),
    ),
    *styles(
        "other languages",
        ("Swedish", "{body}\nSvaret \u00e4r {n}."),
        ("Turkish", "{body}\nCevap: {n}"),
        ("Vietnamese", "{body}\n\u0110\u00e1p \u00e1n: {n}"),
    ),
    *styles(
        "unmarked",
        ("total", "{body}\nTotal: {n}."),
        ("result", "{body}\n\nResult = {commas}"),
        ("obtained", "{body}\nHence we obtain ${n}$."),
        ("ticked", "{body}\n\u2705 {n}"),
        ("required", "{body}\nThe required number is {commas}, Q.E.D."),
        ("exactly", "{body}\nSo they end up with exactly {n}, no more and no less."),
    ),
)

HELD_OUT = (
    *styles(
        "hashes",
        ("words between", "{body}\n#### So the total is ${commas}"),
        ("code", "{body}\n#### `{n}`"),
        ("heading and line", "{body}\n\n#### Final result\n{n}"),
        ("tripled", "{body}\n### {n}\n#### {n}"),
    ),
    *styles(
        "boxes",
        ("with words before", "{body}\nOur final answer is therefore $\\boxed{{\\textbf{{{n}}}}}$."),
        ("in a list", "{body}\n- Final: $\\boxed{{{latex}}}$"),
        ("trailing dot inside", "{body}\n\\boxed{{{n}.}}"),
    ),
    *styles(
        "sentences",
        ("this means", "{body}\nThis means that the answer to the problem is {commas}."),
        ("capital", "{body}\nTHE ANSWER IS {n}"),
        ("italic", "{body}\n*Answer*: *{n}*"),
        ("with equals", "{body}\nFinal answer = ${n}"),
        ("period and unit", "{body}\nThe answer is {n} sq. ft."),
        ("hoping", "{body}\nThe answer is {n}. I hope that this explains all 3 steps."),
        ("parenthesis", "{body}\nThe answer is {n} (that is, {double} divided by 2)."),
        ("checked by", "{body}\nAnswer: {n}\n\nTo verify: {other} + {gap} = {n}. Correct!"),
    ),
    *styles(
        "formats",
        ("key and value", "{body}\nresult: {n}\nanswer: {n}"),
        ("function call", "{body}\nfinish(answer={n})"),
        ("list item", "{body}\n* **Final answer:** {n} *"),
    ),
    *styles(
        "other languages",
        ("Italian, plain", "{body}\nLa risposta \u00e8 {n}."),
        ("Chinese, finally", "{body}\n\u6700\u7ec8\u7b54\u6848\uff1a{n}"),
        ("Ukrainian", "{body}\n\u0412\u0456\u0434\u043f\u043e\u0432\u0456\u0434\u044c: {n}"),
    ),
    *styles(
        "unmarked",
        ("they need", "{body}\nSo they need {commas} of them altogether."),
        ("it takes", "{body}\nIn other words, it comes to {n}."),
        ("finally", "{body}\nFinally: {n}"),
    ),
)
