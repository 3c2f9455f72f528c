// One question: its frames on a time line, and what each run made of it.

const openParts = new Set(); // Which foldable parts a reader opened: they stay open from question to question.

function drawQuestion() {
  const article = document.getElementById("question");
  const item = state.open;
  document.body.classList.toggle("reading", item !== null);
  if (item === null) {
    put(article, h("div", { class: "empty" },
      h("p", null, "Choose a question to see its frames, prompt and answers."),
      h("p", { class: "keys" }, h("kbd", null, "/"), " search ", h("kbd", null, "j"), h("kbd", null, "k"), " next, previous ", h("kbd", null, "Esc"), " close")));
    return;
  }
  const place = listed.indexOf(item);
  put(article, 
    h("div", { class: "question-tools" },
      h("button", { type: "button", class: "back", onclick: close }, "Back"),
      h("span", { class: "note" }, place < 0 ? "not in the list" : `${(place + 1).toLocaleString("en-US")} of ${listed.length.toLocaleString("en-US")}`),
      h("button", { type: "button", "aria-label": "Previous question", disabled: place <= 0, onclick: () => step(-1) }, "↑"),
      h("button", { type: "button", "aria-label": "Next question", disabled: place === listed.length - 1, onclick: () => step(1) }, "↓")),
    h("h3", { class: "asked" }, item.question || "(no question)"),
    h("p", { class: "tags" }, h("span", { class: "tag id" }, item.id), SETTINGS.length > 1 && h("span", { class: "tag" }, settingName(item.setting)),
      DATA.groupings.map((name, i) => item.groups[i].map((group) => h("span", { class: "tag", title: name }, group)))),
    item.options && optionList(item),
    item.references && h("div", { class: "references" }, h("h4", null, item.references.length > 1 ? "Right answers" : "Right answer"),
      h("ul", null, item.references.map((text) => h("li", null, text)))),
    item.options && item.right === null && h("p", { class: "note" }, "No right answer is published."),
    timelines(item),
    h("div", { class: "answers" }, item.answers.map((answer, i) => answerPart(item, answer, RUNS[i]))));
  article.scrollTop = 0;
}

function optionList(item) {
  return h("ol", { class: "options" }, item.options.map((text, i) => {
    const chosenBy = RUNS.filter((run) => item.answers[run.index] && item.answers[run.index].reading === LETTERS[i]);
    return h("li", { class: i === item.right ? "is-right" : null },
      h("span", { class: "letter" }, LETTERS[i]), h("span", { class: "option-text" }, text),
      h("span", { class: "option-marks" },
        chosenBy.map((run) => h("span", { class: "chose" }, marker(run), RUNS.length > 1 ? run.name : "chosen")),
        i === item.right && h("span", { class: "right-mark" }, "✓ right")));
  }));
}

// One time line for runs that saw the same frames.
function timelines(item) {
  const strips = distinct(item.answers.map((a) => (a === null ? null : a.strip)).filter((place) => place !== null));
  return strips.map((place) => {
    const runs = RUNS.filter((run) => item.answers[run.index] && item.answers[run.index].strip === place);
    return timeline(item, place, strips.length > 1 ? runs : []);
  });
}

function timeline(item, place, runs) {
  const strip = DATA.strips[place];
  const start = item.start === null ? 0 : item.start;
  const lastFrame = Math.max(...strip.seconds);
  const ends = [item.end, strip.video_seconds].filter((value) => value !== null);
  const end = Math.max(lastFrame, ends.length ? Math.min(...ends) : lastFrame);
  const length = Math.max(end - start, 1e-3);
  const at = (seconds) => `${Math.min(100, Math.max(0, (100 * (seconds - start)) / length))}%`;
  const pictures = picturesOf(place);
  const num = strip.places.length;
  const frames = distinct(strip.indices).length;
  const inner = h("div", { class: "strip" },
    num > 0 && h("div", { class: "frames" }, strip.places.map((frame, i) => h("figure", null,
      h("img", { src: pictures && `data:image/jpeg;base64,${pictures[i]}`, alt: `Frame ${strip.indices[frame]} at ${clock(strip.seconds[frame])}` }),
      h("figcaption", null, h("b", null, clock(strip.seconds[frame])), h("span", null, `frame ${strip.indices[frame]}`))))),
    num > 0 && svg("svg", { class: "leaders", "aria-hidden": "true" }, strip.places.map((frame, i) =>
      svg("line", { x1: `${(100 * (i + 0.5)) / num}%`, y1: "0", x2: at(strip.seconds[frame]), y2: "100%" }))),
    svg("svg", { class: "clip-axis", role: "img", "aria-label": `${frames} frames between ${clock(start)} and ${clock(end)}` },
      svg("line", { class: "clip", x1: "0", x2: "100%", y1: "6", y2: "6" }),
      strip.seconds.map((seconds, i) => svg("line", { class: strip.places.includes(i) ? "shown" : "frame", x1: at(seconds), x2: at(seconds), y1: "0", y2: "12" }))),
    h("div", { class: "clip-ends" }, h("span", null, clock(start)), h("span", null, ends.length ? clock(end) : `${clock(end)} (last frame)`)));
  if (num) inner.style.minWidth = `${num * 72}px`;
  return h("section", { class: "timeline", "aria-label": "Frames" },
    h("div", { class: "timeline-head" }, runs.map(runLabel), h("span", { class: "video", title: item.video }, shortVideo(item)),
      h("span", { class: "note" }, `${count(frames, "frame")}${num && num < frames ? `, ${num} shown` : ""}`)),
    strip.reason && h("p", { class: "reason" }, h("b", null, "No pictures. "), strip.reason),
    h("div", { class: "scroll", tabindex: num > 4 ? "0" : null }, inner),
    frames > num && fold("frames", `Times of all ${frames} frames`, () => h("p", { class: "moments" },
      strip.indices.map((index, i) => h("span", null, `${clock(strip.seconds[i])} `, h("small", null, `#${index}`))))));
}

// Pictures of a strip, read from the page when they are first looked at.
function picturesOf(place) {
  const block = document.getElementById(`pictures-${place}`);
  return block === null ? null : JSON.parse(block.textContent);
}

function answerPart(item, answer, run) {
  if (answer === null) {
    return h("section", { class: `answer run-${run.index % 8}` }, RUNS.length > 1 && h("h4", null, runLabel(run)), h("p", { class: "note" }, "This run does not have the question."));
  }
  const prompt = promptOf(answer);
  const seconds = answer.seconds && ["decoding", "encoding", "generating"].map((what, i) => [`Seconds ${what}`, answer.seconds[i].toFixed(3)]);
  const facts = [
    ["Finished by", answer.finish],
    ["Visual tokens", answer.tokens && answer.tokens.toLocaleString("en-US")],
    ["Frame size", answer.size],
    ["Note", placed(answer.note)],
    ["Segment ends by", placed(answer.cut)],
    ["Segments without an answer", answer.failed],
    ["Strategy", placed(answer.strategy)],
    ["Evidence", answer.evidence && (answer.evidence.map(momentText).join("; ") || "none found")],
    ["Looked at", answer.looked && lookedText(answer.looked)],
    ["Frames missing", answer.missing && answer.missing.join(", ")],
    ...(seconds || []),
  ].filter(([, value]) => value);
  return h("section", { class: `answer run-${run.index % 8}`, "aria-label": `Answer of ${run.name}` },
    h("div", { class: "answer-head" }, badge(answer, run), h("span", { class: "verdict" }, verdictText(answer)), RUNS.length > 1 && runLabel(run)),
    answer.error !== null && h("div", { class: "error" }, h("b", null, answer.status), h("p", null, answer.error)),
    answer.output !== null && h("div", { class: "field" }, h("h4", null, "Output"),
      h("pre", { class: "output" }, answer.output === "" ? h("span", { class: "nothing" }, "(empty)") : answer.output)),
    (answer.reading || answer.rule) && h("div", { class: "field" }, h("h4", null, "Read as"),
      h("p", null, h("b", { class: "reading" }, answer.reading || "nothing"), answer.rule && h("span", { class: "note" }, ` by rule: ${answer.rule}`))),
    answer.strict !== null && marks(answer),
    answer.rotations && rotations(item, answer),
    facts.length > 0 && h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value)))),
    prompt !== null && fold("prompt", "Prompt", () => h("pre", { class: "prompt" }, prompt)));
}

function verdictText(answer) {
  const kind = verdict(answer);
  return kind === "graded" ? `${DATA.metrics[answer.metric]} ${points(answer.worth)}` : kind === "failed" ? answer.status : cap(BADGES[kind][1]);
}

// The question's own scores, where there is more to say than right or wrong.
function marks(answer) {
  const shown = DATA.metrics.map((name, i) => [name, answer.strict[i], answer.compat && answer.compat[i]]).filter(([, value]) => value !== null);
  const both = shown.some(([, , compat]) => compat !== null);
  return h("table", { class: "marks" },
    h("thead", null, h("tr", null, h("td", null), h("th", { scope: "col" }, "Strict"), both && h("th", { scope: "col" }, "Official rule"))),
    h("tbody", null, shown.map(([name, value, compat]) => h("tr", null, h("th", { scope: "row" }, name), h("td", null, points(value)),
      both && h("td", null, compat === null ? "" : points(compat))))));
}

function rotations(item, answer) {
  const rows = [{ by: 0, status: answer.status, reading: answer.reading, rule: answer.rule, output: answer.output, correct: answer.status === "ok" && item.right !== null ? answer.reading === LETTERS[item.right] : null }, ...answer.rotations];
  const order = (by) => item.options.map((_, i) => LETTERS[(i + by) % item.options.length]).join(" ");
  return h("div", { class: "field" }, h("h4", null, "With the options in every rotation"),
    h("div", { class: "scroll" }, h("table", { class: "rotations" },
      h("thead", null, h("tr", null, ["Order", "Chose", "", "Output"].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", null, rows.map((r) => h("tr", null, h("td", { class: "order" }, order(r.by)), h("td", null, r.reading || r.status),
        h("td", null, r.correct === null ? "" : r.correct ? "✓" : "✕"), h("td", { class: "rotation-output" }, r.output || "")))))));
}

function fold(name, title, content) {
  const details = h("details", { open: openParts.has(name) }, h("summary", null, title));
  const draw = () => details.open && details.children.length === 1 && details.append(content());
  details.addEventListener("toggle", () => {
    if (details.open) openParts.add(name);
    else openParts.delete(name);
    draw();
  });
  draw();
  return details;
}
