// The list of questions: what it is narrowed to, and its rows.

let listed = [];

function drawFilters() {
  const both = RUNS.length > 1;
  const pairs = RUNS.flatMap((a) => RUNS.filter((b) => b !== a).map((b) => [a, b]));
  const verdicts = SCORED && !RUNS.every((run) => run.graded) && [
    ["", both ? "Right or wrong" : "Right or wrong"],
    ...(both ? [["changed", "Right in one run, wrong in another"], ...pairs.map(([a, b]) => [`gained:${a.index}:${b.index}`, `Wrong in ${a.name}, right in ${b.name}`])] : []),
    ...RUNS.flatMap((run) => ["right", "wrong"].map((kind) => [`${kind}:${run.index}`, both ? `${cap(kind)} in ${run.name}` : cap(kind)])),
    ...(both ? [["all-right", "Right in all runs"], ["all-wrong", "Wrong in all runs"]] : []),
    ["unscored", "No right answer published"],
  ];
  const levels = tally(ITEMS.map((item) => item.level));
  put(document.getElementById("filters"), 
    h("div", { class: "filter-head" },
      h("h2", { id: "workspace-title" }, "Questions"),
      h("output", { id: "count", "aria-live": "polite" })),
    h("div", { class: "filter-row" },
      h("input", { id: "search", type: "search", autocomplete: "off", spellcheck: "false", "aria-label": "Search",
        placeholder: "Search questions, answers, outputs, videos, ids", oninput: (event) => change({ search: event.target.value }) }),
      verdicts && choice("verdict", "Right or wrong", verdicts),
      SETTINGS.length > 1 && choice("setting", "Setting", [["", "All settings"], ...SETTINGS.map((s) => [s, cap(settingName(s))])]),
      levels.length > 0 && choice("level", "Parts of videos", [["", "All parts"], ...levels.map(([level, n]) => [level, `${cap(level)} (${n.toLocaleString("en-US")})`])]),
      perRun("status", "Status", "Any status"),
      perRun("rule", "Rule that read the answer", "Any rule"),
      DATA.groupings.map((name, i) => {
        const groups = tally(ITEMS.flatMap((item) => item.groups[i]));
        return groups.length > 1 && choice(`group.${name}`, name, [["", `${cap(name)}: all`], ...groups.map(([g, n]) => [g, `${g} (${n.toLocaleString("en-US")})`])]);
      }),
      choice("sort", "Order", Object.entries(SORTS).map(([value, { label }]) => [value, `Order: ${label}`])),
      h("button", { id: "reset", type: "button", onclick: () => change(EMPTY) }, "Clear")),
  );
}

function choice(name, label, options) {
  return h("select", { "aria-label": label, "data-filter": name, onchange: (event) => change({ [name]: event.target.value }) },
    options.map(([value, text]) => h("option", { value }, text)));
}

function perRun(name, label, all) {
  const options = RUNS.flatMap((run) =>
    tally(ITEMS.map((item) => item.answers[run.index] && item.answers[run.index][name])).map(([value, number]) =>
      [`${run.index}:${value}`, `${RUNS.length > 1 ? `${run.name}: ` : ""}${value} (${number.toLocaleString("en-US")})`]));
  return options.length > 1 && choice(name, label, [["", all], ...options]);
}

// Values and how often they occur, in order of the alphabet.
function tally(values) {
  const counts = new Map();
  for (const value of values) if (value !== null && value !== undefined) counts.set(value, (counts.get(value) || 0) + 1);
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
}

function cap(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

// Filter, and show the list from its top or around the open question.
function drawList(state, keepScroll) {
  listed = chosen(state);
  const list = document.getElementById("list");
  list.setAttribute("aria-label", count(listed.length, "question"));
  put(document.getElementById("count"), 
    h("b", null, listed.length.toLocaleString("en-US")), listed.length === ITEMS.length ? "" : ` of ${ITEMS.length.toLocaleString("en-US")}`);
  document.getElementById("reset").disabled = Object.entries(state).every(([name, value]) => name === "open" || !value);
  for (const select of document.querySelectorAll("[data-filter]")) {
    select.value = state[select.dataset.filter] || "";
    select.classList.toggle("active", select.dataset.filter !== "sort" && select.value !== "");
  }
  const search = document.getElementById("search");
  if (search.value !== state.search) search.value = state.search;
  if (!keepScroll) list.scrollTop = 0;
  drawRows();
}

function drawRows() {
  const empty = ITEMS.length ? "No question fits. Clear a filter or search for less." : "The runs hold no questions.";
  drawInSight(document.getElementById("list"), listed, row, state.open, empty);
}

function row(item) {
  const answers = item.answers.filter(Boolean);
  const outputs = answers.map((a) => a.output || a.error || "").filter(Boolean);
  const readings = SCORED && item.options ? answers.map((a) => a.reading || "–").join(" / ") : null;
  const title = ONE_QUESTION ? outputs[0] || "(no text)" : item.question || "(no question)";
  const right = item.right === null ? null : LETTERS[item.right];
  return h("div", { id: `row-${item.index}`, class: "row", onclick: () => open(item) },
    h("span", { class: "badges" }, item.answers.map((answer, i) => badge(answer, RUNS[i]))),
    h("span", { class: "row-title" }, title),
    h("span", { class: "row-note" },
      readings !== null && h("span", { class: "readings" }, readings, right !== null && h("span", null, ` → ${right}`)),
      SETTINGS.length > 1 && h("span", { class: "tag" }, item.setting),
      h("span", { class: "row-id" }, ONE_QUESTION ? shortVideo(item) || item.id : item.id),
      item.end !== null && item.level !== null && h("span", null, momentText([item.start || 0, item.end, null])),
      readings === null && !ONE_QUESTION && h("span", { class: "row-output" }, outputs[0] || "")));
}

function scrollToOpen() {
  if (bringIntoSight(document.getElementById("list"), listed.indexOf(state.open))) drawRows();
}
