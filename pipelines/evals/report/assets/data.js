"use strict";
// The data of the page, from columns to one object a question; and which questions a reader asked for.

const DATA = JSON.parse(document.getElementById("data").textContent);
const RUNS = DATA.runs.map((run, index) => ({ ...run, index }));
const ITEMS = readItems();
const SETTINGS = distinct(ITEMS.map((item) => item.setting));
const SCORED = RUNS.some((run) => run.scores.length);
// Where all questions are the same ("Describe the video."), answers tell rows of the list apart.
const ONE_QUESTION = ITEMS.length > 1 && distinct(ITEMS.map((item) => item.question).filter(Boolean)).length < 2;
const FOLDER = commonFolder(ITEMS.map((item) => item.video).filter(Boolean));
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

function readItems() {
  const answers = DATA.answers.map((columns, i) => readColumns(columns).map((answer) => readAnswer(answer, RUNS[i])));
  return readColumns(DATA.items).map((item, index) => ({
    ...item,
    index,
    video: DATA.texts[item.video],
    answers: answers.map((run) => (run[index].status === null ? null : run[index])),
    words: null,
  }));
}

// A column without any value is null.
function readColumns({ count, ...columns }) {
  const names = Object.keys(columns);
  return Array.from({ length: count }, (_, i) => {
    const row = {};
    for (const name of names) row[name] = columns[name] === null ? null : columns[name][i];
    return row;
  });
}

// An answer is graded where its score is neither right nor wrong, as a caption's.
function readAnswer(answer, run) {
  const metric = answer.strict === null ? -1 : answer.strict.findIndex((value) => value !== null);
  const worth = metric < 0 ? null : answer.strict[metric];
  return { ...answer, error: answer.error === null ? null : DATA.texts[answer.error], metric, worth, graded: run.graded && worth !== null };
}

function promptOf(answer) {
  return answer.prompt === null ? null : answer.prompt.map((place) => DATA.texts[place]).join("");
}

// A text of the table; null: none.
function placed(place) {
  return place === null ? null : DATA.texts[place];
}

function commonFolder(paths) {
  let folder = paths.length > 1 ? paths[0] : "";
  for (const path of paths) while (!path.startsWith(folder)) folder = folder.slice(0, -1);
  return folder.slice(0, folder.lastIndexOf("/") + 1);
}

// A video without the folder that all of them lie in.
function shortVideo(item) {
  return item.video.slice(FOLDER.length);
}

function distinct(values) {
  return [...new Set(values)];
}

// What became of a question in a run: right, wrong, graded, answered (nothing more is known), partial, or its status.
function verdict(answer) {
  if (answer === null) return "absent";
  if (answer.status === "partial" && answer.correct === null) return "partial";
  if (answer.status !== "ok") return answer.status === "unparsed" || answer.status === "missing" ? answer.status : "failed";
  if (answer.correct === null) return "answered";
  if (answer.graded) return "graded";
  return answer.correct ? "right" : "wrong";
}

function isRight(answer) {
  return Boolean(answer) && answer.correct === true && !answer.graded;
}

function isWrong(answer) {
  return Boolean(answer) && answer.correct === false && !answer.graded;
}

// Filters of the reader: name -> whether an item passes a value. A value of a run's is "<run>:<value>".
const FILTERS = {
  verdict: (item, value) => VERDICTS[value.split(":")[0]](item, ...value.split(":").slice(1).map(Number)),
  setting: (item, value) => item.setting === value,
  level: (item, value) => item.level === value,
  status: (item, value) => ofRun(item, value, "status"),
  rule: (item, value) => ofRun(item, value, "rule"),
};
DATA.groupings.forEach((name, i) => {
  FILTERS[`group.${name}`] = (item, value) => item.groups[i].includes(value);
});

const VERDICTS = {
  right: (item, run) => isRight(item.answers[run]),
  wrong: (item, run) => isWrong(item.answers[run]),
  unscored: (item) => item.answers.every((answer) => answer === null || answer.correct === null),
  changed: (item) => item.answers.some(isRight) && item.answers.some(isWrong),
  gained: (item, a, b) => isWrong(item.answers[a]) && isRight(item.answers[b]),
  "all-right": (item) => item.answers.every(isRight),
  "all-wrong": (item) => item.answers.every(isWrong),
};

function ofRun(item, value, name) {
  const cut = value.indexOf(":");
  const answer = item.answers[Number(value.slice(0, cut))];
  return answer && answer[name] === value.slice(cut + 1);
}

const SORTS = {
  "": { label: "of the run", key: null },
  id: { label: "id", key: (item) => item.id },
  video: { label: "video", key: (item) => item.video },
  slow: { label: "slowest first", key: (item) => -Math.max(...item.answers.map(secondsOf)) },
  ...(SCORED && {
    low: { label: "lowest score first", key: (item) => worthOf(item) },
    high: { label: "highest score first", key: (item) => -worthOf(item) },
  }),
};

function secondsOf(answer) {
  return answer === null || !answer.seconds ? 0 : answer.seconds.reduce((sum, value) => sum + value, 0);
}

function worthOf(item) {
  const values = item.answers.map((answer) => (answer === null ? null : answer.worth)).filter((v) => v !== null);
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : 0;
}

// Everything of a question that a search looks into, in lower case; made when first needed.
function wordsOf(item) {
  if (item.words === null) {
    const of = item.answers.flatMap((a) => (a === null ? [] : [a.output, a.error, a.reading, a.status]));
    const texts = [item.id, item.video, item.question, ...(item.options || []), ...(item.references || []), ...item.groups.flat(), ...of];
    item.words = texts.filter(Boolean).join("\n").toLowerCase();
  }
  return item.words;
}

// The questions to list, in order.
function chosen(state) {
  const terms = state.search.toLowerCase().split(/\s+/).filter(Boolean);
  const tests = Object.entries(FILTERS).filter(([name]) => state[name]);
  const found = ITEMS.filter(
    (item) =>
      tests.every(([name, passes]) => passes(item, state[name])) &&
      (!terms.length || terms.every((term) => wordsOf(item).includes(term))),
  );
  const key = (SORTS[state.sort] || SORTS[""]).key;
  if (key === null) return found;
  const keyed = found.map((item) => [key(item), item]);
  keyed.sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x.index - y.index));
  return keyed.map(([, item]) => item);
}
