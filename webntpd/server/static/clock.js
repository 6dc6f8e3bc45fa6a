// The clock page: what a WebNTPClient knows, shown.

import { WebNTPClient, errorBound } from "./webntp.js";
import { plot } from "./plot.js";

const INTERVAL = 4_000; // ms between samples, while somebody looks
const HISTORY = 60; // samples that the plot shows
const DATE_ROUNDING = 0.5; // ms: what Date.now() leaves unknown of the visitor's clock

const STATES = {
  connecting: "connecting",
  synchronised: "synchronised",
  holdover: "server out of reach, running on",
  stopped: "stopped",
};

const element = (id) => document.getElementById(id);
const client = new WebNTPClient(undefined, { interval: INTERVAL });
const samples = [];

const dateFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "full" });
const zoneFormat = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" });
const two = (number) => String(number).padStart(2, "0");

/** Write only what is new: a text that is set is laid out again. */
function show(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
}

// The clock, once for each frame that the screen shows

function tick() {
  const now = client.now();
  if (Number.isFinite(now)) showTime(new Date(now));
  requestAnimationFrame(tick);
}

function showTime(time) {
  const seconds = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":");
  show("tenths", `.${Math.floor(time.getMilliseconds() / 100)}`);
  element("clock").dateTime = time.toISOString();
  if (element("seconds").textContent === seconds) return;
  show("seconds", seconds);
  show("date", dateFormat.format(time));
  const zone = zoneFormat.formatToParts(time).find(({ type }) => type === "timeZoneName").value;
  const utc = `${time.toISOString().slice(11, 19)} UTC`;
  show("utc", zone === "UTC" ? zone : `${zone} · ${utc}`);
}

// The figures, when there is a sample or a change, and once a second: errors grow

/** A duration in ms for people: 0.42 ms, 12.3 ms, 2.500 s. */
function duration(ms) {
  if (ms >= 1_000) return `${(ms / 1_000).toFixed(3)} s`;
  return `${ms.toFixed(ms < 10 ? 2 : 1)} ms`;
}

function showFigure(id, value, text) {
  const known = Number.isFinite(value);
  element(id).value = known ? value.toFixed(3) : "";
  show(id, known ? text : "–");
}

function showFigures() {
  const offset = client.offset();
  const error = client.error() + DATE_ROUNDING;
  showFigure("offset", offset, duration(Math.abs(offset)));
  show("sense", senseOf(offset, error));
  showFigure("error", error, `± ${duration(error)}`);
  const delay = client.best?.delay ?? NaN;
  showFigure("delay", delay, duration(delay));
  element("state").dataset.state = client.state;
  show("state", client.problem ? `${STATES[client.state]}: ${client.problem}` : STATES[client.state]);
  show("transport", client.transport ? `Asked by ${client.transport}.` : "");
  showLeap(client.leap, client.now());
}

function senseOf(offset, error) {
  if (!Number.isFinite(offset)) return "";
  if (Math.abs(offset) <= error) return "off, if at all";
  return offset > 0 ? "behind" : "ahead";
}

function showLeap(leap, now) {
  const announced = leap !== null && leap.instant > now;
  element("notice").hidden = !announced;
  if (announced) {
    // The instant is the one after the leap second; its day is the one that is longer or shorter.
    const day = new Date(leap.instant - 1).toISOString().slice(0, 10);
    const verb = leap.step > 0 ? "inserted" : "left out";
    show("notice", `A leap second will be ${verb} at the end of ${day} UTC.`);
  }
  const ahead = leap && leap.taiUtc + (announced ? 0 : leap.step);
  show("tai", leap === null ? "" : `TAI is ${ahead} s ahead of UTC.`);
}

function showPlot() {
  const { best } = client;
  const points = samples.map((sample) => ({
    value: sample.offset - best.offset,
    error: errorBound(sample, sample.at),
    best: sample === best,
  }));
  const limit = plot(element("plot"), points, HISTORY);
  show("top", limit ? `+${duration(limit)}` : "");
  show("bottom", limit ? `−${duration(limit)}` : "");
}

client.addEventListener("sample", ({ detail }) => {
  samples.push(detail);
  if (samples.length > HISTORY) samples.shift();
});
client.addEventListener("flush", () => {
  samples.length = 0;
});
client.addEventListener("change", () => {
  showFigures();
  showPlot();
});
setInterval(showFigures, 1_000);

show("server", location.host);
document.title = `${location.host} – WebNTP clock`;
client.start();
tick();
