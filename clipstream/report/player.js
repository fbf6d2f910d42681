// The list of highlights, the player and its caption. Shares a scope with timeline.js, which draws.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (name) => document.getElementById(name);
const css = (element, name) => getComputedStyle(element).getPropertyValue(name).trim();
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

const hms = (time, digits = 0) => {
  const unit = 10 ** digits;
  const total = Math.floor(time * unit + 1e-6);
  const pad = (value) => String(value).padStart(2, "0");
  const whole = Math.floor(total / unit);
  const clock = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60].map(pad).join(":");
  return digits ? `${clock}.${String(total % unit).padStart(digits, "0")}` : clock;
};
const amount = (value) => {
  if (value === null || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  const text = value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 || size < 0.0005 ? 2 : 3);
  return text.replace("-", "−");
};

// ---- the highlights

const highlights = new Map(data.highlights.map((one) => [one.number, one]));
const inTime = [...highlights.keys()];
const video = byId("video");
const rows = new Map([...document.querySelectorAll("#rows tr")].map((row) => [Number(row.dataset.number), row]));
const byRank = [...rows.keys()];
const hues = new Map(data.lanes.filter((lane) => lane.kind === "feature").map((lane) => [lane.label, lane.feature % 6]));
let order = byRank, chosen = null, playingAll = false, cursor = null;

const make = (tag, className, text) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};

function caption(one) {
  const box = byId("caption");
  const what = make("div", "what");
  what.append(make("b", "", `Highlight ${one.number}`), make("span", "", `${one.start} – ${one.end}`),
    make("span", "", `peak ${one.peak}`), make("span", "", `score ${amount(one.score)}`));
  const causes = make("div", "causes");
  for (const reason of one.reasons) {
    const unit = reason.unit ? ` ${reason.unit}` : "";
    const share = make("span", "share");
    const filled = make("i");
    filled.dataset.hue = hues.get(reason.feature) ?? 0;
    filled.style.width = `${clamp((reason.share ?? 0) * 100, 0, 100)}%`;
    share.title = `${Math.round((reason.share ?? 0) * 100)} % of the score`;
    share.append(filled);
    causes.append(make("span", "", reason.label), make("b", "", `${reason.deviations > 0 ? "+" : ""}${amount(reason.deviations)}`),
      make("span", "quiet usual", `${amount(reason.value)}${unit}, usually ${amount(reason.usual)}${unit}`), share);
  }
  const file = make("small");
  if (one.clip) {
    const link = make("a", "", one.clip);
    link.href = one.url;
    file.append(link, one.method ? ` · ${one.method}` : "");
  } else {
    file.append(one.notes.join(" ") || "There is no clip of it.");
  }
  box.replaceChildren(what, causes, file);
}

// Tried first and told afterwards: Chromium plays Matroska, and says beforehand that it does not.
const kinds = { mkv: "Matroska (.mkv)", mov: "QuickTime (.mov)", ts: "MPEG-TS (.ts)" };

function trouble(one, said = "", remedy = "") {
  const box = byId("trouble");
  box.hidden = !one;
  if (!one) return;
  const link = make("a", "", `Open ${one.clip}`);
  link.href = one.url;
  box.replaceChildren(`${said} `, link, ` in a media player. Clips for browsers are made with ${remedy}.`);
}

function choose(number, { play = false, at = null } = {}) {
  const one = highlights.get(number);
  if (!one) return;
  if (chosen !== number) {
    chosen = number;
    rows.forEach((row, key) => (key === number ? row.setAttribute("aria-current", "true") : row.removeAttribute("aria-current")));
    const picture = rows.get(number).querySelector("img");
    trouble(null);
    video.poster = picture ? picture.src : "";
    if (one.url) video.src = one.url;
    else video.removeAttribute("src");
    video.load();
    caption(one);
    reveal(one.start_s, one.end_s);
    draw();
  }
  if (!one.url) return;
  if (at !== null) {
    const seek = () => { if (chosen === number) video.currentTime = Math.max(0, at - one.clip_start_s); };
    if (video.readyState) seek();
    else video.addEventListener("loadedmetadata", seek, { once: true });
  }
  if (play) {
    rows.get(number).scrollIntoView({ block: "nearest" });
    video.play().catch(() => {}); // the error event says what is wrong
  }
}

const step = (by, options) => {
  const next = order[order.indexOf(chosen) + by];
  if (next !== undefined) choose(next, options);
  return next !== undefined;
};

function sortBy(wanted) {
  order = wanted;
  byId("rows").append(...wanted.map((number) => rows.get(number)));
  byId("by-rank").setAttribute("aria-pressed", wanted === byRank);
  byId("by-time").setAttribute("aria-pressed", wanted === inTime);
}

if (video) {
  byId("rows").addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (!row || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    playingAll = false;
    choose(Number(row.dataset.number), { play: true, at: null });
  });
  byId("by-rank").addEventListener("click", () => sortBy(byRank));
  byId("by-time").addEventListener("click", () => sortBy(inTime));
  byId("play-all").addEventListener("click", () => {
    playingAll = true;
    choose(order[0], { play: true, at: highlights.get(order[0]).start_s });
  });
  video.addEventListener("ended", () => { if (playingAll) playingAll = step(1, { play: true }); });
  video.addEventListener("error", () => {
    if (!video.getAttribute("src")) return;
    const one = highlights.get(chosen);
    const kind = kinds[one.clip.split(".").pop()];
    if (kind) trouble(one, `This browser does not play this ${kind} file.`, "--container mp4");
    else trouble(one, "This browser cannot play the clip: it does not know the codec, or the file has gone from beside this page.", "--cut encode --codec h264 --container mp4");
  });
  video.addEventListener("loadedmetadata", () => {
    const one = highlights.get(chosen);
    if (one.frames && !video.videoWidth) trouble(one, "This browser plays the sound alone: it does not know the codec of the pictures.", "--cut encode --codec h264 --container mp4");
  });
  const follow = () => { placePlayhead(); if (!video.paused) requestAnimationFrame(follow); };
  video.addEventListener("play", follow);
  video.addEventListener("seeked", placePlayhead);
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !video) return;
  if (event.key === "n") step(1, { play: true });
  else if (event.key === "p") step(-1, { play: true });
});
