// Chapters, segments and evidence of the open video on its time line. A lane is one stop of the Tab key; arrows move in it.

const DENSE_SEGMENTS = 200; // More than these leave no room for lines between them.
const LATE = 0.9; // Share of the time line.

function drawStrip() {
  const { chapters, segments, shown } = watched;
  const ends = [...chapters, ...segments].map(({ to }) => to).filter(Number.isFinite);
  const evidence = shown === null ? [] : answerOf(shown).evidence || [];
  const length = Math.max(watched.length, ...ends, ...evidence.map(([, end]) => end));
  const lanes = [
    lane("chapters", "Chapters", chapters.map((piece) => mark(piece.from, piece.to, length, titleOf(piece), piece))),
    lane(segments.length > DENSE_SEGMENTS ? "segments dense" : "segments", "Segments", segments.map((piece) => mark(piece.from, piece.to, length, "", piece))),
    lane("evidence", shown === null ? "" : `Evidence: ${ITEMS[shown[1]].question}`, evidence.map(([start, end, score]) => {
      const said = answerOf(shown).output || "";
      const place = start > LATE * length ? "before" : null; // the score, where there is no room behind the mark
      return mark(start, end, length, score !== null && h("span", { class: place }, score.toFixed(1)), null, `Evidence ${momentText([start, end, score])}: ${said}`);
    })),
  ].filter(Boolean);
  watched.stripLength = length;
  put(document.getElementById("video-strip"), lanes.length > 0 && length > 0 && [
    h("div", { class: "lanes" }, lanes, h("div", { class: "head", "aria-hidden": "true" })),
    h("div", { class: "clip-ends" }, h("span", null, stamp(0)), h("span", null, stamp(length))),
  ]);
  moveHead();
  markNow();
  markShown();
  drawHits();
}

function lane(kind, label, marks) {
  if (!marks.length) return null;
  marks[0].tabIndex = 0;
  return h("div", { class: `lane ${kind}`, role: "toolbar", "aria-label": label }, marks);
}

function titleOf({ answer }) {
  const line = (answer.output || "").split("\n")[0].replace(/^\[[\d:]+-[\d:]+\]\s*/, "");
  return holdsAnswer(answer) ? line : answer.status;
}

function mark(start, end, length, text, piece, told) {
  const said = piece === null ? told : `${momentText([piece.start, piece.end, null])}: ${holdsAnswer(piece.answer) ? titleOf(piece) : `${piece.answer.status}, ${piece.answer.error}`}`;
  const failed = piece !== null && !holdsAnswer(piece.answer);
  const button = h("button", { type: "button", tabindex: "-1", class: failed ? "has-failed" : null, title: said, "aria-label": said, onclick: () => {
    reach(button);
    watched.picked = null;
    seek(start);
    drawCaptions();
  } }, text);
  button.piece = piece;
  button.style.left = `${(100 * start) / length}%`;
  button.style.width = `${(100 * (Math.min(end, length) - start)) / length}%`;
  return button;
}

// Make a mark the one of its lane that the Tab key reaches.
function reach(button) {
  for (const other of button.parentElement.querySelectorAll("[tabindex='0']")) other.tabIndex = -1;
  button.tabIndex = 0;
}

function pressedAtLane(event) {
  const button = event.target.closest(".lane > button");
  if (button === null) return false;
  const marks = [...button.parentElement.children];
  const place = marks.indexOf(button);
  const to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: marks.length - 1 }[event.key];
  if (to === undefined) return false;
  const next = marks[Math.min(marks.length - 1, Math.max(0, to))];
  reach(next);
  next.focus();
  return true;
}

function moveHead() {
  const head = document.querySelector("#video-strip .head");
  if (head !== null) head.style.left = `${Math.min(100, (100 * watched.time) / watched.stripLength)}%`;
}

// Mark the segment that plays.
function markNow() {
  for (const button of document.querySelectorAll("#video-strip .segments > button")) {
    if (button.piece === watched.now) button.setAttribute("aria-current", "time");
    else button.removeAttribute("aria-current");
  }
}

// Mark the answer whose evidence is on the strip.
function markShown() {
  [...document.querySelectorAll("#video-answers > section")].forEach((section, i) => {
    section.classList.toggle("is-shown", watched.video.answers[i] === watched.shown);
  });
}

// Mark the segments whose captions hold what is searched.
function drawHits() {
  const terms = termsOf(state.find);
  for (const button of document.querySelectorAll("#video-strip .segments > button")) {
    const text = (button.piece.answer.output || "").toLowerCase();
    button.classList.toggle("hit", terms.length > 0 && terms.every((term) => text.includes(term)));
  }
}
