// The timeline: lanes, ruler, marks, zoom. What is shown is [from, to) seconds of media time.

const tracks = byId("tracks");
const ruler = byId("ruler");
const duration = data.duration_s;
let from = 0, to = duration;
const SHORTEST_S = Math.min(4, duration);

const unpack = (text) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Uint16Array.from({ length: bytes.length / 2 }, (_, place) => view.getUint16(2 * place, true));
};
const values = (lane, text) => {
  const scale = (lane.high - lane.low) / 65534;
  return Float32Array.from(unpack(text), (level) => (level === 65535 ? NaN : lane.low + level * scale));
};
for (const lane of data.lanes) {
  lane.top = values(lane, lane.maxima);
  lane.bottom = lane.minima ? values(lane, lane.minima) : lane.top;
}
const drawn = tracks ? [...tracks.querySelectorAll("[data-lane]")].map((row) => ({
  row, lane: data.lanes[row.dataset.lane], canvas: row.querySelector("canvas"), now: row.querySelector(".now"),
})) : [];

const xOf = (time, width) => ((time - from) / (to - from)) * width;
const area = () => ruler.getBoundingClientRect();
const timeAt = (clientX) => { const box = area(); return from + clamp((clientX - box.left) / box.width, 0, 1) * (to - from); };

function prepared(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

// One [x, highest, lowest] for each pixel or point, whichever are fewer: no peak is lost however long the stream.
function columns(lane, width) {
  const found = [];
  const first = Math.max(0, Math.floor(from / data.point_s) - 1);
  const last = Math.min(data.points, Math.ceil(to / data.point_s) + 1);
  const each = Math.max(1, (last - first) / Math.max(1, Math.ceil(width)));
  for (let start = first; start < last; start += each) {
    let high = NaN, low = NaN;
    const stop = Math.min(last, Math.max(Math.floor(start + each), Math.floor(start) + 1));
    for (let place = Math.floor(start); place < stop; place += 1) {
      if (!(lane.top[place] <= high)) high = Number.isNaN(lane.top[place]) ? high : lane.top[place];
      if (!(lane.bottom[place] >= low)) low = Number.isNaN(lane.bottom[place]) ? low : lane.bottom[place];
    }
    found.push([xOf((start + Math.min(each, stop - start) / 2) * data.point_s, width), high, low]);
  }
  return found;
}

function drawLane({ lane, canvas, row }) {
  const { pen, width, height } = prepared(canvas);
  if (!width) return;
  const hue = css(row, "--hue"), quiet = css(row, "--quiet");
  for (const one of data.highlights) {
    const left = xOf(one.start_s, width), right = xOf(one.end_s, width);
    pen.fillStyle = css(row, one.number === chosen ? "--tint-strong" : "--tint");
    pen.fillRect(left, 0, Math.max(right - left, 1), height);
  }
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = quiet;
  if (lane.high === null) {
    pen.fillText("no value", 6, height / 2 + 4);
    return;
  }
  const deviations = lane.kind !== "signal";
  const ceiling = Math.max(lane.high, lane.kind === "score" ? (data.threshold ?? lane.high) * 1.15 : lane.high);
  const ground = deviations ? Math.min(lane.low, 0) : lane.low;
  const room = (ceiling - ground || 1) * 0.08;
  const y = (value) => height - ((value - ground + room) / (ceiling - ground + 2 * room || 1)) * height;
  const points = columns(lane, width);

  if (lane.kind === "score") {
    pen.fillStyle = quiet;
    pen.globalAlpha = 0.28;
    for (const [start, end, score] of data.windows) {
      const left = xOf(start, width), span = xOf(end, width) - left;
      if (end > from && start < to && span > 6) pen.fillRect(left, y(score) - 1, span, 2);
    }
    pen.globalAlpha = 1;
  }
  pen.fillStyle = pen.strokeStyle = hue;
  if (deviations) {
    pen.globalAlpha = lane.kind === "score" ? 0.2 : 0.14;
    pen.beginPath();
    points.forEach(([x, high], place) => {
      if (Number.isNaN(high)) return;
      if (Number.isNaN(points[place - 1]?.[1] ?? NaN)) pen.moveTo(x, y(0));
      pen.lineTo(x, y(high));
      if (Number.isNaN(points[place + 1]?.[1] ?? NaN)) pen.lineTo(x, y(0));
    });
    pen.fill();
    pen.globalAlpha = 1;
  }
  const crowded = points.length > width / 2;
  pen.lineWidth = crowded ? 1 : lane.kind === "score" ? 1.8 : 1.3;
  pen.lineJoin = "round";
  pen.beginPath();
  points.forEach(([x, high, low], place) => {
    if (Number.isNaN(high)) return;
    const joined = place > 0 && !Number.isNaN(points[place - 1][1]);
    if (!joined && Number.isNaN(points[place + 1]?.[1] ?? NaN)) pen.fillRect(x - 1, y(high) - 1, 2, y(low) - y(high) + 2);
    if (joined) pen.lineTo(x, y(high));
    else pen.moveTo(x, y(high));
    pen.lineTo(x, y(low));
  });
  pen.stroke();
  if (lane.kind !== "score") return;
  const rule = (name, value, dashes) => {
    const at = y(value);
    pen.strokeStyle = css(row, "--text");
    pen.lineWidth = 1;
    pen.setLineDash(dashes);
    pen.beginPath(); pen.moveTo(0, at); pen.lineTo(width, at); pen.stroke();
    pen.setLineDash([]);
    pen.lineWidth = 3;
    pen.strokeStyle = css(row, "--panel");
    pen.strokeText(`${name} ${amount(value)}`, 6, at - 5);
    pen.fillStyle = css(row, "--text");
    pen.fillText(`${name} ${amount(value)}`, 6, at - 5);
  };
  if (data.threshold !== null) rule("threshold", data.threshold, [5, 4]);
}

const TICKS_S = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];
function drawRuler() {
  const { pen, width, height } = prepared(ruler);
  const every = TICKS_S.find((tick) => (tick / (to - from)) * width >= 84) ?? TICKS_S.at(-1);
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = css(ruler, "--quiet");
  for (let tick = Math.ceil(from / every); tick * every <= to; tick += 1) {
    const x = xOf(tick * every, width);
    pen.fillRect(x, height - 6, 1, 6);
    const text = hms(tick * every, every < 1 ? 1 : 0);
    if (x + pen.measureText(text).width + 4 < width) pen.fillText(text, x + 4, height - 8);
  }
}

// The best keep their number; one that would cover a better one's becomes a bare mark.
function placeMarks() {
  const box = byId("marks");
  const width = box.clientWidth;
  const taken = [];
  box.replaceChildren(...byRank.map((number) => {
    const one = highlights.get(number);
    const left = xOf(one.start_s, width), span = xOf(one.end_s, width) - left;
    const wide = Math.max(span, 11 + 8 * String(number).length);
    const start = span < wide ? left + span / 2 - wide / 2 : left;
    const bare = taken.some(([a, b]) => start < b - 0.5 && start + wide > a + 0.5);
    if (!bare) taken.push([start, start + wide]);
    const mark = make("button", bare ? "mark bare" : "mark", bare ? "" : String(number));
    mark.type = "button";
    mark.tabIndex = -1; // the list has the same, in order
    mark.style.left = `${bare ? left : start}px`;
    mark.style.width = `${bare ? Math.max(span, 3) : wide - 1}px`; // neighbours may touch
    mark.title = `Highlight ${number}, ${one.start} – ${one.end}`;
    mark.setAttribute("aria-label", mark.title);
    mark.setAttribute("aria-pressed", number === chosen);
    mark.addEventListener("click", () => { playingAll = false; choose(number, { play: true }); });
    return mark;
  }));
}

function draw() {
  if (!tracks) return;
  drawn.forEach(drawLane);
  drawRuler();
  placeMarks();
  placePlayhead();
  byId("fit").disabled = to - from >= duration;
  placeCursor();
}

function place(line, time) {
  const plot = area();
  line.hidden = time === null || time < from || time > to;
  line.style.left = `${plot.left - tracks.getBoundingClientRect().left + xOf(time ?? 0, plot.width)}px`;
}
function placePlayhead() {
  if (!tracks) return;
  const one = highlights.get(chosen);
  place(byId("playhead"), one && video.currentTime > 0 ? one.clip_start_s + video.currentTime : null);
}
function placeCursor() {
  const line = byId("cursor");
  place(line, cursor);
  const point = cursor === null ? -1 : clamp(Math.floor(cursor / data.point_s), 0, data.points - 1);
  for (const { lane, now } of drawn) {
    const numbers = point >= 0 ? amount(lane.top[point]) : lane.high === null ? "" : `${amount(lane.low)} … ${amount(lane.high)}`;
    now.textContent = `${numbers} ${lane.unit}`;
    now.classList.toggle("live", point >= 0);
  }
  if (cursor === null) {
    byId("readout").textContent = `${hms(from)} – ${hms(to)}`;
    return;
  }
  const text = hms(cursor, duration < 3600 ? 1 : 0);
  line.firstElementChild.textContent = text;
  line.classList.toggle("left", (cursor - from) / (to - from) > 0.85);
  const under = inside(cursor);
  const told = `${text} · score ${amount(data.lanes[0].top[point])}${under ? ` · highlight ${under.number}` : ""}`;
  byId("readout").textContent = told;
  ruler.setAttribute("aria-valuenow", cursor.toFixed(1));
  ruler.setAttribute("aria-valuetext", told);
}
const inside = (time) => data.highlights.find((one) => time >= one.start_s && time < one.end_s);

function show(start, end) {
  const span = clamp(end - start, SHORTEST_S, duration);
  from = clamp((start + end - span) / 2, 0, duration - span);
  to = from + span;
  draw();
}
function zoom(factor, about = cursor ?? highlights.get(chosen)?.peak_s ?? (from + to) / 2) {
  const centre = clamp(about, from, to);
  show(centre - (centre - from) * factor, centre + (to - centre) * factor);
}
function reveal(start, end) {
  if (start < from || end > to) show((start + end) / 2 - (to - from) / 2, (start + end) / 2 + (to - from) / 2);
}
function playAt(time) {
  const one = inside(time);
  playingAll = false;
  if (one) choose(one.number, { play: true, at: time });
}

if (tracks) {
  let dragFrom = null;
  const range = byId("range");
  const onPlot = (event) => event.target.matches("canvas");
  tracks.addEventListener("pointermove", (event) => {
    if (!onPlot(event) && dragFrom === null) { cursor = null; placeCursor(); return; }
    cursor = timeAt(event.clientX);
    placeCursor();
    if (dragFrom === null || Math.abs(event.clientX - dragFrom) < 5) return;
    const [left, right] = [dragFrom, clamp(event.clientX, area().left, area().right)].sort((a, b) => a - b);
    range.hidden = false;
    range.style.left = `${left - tracks.getBoundingClientRect().left}px`;
    range.style.width = `${right - left}px`;
  });
  tracks.addEventListener("pointerleave", () => { if (dragFrom === null) { cursor = null; placeCursor(); } });
  tracks.addEventListener("pointerdown", (event) => {
    if (!onPlot(event) || event.button !== 0) return;
    if (event.pointerType === "mouse") { dragFrom = event.clientX; tracks.setPointerCapture(event.pointerId); }
  });
  tracks.addEventListener("pointerup", (event) => {
    if (dragFrom === null) return;
    const dragged = !range.hidden;
    range.hidden = true;
    if (dragged) show(...[timeAt(dragFrom), timeAt(event.clientX)].sort((a, b) => a - b));
    else playAt(timeAt(event.clientX));
    dragFrom = null;
  });
  tracks.addEventListener("pointercancel", () => { dragFrom = null; range.hidden = true; });
  tracks.addEventListener("click", (event) => { if (onPlot(event) && event.pointerType !== "mouse") playAt(timeAt(event.clientX)); });
  tracks.addEventListener("wheel", (event) => {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      zoom(Math.exp(clamp(event.deltaY, -80, 80) / 200), timeAt(event.clientX));
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) && to - from < duration) {
      event.preventDefault();
      const by = (event.deltaX / area().width) * (to - from);
      show(clamp(from + by, 0, duration - (to - from)), clamp(to + by, to - from, duration));
    }
  }, { passive: false });
  ruler.addEventListener("keydown", (event) => {
    const stride = event.shiftKey ? (to - from) / 20 : 0.5;
    const moves = { ArrowLeft: -stride, ArrowRight: stride, Home: -Infinity, End: Infinity };
    if (event.key in moves) {
      cursor = clamp((cursor ?? from) + moves[event.key], 0, duration);
      if (cursor < from || cursor > to) show(cursor - (to - from) / 2, cursor + (to - from) / 2);
      placeCursor();
    } else if (event.key === "+" || event.key === "=") zoom(1 / 2);
    else if (event.key === "-") zoom(2);
    else if (event.key === "0") show(0, duration);
    else if (event.key === "Enter" && cursor !== null) playAt(cursor);
    else return;
    event.preventDefault();
  });
  ruler.addEventListener("blur", () => { cursor = null; placeCursor(); });
  byId("zoom-in").addEventListener("click", () => zoom(1 / 2));
  byId("zoom-out").addEventListener("click", () => zoom(2));
  byId("fit").addEventListener("click", () => show(0, duration));
  byId("more")?.addEventListener("toggle", draw);
  new ResizeObserver(draw).observe(tracks);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
if (video) {
  if (data.highlights.every((one) => one.rank === null)) sortBy(inTime);
  choose(order[0]);
}
draw();
