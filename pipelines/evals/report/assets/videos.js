// The list of videos: what is known of each, what is searched in them, and which one is open.

const VIDEOS = DATA.videos.map((video, index) => ({ ...video, index, words: null, ...summed(video) }));
const KINDS = {
  "": ["All videos", () => true],
  failed: ["With parts that failed", (video) => video.numFailed > 0],
  evidence: ["With evidence", (video) => video.numEvidence > 0],
  away: ["Files that are away", (video) => video.source === null],
};
let foundVideos = VIDEOS;
let videoKind = "";

// [run, item] of everything that is said of a video.
function toldOf(video) {
  const places = ({ whole, chapters, segments }) => (whole === null ? [] : [whole]).concat(chapters, segments);
  return video.tracks.flatMap((track) => places(track).map((item) => [track.run, item])).concat(video.answers);
}

function answerOf([run, item]) {
  return ITEMS[item].answers[run];
}

function holdsAnswer(answer) {
  return answer !== null && (answer.status === "ok" || answer.status === "partial");
}

function summed(video) {
  const told = toldOf(video).map(answerOf);
  return {
    numSegments: Math.max(0, ...video.tracks.map((track) => track.segments.length)),
    numFailed: told.filter((answer) => !holdsAnswer(answer)).length,
    numEvidence: told.filter((answer) => answer.evidence && answer.evidence.length).length,
  };
}

function videoWords(video) {
  if (video.words === null) {
    const texts = toldOf(video).flatMap(([run, item]) => {
      const answer = ITEMS[item].answers[run];
      return [ITEMS[item].question, answer.output, answer.error];
    });
    video.words = [video.name, ...distinct(texts)].filter(Boolean).join("\n").toLowerCase();
  }
  return video.words;
}

function termsOf(search) {
  return search.toLowerCase().split(/\s+/).filter(Boolean);
}

function drawVideos() {
  if (!VIDEOS.length) return;
  document.getElementById("videos").hidden = false;
  const kinds = Object.entries(KINDS).filter(([, [, passes]]) => VIDEOS.some(passes));
  put(document.getElementById("video-filters"),
    h("div", { class: "filter-head" }, h("h2", { id: "videos-title" }, "Videos"), h("output", { id: "video-count", "aria-live": "polite" })),
    h("div", { class: "filter-row" },
      h("input", { id: "find", type: "search", autocomplete: "off", spellcheck: "false", "aria-label": "Search videos",
        placeholder: "Search captions, answers, names of videos", oninput: (event) => findVideos({ find: event.target.value }) }),
      kinds.length > 1 && h("select", { "aria-label": "Which videos", onchange: (event) => {
        videoKind = event.target.value;
        findVideos({});
      } }, kinds.map(([value, [label]]) => h("option", { value }, label)))));
  redrawOnScroll(document.getElementById("video-list"), drawVideoRows);
}

function findVideos(changes) {
  state = { ...state, ...changes };
  drawVideoList(false);
  drawHits();
  writeFragment(false);
}

function drawVideoList(keepScroll) {
  if (!VIDEOS.length) return;
  const terms = termsOf(state.find);
  const passes = KINDS[videoKind][1];
  foundVideos = VIDEOS.filter((video) => passes(video) && (!terms.length || terms.every((term) => videoWords(video).includes(term))));
  const list = document.getElementById("video-list");
  list.setAttribute("aria-label", count(foundVideos.length, "video"));
  put(document.getElementById("video-count"), h("b", null, foundVideos.length.toLocaleString("en-US")),
    foundVideos.length === VIDEOS.length ? "" : ` of ${VIDEOS.length.toLocaleString("en-US")}`);
  const search = document.getElementById("find");
  if (search.value !== state.find) search.value = state.find;
  if (!keepScroll) list.scrollTop = 0;
  drawVideoRows();
}

function drawVideoRows() {
  drawInSight(document.getElementById("video-list"), foundVideos, videoRow, state.video, "No video fits. Search for less.");
}

function videoRow(video) {
  const facts = [
    video.seconds === null ? null : clock(video.seconds),
    video.numSegments && count(video.numSegments, "segment"),
    video.answers.length && count(video.answers.length, "answer"),
  ].filter(Boolean).join(", ");
  return h("div", { id: `video-row-${video.index}`, class: "row", onclick: () => openVideo(video) },
    h("span", { class: "badges" }, h("span", { class: "badge play", "aria-hidden": "true" }, video.source === null ? "▫" : "▶")),
    h("span", { class: "row-title", title: video.name }, video.name.slice(FOLDER.length)),
    h("span", { class: "row-note" }, h("span", null, facts),
      video.numFailed > 0 && h("span", { class: "row-failed" }, `${video.numFailed.toLocaleString("en-US")} failed`)));
}

function openVideo(video) {
  const first = state.video === null;
  state = { ...state, video };
  drawVideo();
  if (bringIntoSight(document.getElementById("video-list"), foundVideos.indexOf(video))) drawVideoRows();
  if (NARROW.matches) document.getElementById("video").focus({ preventScroll: true });
  writeFragment(first);
}

function closeVideo() {
  state = { ...state, video: null };
  drawVideo();
  drawVideoRows();
  document.getElementById("video-list").focus({ preventScroll: true });
  writeFragment(false);
}

function stepVideo(by) {
  const place = foundVideos.indexOf(state.video);
  const next = foundVideos[place < 0 ? 0 : Math.min(foundVideos.length - 1, Math.max(0, place + by))];
  if (next && next !== state.video) openVideo(next);
}

function showVideos() {
  document.getElementById("videos").scrollIntoView();
  document.getElementById("video-list").focus({ preventScroll: true });
}

// Do what a key means among the videos; false: it means nothing here.
function pressedAtVideos(event) {
  const at = event.target.id;
  if (event.key === "j" || (event.key === "ArrowDown" && at === "video-list")) stepVideo(1);
  else if (event.key === "k" || (event.key === "ArrowUp" && at === "video-list")) stepVideo(-1);
  else if (at === "captions") return pressedAtCaptions(event.key);
  else return pressedAtLane(event);
  return true;
}
