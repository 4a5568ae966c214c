// The traces of a report, to be filtered and read. What a model wrote only ever becomes text, never markup.
"use strict";
(() => {
  const AT_ONCE = 40;
  const traces = JSON.parse(document.getElementById("traces").textContent);
  const root = document.getElementById("reader");
  if (!traces.length || !root) return;

  const difficulty = (trace) => {
    if (!trace.of) return "not known";
    if (trace.right === 0) return "none right";
    if (trace.right === trace.of) return "all right";
    return 2 * trace.right < trace.of ? "under half right" : "half or more right";
  };
  const FILTERS = {
    round: (trace) => String(trace.round),
    set: (trace) => trace.set,
    verdict: (trace) => trace.verdict,
    difficulty,
    "kept or dropped": (trace) => trace.kept || "not a training sample",
  };
  const state = { words: "", question: null, shown: AT_ONCE };
  const chosen = {};

  const make = (tag, text, className) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };

  const bar = make("p", undefined, "filters");
  for (const [name, of] of Object.entries(FILTERS)) {
    const label = make("label", name + " ");
    const select = make("select");
    select.name = name;
    select.append(new Option("all", ""));
    const values = [...new Set(traces.map(of))];
    values.sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
    for (const value of values) select.append(new Option(value, value));
    select.addEventListener("change", () => {
      chosen[name] = select.value;
      again();
    });
    label.append(select);
    bar.append(label);
  }
  const search = make("input");
  search.type = "search";
  search.name = "words";
  search.placeholder = "words in question or solution";
  search.addEventListener("input", () => {
    state.words = search.value.toLowerCase();
    again();
  });
  bar.append(search);
  const followed = make("div", undefined, "followed");
  const count = make("p", undefined, "muted count");
  const list = make("div", undefined, "list");
  const more = make("button", "show more");
  more.addEventListener("click", () => {
    state.shown += AT_ONCE;
    draw();
  });
  root.append(bar, followed, count, list, more);

  const key = (trace) => trace.set + "/" + trace.id;
  const fits = (trace) =>
    (state.question === null || key(trace) === state.question) &&
    Object.entries(FILTERS).every(([name, of]) => !chosen[name] || of(trace) === chosen[name]) &&
    (!state.words || (trace.question + "\n" + trace.solution).toLowerCase().includes(state.words));

  function again() {
    state.shown = AT_ONCE;
    draw();
  }

  function follow(question) {
    state.question = question;
    again();
    followed.scrollIntoView({ block: "nearest" });
  }

  function drawFollowed() {
    followed.replaceChildren();
    if (state.question === null) return;
    const mine = traces.filter((trace) => key(trace) === state.question);
    followed.append(make("h3", "One question over the rounds"), make("p", mine[0].question));
    const table = make("table");
    const head = make("tr");
    for (const title of ["round", "samples right", "verdicts of those below"]) head.append(make("th", title));
    table.append(head);
    for (const round of [...new Set(mine.map((trace) => trace.round))].sort((a, b) => a - b)) {
      const here = mine.filter((trace) => trace.round === round);
      const row = make("tr");
      const verdicts = here.map((trace) => trace.verdict).join(", ");
      for (const cell of [round || "0 (base)", `${here[0].right} of ${here[0].of}`, verdicts]) row.append(make("td", cell));
      table.append(row);
    }
    const back = make("button", "back to all questions");
    back.addEventListener("click", () => follow(null));
    followed.append(table, back);
  }

  function entry(trace) {
    const details = make("details");
    details.dataset.question = key(trace);
    const summary = make("summary");
    summary.append(`round ${trace.round}, ${trace.set}, `, make("b", trace.verdict));
    if (trace.kept) summary.append(trace.kept === "kept" ? ", kept" : `, dropped: ${trace.kept}`);
    if (trace.of) summary.append(`, ${trace.right} of ${trace.of} right`);
    summary.append(`: ${trace.question.slice(0, 120)}`);
    details.append(summary);
    // What lies inside is made when it is opened: a page has many traces.
    const fill = () => {
      if (details.childElementCount > 1) return;
      const question = make("p", trace.question);
      const answer = trace.answer === undefined ? "none" : trace.answer;
      question.append(make("br"), make("span", `reference: ${trace.reference}; answer read: ${answer}`, "muted"));
      const link = make("button", "follow this question over the rounds");
      link.addEventListener("click", () => follow(key(trace)));
      details.append(question, make("pre", trace.solution), link);
    };
    summary.addEventListener("click", fill);
    details.addEventListener("toggle", fill); // opened by a search in the page
    return details;
  }

  function draw() {
    const found = traces.filter(fits);
    drawFollowed();
    count.textContent = `${found.length} of the ${traces.length} traces of this page`;
    list.replaceChildren(...found.slice(0, state.shown).map(entry));
    more.hidden = found.length <= state.shown;
  }

  draw();
})();
