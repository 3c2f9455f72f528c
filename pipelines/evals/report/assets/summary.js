// The runs, their scores and how they were made: everything above the list of questions.

const RULES = [
  ["strict", "all", "Strict, all questions", "An answer that failed or cannot be read counts as wrong."],
  ["strict", "answered", "Strict, answered", "Only questions whose answer could be read."],
  ["compat", "all", "Official rule, all questions", "As the benchmark's own code reads answers, quirks included."],
  ["compat", "answered", "Official rule, answered", "Only questions whose answer could be read."],
];

function settingName(setting) {
  return setting === "" ? "" : setting === "plain" ? "without subtitles" : setting === "subtitles" ? "with subtitles" : setting;
}

function section(id, title, note, ...children) {
  const element = document.getElementById(id);
  element.hidden = false;
  put(element, h("h2", { id: `${id}-title` }, title), note && h("p", { class: "note" }, note), children);
}

function drawHeader() {
  const names = RUNS.map((run) => run.name);
  const benchmarks = distinct(RUNS.map((run) => (run.facts.find(([name]) => name === "Benchmark") || [, null])[1]));
  const title = benchmarks.length === 1 && benchmarks[0] !== null ? benchmarks[0] : names.join(" and ");
  put(document.getElementById("header"), 
    h("div", { class: "title" },
      h("div", null, h("p", { class: "overline" }, "videollm report"), h("h1", null, title)),
      VIDEOS.length > 0 && h("button", { type: "button", class: "primary", onclick: showVideos },
        count(VIDEOS.length, "video"), h("span", { "aria-hidden": "true" }, " ↓")),
      h("button", { class: "primary", type: "button", onclick: () => showWorkspace(true) },
        count(ITEMS.length, SETTINGS.length > 1 ? "answer" : "question"), h("span", { "aria-hidden": "true" }, " ↓"))),
    h("div", { class: "runs" }, RUNS.map((run) =>
      h("section", { class: `run run-${run.index % 8}`, "aria-label": run.name },
        h("h3", null, runLabel(run)),
        h("dl", null, run.facts.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value)))),
        !run.finished && h("p", { class: "warning" }, "This run is not finished: questions without an answer count as missing.")))),
  );
}

function drawScores() {
  const overall = RUNS.flatMap((run) => run.scores.filter((s) => s.grouping === null).map((score) => ({ run, score })));
  if (!overall.length) {
    if (SCORED_NOTHING) section("scores", "Scores", "No right answers are published for these questions, so there are no scores.");
    return;
  }
  const scale = scaleOf(overall.flatMap(({ score }) => [score.all, score.answered].filter(Boolean)));
  const kinds = distinct(overall.map(({ score }) => kindOf(score)));
  const shown = RULES.filter(([rule]) => overall.some(({ score }) => score.rule === rule));
  const rows = kinds.map((kind) => {
    const ofKind = overall.filter(({ score }) => kindOf(score) === kind);
    return h("tbody", null,
      h("tr", { class: "kind" }, h("th", { colspan: shown.length + 1, scope: "colgroup" }, kindName(ofKind[0].score))),
      RUNS.filter((run) => ofKind.some((found) => found.run === run)).map((run) =>
        h("tr", null, h("th", { scope: "row" }, runLabel(run)),
          shown.map(([rule, part, label], i) => {
            const found = ofKind.find((f) => f.run === run && f.score.rule === rule);
            return scoreCell(found && found.score[part], scale, run, label, i === 0);
          }))));
  });
  const { questions, videos } = overall[0].score.all;
  section("scores", "Scores",
    `Out of 100, with 95% intervals clustered by video; ${count(questions, "question")} of ${count(videos, "video")}.`,
    h("div", { class: "scroll" }, h("table", { class: "headline" },
      h("thead", null, h("tr", null, h("td", null), shown.map(([, , label, hint]) => h("th", { scope: "col", title: hint }, label, axis(scale))))), rows)),
    DATA.paired.map((line) => h("p", { class: "note" }, line)));
}

function scoreCell(estimate, scale, run, label, main) {
  if (!estimate) return h("td", { class: "blank" });
  return h("td", { class: main ? "main" : null, "data-label": label },
    h("span", { class: "value" }, points(estimate.mean)), h("span", { class: "interval" }, interval(estimate)), dot(estimate, scale, run));
}

function kindOf(score) {
  return JSON.stringify([score.setting, score.metric, score.macro]);
}

function kindName(score) {
  const over = score.macro === null ? "" : `, mean over ${score.macro}`;
  return score.metric + over + (SETTINGS.length > 1 || score.setting === "subtitles" ? `, ${settingName(score.setting)}` : "");
}

function drawStatuses() {
  const bars = RUNS.flatMap((run) => Object.entries(run.statuses).map(([setting, counts]) => {
    const total = Object.values(counts).reduce((sum, number) => sum + number, 0);
    return h("div", { class: "status-row" },
      h("div", { class: "status-head" }, runLabel(run), SETTINGS.length > 1 && h("span", { class: "note" }, settingName(setting))),
      stacked(counts, total),
      h("div", { class: "chips" }, Object.entries(counts).map(([status, number]) =>
        h("button", { type: "button", class: "chip", title: "Show these", onclick: () => filterTo({ status: `${run.index}:${status}`, setting: SETTINGS.length > 1 ? setting : "" }) },
          h("span", { class: `swatch ${statusClass(status)}`, "aria-hidden": "true" }), status,
          h("b", null, number.toLocaleString("en-US")), h("span", { class: "note" }, share(number, total))))));
  }));
  section("statuses", "What became of the questions", null, bars);
}

function drawGroups() {
  const grouped = RUNS.flatMap((run) => run.scores.filter((s) => s.grouping !== null).map((score) => ({ run, score })));
  if (!grouped.length) return;
  const figures = h("div", { class: "figures" });
  const choices = distinct(grouped.flatMap(({ score }) => ["all", "answered"].map((part) => JSON.stringify([score.setting, score.metric, score.rule, part]))));
  const select = h("select", { "aria-label": "Score to show", onchange: () => draw(select.value) }, choices.map((choice) => {
    const [setting, metric, rule, part] = JSON.parse(choice);
    const label = RULES.find(([r, p]) => r === rule && p === part)[2];
    return h("option", { value: choice }, [metric, label.toLowerCase(), SETTINGS.length > 1 ? settingName(setting) : ""].filter(Boolean).join(", "));
  }));

  function draw(choice) {
    const [setting, metric, rule, part] = JSON.parse(choice);
    const found = grouped.filter(({ score: s }) => s.setting === setting && s.metric === metric && s.rule === rule && s[part] !== null);
    const scale = found.length ? scaleOf(found.map(({ score }) => score[part])) : null;
    put(figures, distinct(found.map(({ score }) => score.grouping)).map((grouping) =>
      groupFigure(grouping, setting, found.filter(({ score }) => score.grouping === grouping), part, scale)));
  }

  section("groups", "By group", null,
    h("div", { class: "figure-tools" }, select, RUNS.length > 1 && h("div", { class: "legend" }, RUNS.map(runLabel))), figures);
  draw(choices[0]);
}

function groupFigure(grouping, setting, found, part, scale) {
  const groups = distinct(found.map(({ score }) => score.group));
  return h("figure", null, h("figcaption", null, grouping),
    groups.map((group) => {
      const ofGroup = found.filter(({ score }) => score.group === group);
      const show = () => filterTo({ [`group.${grouping}`]: group, setting: SETTINGS.length > 1 ? setting : "" });
      return h("div", { class: "group-row" },
        h("button", { type: "button", class: "group-name", title: `${group}: show its questions`, onclick: show }, group),
        h("span", { class: "number" }, Math.max(...ofGroup.map(({ score }) => score[part].questions)).toLocaleString("en-US")),
        h("div", { class: "group-dots" }, ofGroup.map(({ run, score }) =>
          h("div", { class: "group-dot" }, dot(score[part], scale, run),
            h("span", { class: "value" }, RUNS.length > 1 && h("span", { class: "hidden" }, `${run.name} `), points(score[part].mean)),
            h("span", { class: "interval" }, interval(score[part]))))));
    }),
    h("div", { class: "group-row" }, h("span"), h("span"), h("div", { class: "group-dots" }, h("div", { class: "group-dot" }, axis(scale)))));
}

function drawDifferences() {
  if (RUNS.length < 2) return;
  if (!DATA.differences.length) return section("differences", "Settings that differ", "None: the runs were made with the same settings and software.");
  const table = h("table", { class: "pairs" },
    h("thead", null, h("tr", null, h("th", { scope: "col" }, "Setting"), RUNS.map((run) => h("th", { scope: "col" }, runLabel(run))))),
    h("tbody", null, DATA.differences.map(([name, values]) =>
      h("tr", null, h("th", { scope: "row" }, name), values.map((value) => h("td", null, value === null ? h("span", { class: "nothing" }, "not set") : value))))));
  section("differences", "Settings that differ", null, h("div", { class: "scroll" }, table));
}

function drawProvenance() {
  const element = document.getElementById("provenance");
  element.hidden = false;
  put(element, RUNS.map((run) => h("details", null,
    h("summary", null, "How ", runLabel(run), " was made"),
    run.provenance.map(([title, pairs]) => [h("h3", null, title), h("div", { class: "scroll" }, h("table", { class: "pairs" },
      h("tbody", null, pairs.map(([name, value]) => h("tr", null, h("th", { scope: "row" }, name), h("td", null, value))))))]))));
}
