// Elements and figures. What the data say goes in as text nodes and attributes; nothing is ever parsed as HTML.

function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false && child !== "") element.append(child);
  }
  return element;
}

// Replace what an element holds.
function put(element, ...children) {
  element.replaceChildren();
  return fill(element, null, children);
}

function count(number, one, many) {
  return `${number.toLocaleString("en-US")} ${number === 1 ? one : many || `${one}s`}`;
}

// Scores are shown times 100; ties are rounded to the even digit, as in the tables beside the page.
function points(value) {
  const hundredths = value * 100;
  const tie = Math.abs(hundredths * 4) % 2 === 1;
  return tie ? (Math.round(hundredths * 5) / 5).toFixed(1) : hundredths.toFixed(1);
}

function interval(estimate) {
  return estimate.low === null ? "no interval" : `${points(estimate.low)} to ${points(estimate.high)}`;
}

function share(part, whole) {
  const percent = (100 * part) / whole;
  return percent > 0 && percent < 0.1 ? "< 0.1%" : `${percent.toFixed(1)}%`;
}

function clock(seconds) {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  const rest = (seconds % 60).toFixed(seconds < 600 ? 1 : 0);
  const minutes = Math.floor(seconds / 60);
  const padded = rest.padStart(seconds < 600 ? 4 : 2, "0");
  return minutes < 60 ? `${minutes}:${padded}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${padded}`;
}

function marker(run) {
  return h("span", { class: `marker run-${run.index % 8}`, "aria-hidden": "true" });
}

function runLabel(run) {
  return h("span", { class: "run-label" }, marker(run), h("span", { class: "run-name" }, run.name));
}

// Scale of a figure: from the lowest to the highest bound, widened to tens.
function scaleOf(estimates) {
  const bounds = estimates.flatMap((e) => [e.mean, e.low === null ? e.mean : e.low, e.high === null ? e.mean : e.high]);
  const low = Math.max(0, Math.floor(Math.min(...bounds) * 10 + 1e-9) / 10);
  const high = Math.max(low + 0.2, Math.ceil(Math.max(...bounds) * 10 - 1e-9) / 10);
  return { low, high, at: (value) => `${(100 * (Math.min(high, Math.max(low, value)) - low)) / (high - low)}%` };
}

// A dot with its 95% interval.
function dot(estimate, scale, run) {
  const title = `${points(estimate.mean)}, 95% interval ${interval(estimate)}, ${count(estimate.questions, "question")}`;
  const middle = scale.at(estimate.mean);
  const bar = estimate.low === null ? null : svg("line", { class: "whisker", x1: scale.at(estimate.low), x2: scale.at(estimate.high), y1: "50%", y2: "50%" });
  return svg(
    "svg", { class: `dot run-${run.index % 8}`, role: "img", "aria-label": title },
    svg("title", null, title), ...ticks(scale).map((value) => svg("line", { class: "grid", x1: scale.at(value), x2: scale.at(value), y1: "0", y2: "100%" })),
    bar, svg("circle", { cx: middle, cy: "50%", r: "4.5" }),
  );
}

function ticks(scale) {
  const step = [0.1, 0.2, 0.25, 0.5, 1, 2, 2.5].find((size) => (scale.high - scale.low) / size <= 4.1) || 5;
  const found = [];
  for (let value = Math.ceil(scale.low / step - 1e-9) * step; value <= scale.high + 1e-9; value += step) found.push(value);
  return found;
}

function axis(scale) {
  const labels = ticks(scale).map((value) => {
    const label = h("span", null, Math.round(value * 100));
    label.style.left = scale.at(value);
    return label;
  });
  return h("div", { class: "axis", "aria-hidden": "true" }, labels);
}

// A bar of parts with their shares.
function stacked(counts, total) {
  return h("div", { class: "stacked", "aria-hidden": "true" }, Object.entries(counts).map(([status, number]) => {
    const part = h("span", { class: statusClass(status) });
    part.style.flexGrow = number / total;
    return part;
  }));
}

function statusClass(status) {
  return `status-${["ok", "unparsed", "missing", "partial"].includes(status) ? status : "failed"}`;
}

const BADGES = {
  right: ["✓", "right"],
  wrong: ["✕", "wrong"],
  graded: ["", "score"],
  answered: ["●", "answered"],
  partial: ["◐", "answered in part"],
  unparsed: ["?", "could not be read"],
  missing: ["–", "missing"],
  failed: ["!", "failed"],
  absent: ["", "not in this run"],
};

function badge(answer, run) {
  const kind = verdict(answer);
  const [sign, meaning] = BADGES[kind];
  const text = kind === "graded" ? Math.round(answer.worth * 100) : sign;
  const label = `${RUNS.length > 1 ? `${run.name}: ` : ""}${meaning}${kind === "graded" ? ` ${text}` : ""}${kind === "failed" ? ` (${answer.status})` : ""}`;
  return h("span", { class: `badge ${kind}`, role: "img", "aria-label": label, title: label }, String(text));
}
