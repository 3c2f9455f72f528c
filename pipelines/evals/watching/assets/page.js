// Asks for news and draws it. Text from the job becomes text nodes only: nothing of it is ever read as HTML.
"use strict";

const RUNNING_MS = 2000, ENDED_MS = 10000;
const SILENT_SECONDS = 60; // A running job says something every ten.

const pane = (id) => document.getElementById(id);

function make(tag, name, text) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined && text !== null) element.textContent = text;
  return element;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "not known yet";
  const s = Math.round(seconds), parts = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60];
  return parts[0] ? `${parts[0]} h ${parts[1]} min` : parts[1] ? `${parts[1]} min ${parts[2]} s` : `${parts[2]} s`;
}

const percents = (shares) => Object.entries(shares).map(([name, x]) => `${name} ${Math.round(100 * x)}%`).join(", ");
const numbers = (counts) => Object.entries(counts).map(([name, n]) => `${name} ${n.toLocaleString("en")}`).join(", ");

function facts(news) {
  const s = news.status;
  if (s === null) return [["Started", news.started]];
  return [
    ["Clips", `${s.clips.toLocaleString("en")} of ${s.clips_total.toLocaleString("en")}`],
    ["Rate", `${s.clips_per_second.toFixed(2)} clips/s, ${s.generated_tokens_per_second.toFixed(1)} generated tokens/s`],
    ["Time", `${duration(s.wall_seconds)}${s.state === "running" ? `, left: ${duration(s.seconds_left)}` : ""}`],
    ["Rows of this run", numbers(s.rows) || "none yet"],
    ["Workers busy", percents(s.busy) || "none"],
    ["Waiting clips", numbers(s.waiting) || "none"],
    ["Started", news.started],
    ["Host", `${s.host}, process ${s.pid}`],
  ];
}

function about(row) {
  const place = row.start === null && row.end === null ? "" : `  ${row.start ?? 0} s to ${row.end ?? "the end"}${row.end === null ? "" : " s"}`;
  return make("p", "about", `${row.video ?? ""}${place}  ${row.level ?? ""}  ${row.question ?? ""}`);
}

const drawn = new Map(); // Key of an answer -> its element: a picture that is there is not asked for again.

function answer(row) {
  if (drawn.has(row.key)) return drawn.get(row.key);
  const line = make("div", "row"), left = make("div"), right = make("div"), image = make("img");
  image.alt = "";
  image.addEventListener("error", () => left.replaceChildren(make("p", "about", "no picture")));
  image.src = `picture/${row.key}`;
  left.append(image);
  right.append(about(row), make("p", "answer", row.answer));
  line.append(left, right);
  drawn.set(row.key, line);
  return line;
}

function failure(row) {
  const line = make("div", "row error"), right = make("div");
  right.append(about(row), make("p", "status", row.status), make("p", "reason", row.error));
  line.append(right);
  return line;
}

function draw(news) {
  const s = news.status, silent = s !== null && s.state === "running" && news.silent_seconds > SILENT_SECONDS;
  pane("folder").textContent = `${news.command ?? ""} ${news.folder}`;
  pane("state").textContent = silent ? `Running, but silent for ${duration(news.silent_seconds)}: it may have been killed.` : s === null ? "Starting." : s.state;
  pane("state").className = silent ? "alarm" : "";
  pane("bar").value = s !== null && s.clips_total ? s.clips / s.clips_total : 0;
  pane("facts").replaceChildren(...facts(news).flatMap(([name, value]) => [make("dt", "", name), make("dd", "", value)]));
  pane("answers").replaceChildren(...news.answers.map(answer));
  pane("errors").replaceChildren(...(news.errors.length ? news.errors.map(failure) : [make("p", "about", "none among the last rows")]));
  const shown = new Set(news.answers.map((row) => row.key));
  for (const key of drawn.keys()) if (!shown.has(key)) drawn.delete(key);
  return s !== null && s.state !== "running" ? ENDED_MS : RUNNING_MS;
}

async function poll() {
  let wait = ENDED_MS;
  try {
    const reply = await fetch("news");
    if (!reply.ok) throw new Error(await reply.text());
    wait = draw(await reply.json());
  } catch (error) {
    pane("state").textContent = `No news: ${error.message}`;
    pane("state").className = "alarm";
  }
  setTimeout(poll, wait);
}

poll();
