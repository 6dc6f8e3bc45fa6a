// Copyright (c) the webntpd authors. SPDX-License-Identifier: MIT
/**
 * The time of a WebNTP server in a web page, mostly to a millisecond, whatever the visitor's clock says.
 *
 *     import { WebNTPClient } from "https://time.example/webntp.js";
 *
 *     const client = new WebNTPClient();            // asks the server that this module came from
 *     client.addEventListener("change", () => console.log(client.state, client.offset()));
 *     client.start();
 *     ...
 *     new Date(client.now())                        // the right time, once client.synchronised
 *
 * A page of another origin needs `allow_cross_origin` at the server, both to import this and to ask.
 *
 * How it works: each exchange gives an offset and a delay, from four timestamps as in NTP (RFC 5905
 * §8). An offset is wrong by half its delay at most, so of the last eight samples the one with the
 * smallest error bound is believed (§10). The browser's clock is never read for this: time runs on
 * from the sample by performance.now(), which nobody can set. What it may do is stand still while
 * the computer sleeps; then it parts from Date.now(), and everything is measured anew.
 *
 * All durations and instants are milliseconds: those of performance.now() are called steady, the
 * others are Unix time.
 */

const SUBPROTOCOL = "webntp.shogo82148.com";
const STAGES = 8; // RFC 5905 §10: samples that the filter holds
const PHI = 15e-6; // RFC 5905 §11: how fast a clock is taken to drift
const RESOLUTION = 0.1; // what browsers leave of performance.now() outside isolated pages
const MAX_REPLY = 4096; // characters
const TIMEOUT = 5_000; // of each step
const INTERVAL = 8_000; // between samples,
const BURST_INTERVAL = 250; // until the filter is full,
const HIDDEN_INTERVAL = 60_000; // and while nobody sees the page
const WATCH_INTERVAL = 1_000;
const HTTP_EXCHANGES = 32; // before a WebSocket is tried again
const MIN_BACKOFF = 1_000;
const MAX_BACKOFF = 60_000;
const JUMP = 50; // how far Date.now() and performance.now() may part at once,
const MAX_SLEW = 500e-6; // beside the rate at which systems correct their clocks

/** Why an exchange gave no sample; `retryAfter` is how long the server wants to be left alone. */
export class WebNTPError extends Error {
  name = "WebNTPError";

  constructor(message, retryAfter = 0) {
    super(message);
    this.retryAfter = retryAfter;
  }
}

/**
 * One measurement.
 *
 * @typedef {object} Sample
 * @property {number} offset the server's time minus the steady clock
 * @property {number} delay of the round trip, without the server's part of it
 * @property {number} at when it was taken, by the steady clock
 * @property {number} serverError what the server says its own clock may be wrong by
 * @property {?Leap} leap
 *
 * @typedef {object} Leap the leap second that is announced, or the latest
 * @property {number} instant when it comes or came
 * @property {number} step +1 for one inserted, -1 for one deleted, s
 * @property {number} taiUtc TAI - UTC before it, s
 */

/** The bound of a sample's error at a later time of the steady clock. */
export function errorBound(sample, steady) {
  const age = Math.max(0, steady - sample.at);
  return sample.delay / 2 + sample.serverError + RESOLUTION + PHI * age;
}

/** The last eight samples, and which of them to believe. */
export class ClockFilter {
  #samples = [];

  get size() {
    return this.#samples.length;
  }

  get full() {
    return this.size === STAGES;
  }

  add(sample) {
    this.#samples = [...this.#samples, sample].slice(-STAGES);
  }

  /** Whether a sample and the best cannot both be right: then a clock was set meanwhile. */
  contradicts(sample) {
    const best = this.best(sample.at);
    if (best === null) return false;
    const allowed = errorBound(best, sample.at) + errorBound(sample, sample.at);
    return Math.abs(sample.offset - best.offset) > allowed;
  }

  /** The sample with the smallest error bound at that time of the steady clock, or null. */
  best(steady) {
    const better = (one, other) =>
      errorBound(other, steady) <= errorBound(one, steady) ? other : one;
    return this.size === 0 ? null : this.#samples.reduce(better);
  }

  flush() {
    this.#samples = [];
  }
}

/**
 * The sample in a server's reply.
 *
 * @param {string} text the reply
 * @param {string} token the timestamp that was sent, which the reply must echo
 * @param {number} sent when it was sent, by the steady clock,
 * @param {number} received and when the reply came
 * @returns {Sample}
 * @throws {WebNTPError} if the reply is not to be believed
 */
export function sampleOf(text, token, sent, received) {
  const reply = parseReply(text);
  const left = reply.st ?? reply.time;
  if (!isTime(left)) throw new WebNTPError("the reply has no time in it");
  if (reply.it && !(Math.abs(reply.it - Number(token)) < 1e-3)) {
    throw new WebNTPError("the reply is to another request");
  }
  if (reply.sync === false) throw new WebNTPError("the server's own clock is not synchronised");
  const arrived = isTime(reply.rt) ? reply.rt : left;
  // Seconds as large as Unix time lose a quarter of a microsecond in a double, no more.
  const delay = received - sent - (left - arrived) * 1e3;
  if (delay < -2 * RESOLUTION) throw new WebNTPError("the reply came before it was sent");
  return {
    offset: ((arrived + left) * 1e3 - (sent + received)) / 2,
    delay: Math.max(0, delay),
    at: received,
    serverError: reply.maxerr > 0 ? reply.maxerr * 1e3 : 0,
    leap: leapOf(reply),
  };
}

function parseReply(text) {
  if (typeof text !== "string" || text.length > MAX_REPLY) {
    throw new WebNTPError("the reply is too large");
  }
  // A server's rounding fault: .9999995 s and more are printed as .1000000, with seven digits.
  if (/"(?:st|time|rt)"\s*:\s*\d+\.1000000(?!\d)/.test(text)) {
    throw new WebNTPError("the reply's time is rounded wrongly");
  }
  try {
    return Object(JSON.parse(text));
  } catch {
    throw new WebNTPError("the reply is not JSON");
  }
}

function isTime(value) {
  return typeof value === "number" && value > 0 && value < 2 ** 33;
}

function leapOf({ leap, next, step }) {
  const known = isTime(next) && Math.abs(step) === 1 && Number.isFinite(leap);
  return known ? { instant: next * 1e3, step, taiUtc: leap } : null;
}

/** How far Date.now() is ahead of performance.now(), from two readings close to each other. */
function parting() {
  for (let tries = 0; ; tries++) {
    const before = performance.now();
    const wall = Date.now();
    const slack = performance.now() - before;
    if (slack < 5 || tries === 5) return { value: wall - before, at: before, slack };
  }
}

/** Notices that the computer slept or that its clock was set. */
class ClockWatch {
  #last = parting();

  /** Whether that has happened since the last call. */
  jumped() {
    const last = this.#last;
    const now = (this.#last = parting());
    const allowed = JUMP + last.slack + now.slack + MAX_SLEW * (now.at - last.at);
    return Math.abs(now.value - last.value) > allowed;
  }
}

/** One WebSocket: a message is a timestamp, its reply the next message. */
class WebSocketTransport {
  static kind = "websocket";

  #socket;
  #waiting = null;

  constructor(url, onLost) {
    const address = new URL(url);
    address.protocol = address.protocol.replace("http", "ws");
    this.#socket = new WebSocket(address, SUBPROTOCOL);
    this.#socket.onopen = () => this.#waiting?.resolve({});
    this.#socket.onmessage = ({ data }) =>
      this.#waiting?.resolve({ text: data, received: performance.now() });
    this.#socket.onclose = ({ reason }) => {
      this.#waiting?.reject(new WebNTPError(reason || "no connection to the server"));
      onLost();
    };
  }

  async open() {
    await this.#next();
  }

  async exchange(token) {
    if (this.#socket.readyState !== WebSocket.OPEN) throw new WebNTPError("the connection was lost");
    const reply = this.#next();
    const sent = performance.now();
    this.#socket.send(token);
    return { sent, ...(await reply) };
  }

  close() {
    this.#socket.close();
  }

  #next() {
    return new Promise((resolve, reject) => {
      const late = () => reject(new WebNTPError("the server does not answer"));
      const timer = setTimeout(late, TIMEOUT);
      const last = (settle) => (value) => {
        clearTimeout(timer);
        this.#waiting = null;
        settle(value);
      };
      this.#waiting = { resolve: last(resolve), reject: last(reject) };
    });
  }
}

/** One GET for each sample, where WebSockets do not get through. */
class HttpTransport {
  static kind = "http";

  #url;
  #left = HTTP_EXCHANGES;
  #abort = new AbortController();

  constructor(url) {
    this.#url = url;
  }

  /** The first answer comes through a new connection, and says little of the time. */
  async open() {
    await this.#get("");
  }

  /** Null once a WebSocket should be tried again. */
  async exchange(token) {
    return this.#left-- > 0 ? await this.#get(`?${token}`) : null;
  }

  close() {
    this.#abort.abort();
  }

  async #get(query) {
    const timer = setTimeout(() => this.#abort.abort(), TIMEOUT);
    try {
      const sent = performance.now();
      const reply = await fetch(this.#url + query, {
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
        signal: this.#abort.signal,
      });
      const received = performance.now();
      if (reply.status !== 200) throw refusal(reply);
      return { text: await reply.text(), sent, received };
    } catch (error) {
      throw error instanceof WebNTPError ? error : new WebNTPError("the server does not answer");
    } finally {
      clearTimeout(timer);
    }
  }
}

function refusal(reply) {
  const seconds = Number(reply.headers.get("Retry-After"));
  return new WebNTPError(`the server refuses: ${reply.status}`, seconds > 0 ? seconds * 1e3 : 0);
}

/**
 * A clock that follows a server's.
 *
 * Dispatches "sample" for each sample, which is the event's `detail`; "flush" when all samples before
 * are void; and "change" after each of these and each change of state.
 */
export class WebNTPClient extends EventTarget {
  #url;
  #interval;
  #filter = new ClockFilter();
  #watch = new ClockWatch();
  #running = null; // an AbortController while it runs
  #wake = () => {};
  #lastToken = 0;
  #samples = 0;
  #problem = "";
  #transport = null;
  #leap = null;

  /**
   * @param {string | URL} url the server's, http or https; by default the one this module is from
   * @param {{interval?: number}} options how long to wait between samples, 1000 at least
   */
  constructor(url = new URL("json", import.meta.url), { interval = INTERVAL } = {}) {
    super();
    this.#url = new URL(url, globalThis.location?.href).href;
    this.#interval = Math.max(1_000, interval);
  }

  /** Begin to follow the server. Does nothing if it does already. */
  start() {
    if (this.#running !== null) return;
    this.#running = new AbortController();
    const { signal } = this.#running;
    const timer = setInterval(() => this.#check(), WATCH_INTERVAL);
    signal.addEventListener("abort", () => clearInterval(timer));
    const seen = () => {
      this.#check();
      this.#wake();
    };
    globalThis.document?.addEventListener("visibilitychange", seen, { signal });
    for (const event of ["pageshow", "online"]) {
      globalThis.addEventListener?.(event, seen, { signal });
    }
    this.#run(signal);
  }

  /** Stop. What is known by then goes on to be told, less exactly with time. */
  stop() {
    this.#running?.abort();
    this.#running = null;
    this.#transport = null;
    this.#wake();
    this.#changed();
  }

  /**
   * "connecting" while the time is not known, "synchronised", "holdover" while the server cannot be
   * reached and the clock runs on by itself, or "stopped".
   */
  get state() {
    if (this.#running === null) return "stopped";
    if (this.#filter.size === 0) return "connecting";
    return this.#problem ? "holdover" : "synchronised";
  }

  get synchronised() {
    return this.state === "synchronised";
  }

  /** Why the server gives no samples; empty while it does. */
  get problem() {
    return this.#problem;
  }

  /** How the server is asked: "websocket", "http", or null while it is not. */
  get transport() {
    return this.#transport;
  }

  /** The server's time now, or at another time of the steady clock; NaN if it is not known. */
  now(steady = performance.now()) {
    return steady + (this.#filter.best(steady)?.offset ?? NaN);
  }

  /** What Date.now() lacks, positive if the browser's clock is behind; NaN if it is not known. */
  offset() {
    return this.now() - (Date.now() + 0.5); // which leaves out half a millisecond on average
  }

  /** The bound of the error of now(); that of offset() has the half millisecond beside it. */
  error() {
    const steady = performance.now();
    const best = this.#filter.best(steady);
    return best === null ? NaN : errorBound(best, steady);
  }

  /** @returns {?Sample} the sample that is believed */
  get best() {
    return this.#filter.best(performance.now());
  }

  /** @returns {?Leap} the leap second that the server announces, or the latest */
  get leap() {
    return this.#leap;
  }

  async #run(signal) {
    let failures = 0;
    while (!signal.aborted) {
      const samples = this.#samples;
      let failure = null;
      for (const Transport of [WebSocketTransport, HttpTransport]) {
        failure = await this.#converse(Transport, signal);
        // What has worked is tried again first, and what has been stopped is not.
        if (signal.aborted || this.#samples > samples) break;
      }
      if (signal.aborted) return;
      failures = this.#samples > samples ? 0 : failures + 1;
      this.#transport = null;
      this.#problem = failure?.message ?? "";
      this.#changed();
      await this.#sleep(Math.max(backoff(failures), failure?.retryAfter ?? 0));
    }
  }

  /** Take samples for as long as it goes well; what ended it, or null if nothing did. */
  async #converse(Transport, signal) {
    let transport;
    const end = () => transport?.close();
    signal.addEventListener("abort", end);
    try {
      transport = new Transport(this.#url, () => this.#wake());
      await transport.open();
      while (!signal.aborted && (await this.#measure(transport, Transport.kind, signal))) {
        await this.#sleep(this.#pause());
      }
      return null;
    } catch (error) {
      return error;
    } finally {
      signal.removeEventListener("abort", end);
      end();
    }
  }

  /** Take one sample; false if the transport is used up. */
  async #measure(transport, kind, signal) {
    const token = this.#token();
    const exchange = await transport.exchange(token);
    if (exchange === null || signal.aborted) return false;
    if (this.#check()) return true; // the exchange lies on both sides of the jump
    const sample = sampleOf(exchange.text, token, exchange.sent, exchange.received);
    if (this.#filter.contradicts(sample)) this.#flush();
    this.#filter.add(sample);
    this.#samples += 1;
    this.#leap = sample.leap;
    this.#transport = kind;
    this.#problem = "";
    this.dispatchEvent(new CustomEvent("sample", { detail: sample }));
    this.#changed();
    return true;
  }

  /** Six fraction digits, none used twice: the reply is known by it. */
  #token() {
    this.#lastToken = Math.max(this.#lastToken + 1, Date.now() * 1e3);
    const fraction = String(this.#lastToken % 1e6).padStart(6, "0");
    return `${Math.floor(this.#lastToken / 1e6)}.${fraction}`;
  }

  /** Forget everything if the steady clock cannot be trusted to have gone on; whether that is so. */
  #check() {
    if (!this.#watch.jumped()) return false;
    this.#flush();
    this.#changed();
    this.#wake();
    return true;
  }

  #flush() {
    this.#filter.flush();
    this.dispatchEvent(new Event("flush"));
  }

  #pause() {
    if (!this.#filter.full) return BURST_INTERVAL;
    const interval = globalThis.document?.hidden ? HIDDEN_INTERVAL : this.#interval;
    return interval * (0.95 + 0.1 * Math.random()); // so that many pages never ask all at once
  }

  #sleep(duration) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, duration);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

function backoff(failures) {
  const most = Math.min(MAX_BACKOFF, MIN_BACKOFF * 2 ** failures);
  return most * (0.5 + 0.5 * Math.random());
}
