// What the page stands at, which the URL's fragment keeps, and how keys and clicks change it.

const EMPTY = { search: "", sort: "", ...Object.fromEntries(Object.keys(FILTERS).map((name) => [name, ""])) };
const SCORED_NOTHING = !SCORED && ITEMS.some((item) => item.options);
const NARROW = window.matchMedia("(max-width: 899px)");
const NOTHING_OPEN = { ...EMPTY, open: null, find: "", video: null };
let state = NOTHING_OPEN;
let writing = 0;

function readFragment() {
  const found = new URLSearchParams(location.hash.slice(1));
  const read = { ...NOTHING_OPEN, find: found.get("find") || "" };
  for (const name of Object.keys(EMPTY)) read[name] = found.get(name) || "";
  if (!SORTS[read.sort]) read.sort = "";
  if (read.verdict && !VERDICTS[read.verdict.split(":")[0]]) read.verdict = "";
  const setting = found.get("in");
  read.open = (found.has("open") && ITEMS.find((item) => item.id === found.get("open") && (setting === null || item.setting === setting))) || null;
  read.video = VIDEOS.find((video) => video.name === found.get("video")) || null;
  return read;
}

function fragment() {
  const parts = new URLSearchParams();
  for (const name of Object.keys(EMPTY)) if (state[name]) parts.set(name, state[name]);
  if (state.open !== null) {
    parts.set("open", state.open.id);
    if (SETTINGS.length > 1) parts.set("in", state.open.setting);
  }
  if (state.find) parts.set("find", state.find);
  if (state.video !== null) parts.set("video", state.video.name);
  return `#${parts}`;
}

// Browsers limit how often the address may change, so typing changes it when it pauses.
function writeFragment(entry) {
  clearTimeout(writing);
  writing = setTimeout(() => {
    if (fragment() === (location.hash || "#")) return;
    if (entry) history.pushState(null, "", fragment());
    else history.replaceState(null, "", fragment());
  }, entry ? 0 : 250);
}

function change(changes) {
  state = { ...state, ...changes };
  drawList(state, false);
  writeFragment(false);
}

function filterTo(changes) {
  change({ ...EMPTY, ...changes });
  showWorkspace(true);
}

function open(item) {
  const first = state.open === null;
  state = { ...state, open: item };
  drawQuestion();
  scrollToOpen();
  if (NARROW.matches) document.getElementById("question").focus({ preventScroll: true });
  writeFragment(first);
}

function close() {
  state = { ...state, open: null };
  drawQuestion();
  drawRows();
  document.getElementById("list").focus({ preventScroll: true });
  writeFragment(false);
}

function step(by) {
  const place = listed.indexOf(state.open);
  const next = listed[place < 0 ? 0 : Math.min(listed.length - 1, Math.max(0, place + by))];
  if (next && next !== state.open) open(next);
}

function showWorkspace(focus) {
  document.getElementById("workspace").scrollIntoView();
  if (focus) document.getElementById("list").focus({ preventScroll: true });
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input, select, textarea");
  const atVideos = event.target.closest("#videos") !== null;
  if (event.key === "Escape" && !typing && atVideos && state.video !== null) closeVideo();
  else if (event.key === "Escape" && !(typing && atVideos) && state.open !== null) close();
  else if (event.key === "Escape" && typing) event.target.blur();
  else if (typing) return;
  else if (event.key === "/") {
    if (!atVideos) showWorkspace(false);
    document.getElementById(atVideos ? "find" : "search").focus({ preventScroll: true });
  } else if (atVideos) {
    if (!pressedAtVideos(event)) return;
  } else if (event.key === "j" || (event.key === "ArrowDown" && event.target.id === "list")) step(1);
  else if (event.key === "k" || (event.key === "ArrowUp" && event.target.id === "list")) step(-1);
  else return;
  event.preventDefault();
}

function start() {
  drawHeader();
  drawScores();
  drawStatuses();
  drawGroups();
  drawDifferences();
  drawProvenance();
  drawVideos();
  drawFilters();
  redrawOnScroll(document.getElementById("list"), drawRows);
  document.addEventListener("keydown", pressed);
  window.addEventListener("popstate", follow);
  document.addEventListener("DOMContentLoaded", () => state.open !== null && drawQuestion()); // Pictures come last.
  follow();
  if (state.video !== null && state.open === null) document.getElementById("videos").scrollIntoView();
  else if (location.hash.length > 1) showWorkspace(false);
}

// Stand where the address says.
function follow() {
  const before = state.video;
  state = readFragment();
  drawVideoList(true);
  if (state.video !== before) drawVideo();
  drawList(state, true);
  drawQuestion();
  scrollToOpen();
}

start();
