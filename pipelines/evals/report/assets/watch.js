// The open video: the file as it plays, its captions that follow, and what is said of it. It is the only video element.

const CUE_LETTERS = 160; // Longer captions would hide the picture; the list and the field below have all of them.
const AFTER_START = 0.001; // Browsers round times: a seek to the very start of a segment could end just before it.
const MAX_ANSWERS = 100;
let watched = null; // What is drawn of the open video.

function drawVideo() {
  if (watched !== null && watched.player !== null) {
    watched.player.removeAttribute("src"); // lets go of the file
    watched.player.load();
  }
  watched = null;
  const pane = document.getElementById("video");
  const video = state.video;
  document.body.classList.toggle("watching", video !== null);
  if (video === null) {
    put(pane, h("div", { class: "empty" }, h("p", null, "Choose a video to watch it beside its rows."),
      h("p", { class: "keys" }, h("kbd", null, "j"), h("kbd", null, "k"), " next, previous ", h("kbd", null, "Enter"), " seek ", h("kbd", null, "Esc"), " close")));
    return;
  }
  watched = { video, player: null, cues: null, time: 0, now: null, picked: null, length: video.seconds || 0, track: null, segments: [], chapters: [], shown: null };
  watched.shown = video.answers.find((told) => (answerOf(told).evidence || []).length) || null;
  const place = foundVideos.indexOf(video);
  put(pane,
    h("div", { class: "question-tools" },
      h("button", { type: "button", class: "back", onclick: closeVideo }, "Back"),
      h("span", { class: "note" }, place < 0 ? "not in the list" : `${(place + 1).toLocaleString("en-US")} of ${foundVideos.length.toLocaleString("en-US")}`),
      h("button", { type: "button", "aria-label": "Previous video", disabled: place <= 0, onclick: () => stepVideo(-1) }, "↑"),
      h("button", { type: "button", "aria-label": "Next video", disabled: place === foundVideos.length - 1, onclick: () => stepVideo(1) }, "↓")),
    h("h3", { class: "asked" }, video.name.slice(FOLDER.length)),
    video.tracks.length > 1 && h("select", { "aria-label": "Captions shown", class: "track-choice", onchange: (event) => showTrack(Number(event.target.value)) },
      video.tracks.map((track, i) => h("option", { value: i }, trackName(track)))),
    h("div", { id: "watch-warning" }),
    h("div", { class: "watch" }, h("div", { id: "screen" }), h("div", { id: "captions", class: "list", role: "listbox", tabindex: "0" })),
    h("div", { id: "video-strip" }), h("div", { id: "video-answers" }), h("div", { id: "video-now" }), h("div", { id: "video-summary" }));
  drawScreen();
  drawVideoAnswers();
  showTrack(0);
  redrawOnScroll(document.getElementById("captions"), drawCaptions);
  pane.scrollTop = 0;
}

function trackName(track) {
  const asked = distinct(track.segments.map((item) => ITEMS[item].question)).filter(Boolean);
  return [RUNS.length > 1 && RUNS[track.run].name, asked.length === 1 && asked[0], count(track.segments.length, "segment")].filter(Boolean).join(": ");
}

// The player, or why there is none.
function drawScreen() {
  const { video } = watched;
  if (video.source === null) return drawReason(video.reason);
  const player = h("video", { src: video.source, controls: true, preload: "metadata", playsinline: true, "aria-label": video.name });
  const mine = watched;
  const during = (act) => () => mine === watched && mine.player === player && act();
  player.addEventListener("error", during(() => drawReason("This browser cannot play the file, or it is no longer there.")));
  player.addEventListener("loadedmetadata", during(() => {
    if (!player.videoWidth) drawReason("This browser cannot show the pictures of the file.");
    else if (Number.isFinite(player.duration) && player.duration > watched.length) {
      watched.length = player.duration;
      showTrack(watched.video.tracks.indexOf(watched.track));
    }
  }));
  for (const name of ["timeupdate", "seeking", "seeked"]) player.addEventListener(name, during(() => follows(player.currentTime)));
  watched.player = player;
  watched.cues = player.addTextTrack("captions", "Captions");
  watched.cues.mode = "showing";
  put(document.getElementById("screen"), player);
}

function drawReason(reason) {
  watched.player = watched.cues = null;
  put(document.getElementById("screen"), h("p", { class: "reason" }, h("b", null, "Not played. "), reason));
  drawNow();
}

// Show one of the tracks: its segments, chapters, cues and summary.
function showTrack(place) {
  const track = watched.video.tracks[place] || null;
  Object.assign(watched, { track, now: null, picked: null, segments: [], chapters: [] });
  if (track !== null) {
    watched.segments = met(track.segments.map((item) => pieceOf(track.run, item)));
    watched.chapters = met(track.chapters.map((item) => pieceOf(track.run, item)));
  }
  document.getElementById("captions").hidden = !watched.segments.length;
  drawCues();
  drawStrip();
  drawSummary();
  follows(watched.time);
  drawCaptions();
}

function pieceOf(run, item) {
  const { start, end } = ITEMS[item];
  return { run, item, answer: answerOf([run, item]), start: start || 0, end: end === null ? watched.length || Infinity : end };
}

// Windows that overlap meet in the middle of the overlap, as in the files of `videollm timeline`.
function met(pieces) {
  const cut = pieces.map((piece) => ({ ...piece, from: piece.start, to: piece.end }));
  for (let i = 1; i < cut.length; i++) {
    const [a, b] = [pieces[i - 1], pieces[i]];
    if (a.start < b.start && b.start < a.end && a.end < b.end) cut[i - 1].to = cut[i].from = (a.end + b.start) / 2;
  }
  return cut;
}

// A cue's text is markup of its own kind: what the model says is escaped.
function drawCues() {
  const { cues } = watched;
  if (cues === null) return;
  for (const cue of [...(cues.cues || [])]) cues.removeCue(cue);
  for (const { answer, from, to } of watched.segments) {
    if (!holdsAnswer(answer) || !answer.output || to <= from) continue;
    const letters = [...answer.output.replace(/\s+/g, " ").trim()];
    const text = letters.length > CUE_LETTERS ? `${letters.slice(0, CUE_LETTERS - 1).join("")}…` : letters.join("");
    cues.addCue(new VTTCue(from, to, text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;")));
  }
}

function seek(seconds) {
  const time = seconds + AFTER_START;
  if (watched.player !== null) watched.player.currentTime = time;
  follows(time);
}

// Follow the time of the player.
function follows(time) {
  watched.time = time;
  moveHead();
  const now = watched.segments.find(({ from, to }) => from <= time && time < to) || null;
  if (now !== watched.now) {
    watched.now = now;
    const list = document.getElementById("captions");
    if (document.activeElement !== list) bringIntoSight(list, watched.segments.indexOf(now));
    drawCaptions();
    drawNow();
    markNow();
  } else if (!watched.segments.length && watched.player === null) drawNow();
}

function drawCaptions() {
  if (watched === null) return;
  const list = document.getElementById("captions");
  list.setAttribute("aria-label", `Captions of ${count(watched.segments.length, "segment")}`);
  drawInSight(list, watched.segments, captionRow, watched.picked, "No segments.");
}

function captionRow(piece) {
  const { answer, start, end, item } = piece;
  const failed = !holdsAnswer(answer);
  return h("div", { id: `caption-${item}`, class: `row caption${piece === watched.now ? " now" : ""}${failed ? " has-failed" : ""}`, "aria-current": piece === watched.now ? "time" : null,
    onclick: () => pick(piece) },
    h("span", { class: "caption-time" }, momentText([start, end, null])),
    h("span", { class: "caption-text", title: answer.output }, failed ? `${answer.status}: ${answer.error || ""}` : answer.output || "(empty)"));
}

function pick(piece) {
  watched.picked = piece;
  seek(piece.from);
  drawCaptions();
}

function pressedAtCaptions(key) {
  const { segments, picked, now } = watched;
  const place = segments.indexOf(picked === null ? now : picked);
  const to = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: segments.length - 1 }[key];
  if (key === "Enter" && (picked || now)) pick(picked || now);
  else if (to === undefined) return false;
  else {
    watched.picked = segments[Math.min(segments.length - 1, Math.max(0, to))];
    bringIntoSight(document.getElementById("captions"), segments.indexOf(watched.picked));
    drawCaptions();
  }
  return true;
}

// What is said of the moment: its chapter, and all of its segment's caption; its pictures where the file does not play.
function drawNow() {
  const { now, chapters, time, player, video } = watched;
  const chapter = chapters.find(({ from, to }) => from <= time && time < to);
  const rows = [[chapter, "Chapter"], [now, "Segment"]].filter(([piece]) => piece);
  const items = now ? [now.item] : watched.segments.length ? [] : distinct(video.answers.map(([, item]) => item)).slice(0, 1);
  put(document.getElementById("video-now"),
    player === null && items.map((item) => timelines(ITEMS[item])),
    rows.map(([piece, kind]) => h("section", { class: "moment-text", "aria-label": kind },
      h("h4", null, `${kind} ${momentText([piece.start, piece.end, null])}`,
        h("button", { type: "button", class: "link", onclick: () => openRow(piece.item) }, "its row")),
      saidOf(piece.answer))));
}

function saidOf(answer) {
  return [
    answer.error !== null && h("div", { class: "error" }, h("b", null, answer.status), h("p", null, answer.error)),
    answer.output !== null && h("p", { class: "said" }, answer.output || h("span", { class: "nothing" }, "(empty)")),
  ];
}

function drawSummary() {
  const { track } = watched;
  const whole = track === null || track.whole === null ? null : answerOf([track.run, track.whole]);
  const failed = watched.segments.filter(({ answer }) => !holdsAnswer(answer)).length;
  const missing = track === null ? 0 : Math.max(0, track.expected - track.segments.length);
  put(document.getElementById("watch-warning"),
    failed > 0 && h("p", { class: "warning" }, `${count(failed, "segment")} of ${watched.segments.length.toLocaleString("en-US")} failed${whole !== null && whole.output !== null ? ": the summary is made of the others" : ""}.`),
    missing > 0 && h("p", { class: "warning" }, `${count(missing, "segment")} ${missing === 1 ? "has" : "have"} no row yet.`));
  put(document.getElementById("video-summary"), whole !== null && h("section", { class: "moment-text", "aria-label": "The whole video" },
    h("h4", null, "The whole video", h("button", { type: "button", class: "link", onclick: () => openRow(track.whole) }, "its row")), saidOf(whole)));
}

// Answers about the video, with the moments that they rest on.
function drawVideoAnswers() {
  const { answers } = watched.video;
  put(document.getElementById("video-answers"), answers.slice(0, MAX_ANSWERS).map((told) => {
    const [run, item] = told;
    const answer = answerOf(told);
    const { question, start, end } = ITEMS[item];
    const moments = (answer.evidence || []).map((moment) => momentButton(moment, told));
    const range = answer.evidence === null && end !== null ? [momentButton([start || 0, end, null], told)] : [];
    return h("section", { class: "video-answer", "aria-label": question },
      h("h4", { class: "video-question" }, badge(answer, RUNS[run]), h("span", null, question || "(no question)"), RUNS.length > 1 && runLabel(RUNS[run]),
        h("button", { type: "button", class: "link", onclick: () => openRow(item) }, "its row")),
      saidOf(answer),
      (moments.length > 0 || range.length > 0) && h("div", { class: "moments-row" }, moments.length > 0 && h("span", { class: "note" }, "Evidence"), moments, range),
      answer.evidence !== null && h("p", { class: "note" }, `${moments.length ? "" : "No evidence was found. "}${placed(answer.strategy)}: ${lookedText(answer.looked)}`));
  }), answers.length > MAX_ANSWERS && h("p", { class: "note" }, `${(answers.length - MAX_ANSWERS).toLocaleString("en-US")} more answers are among the questions below.`));
}

function momentButton(moment, told) {
  return h("button", { type: "button", class: "moment", onclick: () => {
    watched.shown = told;
    drawStrip();
    seek(moment[0]);
  } }, momentText(moment));
}

// A span of time, with its score where it has one.
function momentText([start, end, score]) {
  const span = Number.isFinite(end) ? `${stamp(start)}-${stamp(end)}` : stamp(start);
  return score === null ? span : `${span} (${score.toFixed(1)})`;
}

function stamp(seconds) {
  const tenths = Math.round(seconds * 10);
  const pad = (value) => String(value).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(tenths / 36000), Math.floor(tenths / 600) % 60, tenths % 600];
  return `${hours ? `${hours}:${pad(minutes)}` : minutes}:${pad(Math.floor(rest / 10))}${rest % 10 ? `.${rest % 10}` : ""}`;
}

function lookedText([looks, frames]) {
  return [looks !== null && count(looks, "look"), frames !== null && count(frames, "frame")].filter(Boolean).join(", ") || "not told";
}

function openRow(item) {
  open(ITEMS[item]);
  showWorkspace(true);
}
