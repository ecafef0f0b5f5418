// A chat's WebSocket, kept open.
//
//   connecting ──▶ catching-up ──▶ live
//       ▲  │            │           │
//       │  ▼            ▼           ▼
//      waiting ◀──── the connection is lost
//
// A browser does not tell a page why a WebSocket was refused, but the same refusal can be read from a
// call. `prepare` makes one, before an attempt that there is reason to doubt, and after one that failed.
// A refusal that will not pass by itself stops everything; anything else is tried again, each time a
// little later.

import { Refusal } from './api.js';

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15000;
const OPEN_PATIENCE_MS = 15000;
// Longer than the gateway waits for the service before it says so.
const ANSWER_PATIENCE_MS = 30000;
// A connection that slept as long as this, with the phone in a pocket, may be gone without a word.
const LONG_SLEEP_MS = 60000;
// Codes of a closed WebSocket: RFC 6455's for a message that is too big, and the gateway's, 4000 and the
// code of the error it has told before.
const TOO_BIG = 1009;
const REFUSED = 4000;

export class Live {
  state = 'connecting';
  retryAt = 0;
  #handlers;
  #socket = null;
  #attempt = 0;
  #failures = 0;
  #doubtful = true;
  #timer = 0;
  #answerTimer = 0;
  #lastError = null;
  #hiddenSince = 0;
  #stop = new AbortController();

  // `handlers`: url() for each attempt; async prepare(); message(m), ack(a), error(refusal, clientId);
  // state(state, refusal) after each change, where the refusal is why it waits or stopped.
  constructor(handlers) {
    this.#handlers = handlers;
    const { signal } = this.#stop;
    addEventListener('online', () => this.retryNow(), { signal });
    addEventListener('offline', () => this.restart(), { signal });
    document.addEventListener('visibilitychange', () => this.#visibilityChanged(), { signal });
  }

  start() {
    this.#connect();
  }

  close() {
    this.#stop.abort();
    this.#leave();
    this.state = 'stopped';
  }

  // Gives a message to the connection, if there is one that is through with catching up. The answer,
  // be it an ack or an error, is awaited: without one in time the connection is taken for dead.
  send(message) {
    if (this.state !== 'live') return false;
    this.#socket.send(JSON.stringify(message));
    clearTimeout(this.#answerTimer);
    this.#answerTimer = setTimeout(() => this.restart(), ANSWER_PATIENCE_MS);
    return true;
  }

  retryNow() {
    if (this.state === 'waiting') this.#connect();
  }

  // Leaves the connection and makes a new one.
  restart() {
    if (this.state === 'stopped') return;
    this.#leave();
    this.#wait(new Refusal());
  }

  #change(state, refusal) {
    this.state = state;
    this.#handlers.state(state, refusal);
  }

  #leave() {
    this.#lastError = null;
    this.#attempt += 1; // What is still to come of earlier attempts is no longer listened to.
    clearTimeout(this.#timer);
    clearTimeout(this.#answerTimer);
    this.#socket?.close();
    this.#socket = null;
  }

  async #connect() {
    this.#leave();
    const attempt = this.#attempt;
    this.#change('connecting');
    if (this.#doubtful && !await this.#prepared(attempt)) return;
    this.#doubtful = true;
    this.#open(attempt);
  }

  // Whether this attempt may go on. A refusal has then been dealt with.
  async #prepared(attempt) {
    try {
      await this.#handlers.prepare();
    } catch (refusal) {
      if (attempt === this.#attempt) this.#refused(refusal);
      return false;
    }
    return attempt === this.#attempt;
  }

  // The WebSocket did not come about: why?
  async #notOpened(attempt) {
    this.#socket = null;
    clearTimeout(this.#timer);
    if (await this.#prepared(attempt)) this.restart();
  }

  #open(attempt) {
    const socket = new WebSocket(this.#handlers.url());
    this.#socket = socket;
    this.#timer = setTimeout(() => this.restart(), OPEN_PATIENCE_MS);
    const current = (handler) => (event) => {
      if (attempt === this.#attempt) handler(event);
    };
    socket.addEventListener('open', current(() => {
      clearTimeout(this.#timer);
      this.#change('catching-up');
    }));
    socket.addEventListener('message', current((event) => this.#received(event.data)));
    socket.addEventListener('close', current((event) => {
      if (this.state === 'connecting') this.#notOpened(attempt);
      else this.#closed(event);
    }));
  }

  #closed({ code, reason }) {
    if (code === TOO_BIG) {
      this.#handlers.error(new Refusal({ code: 413, detail: 'It is larger than the gateway allows.' }));
    }
    if (code >= REFUSED && code < REFUSED + 1000) {
      this.#refused(this.#lastError ?? new Refusal({ code: code - REFUSED, id: reason, detail: reason }));
    } else {
      this.restart();
    }
  }

  #received(data) {
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      this.restart();
      return;
    }
    if (frame.message) this.#handlers.message(frame.message);
    else if (frame.live) this.#caughtUp();
    else if (frame.ack) {
      clearTimeout(this.#answerTimer);
      this.#handlers.ack(frame.ack);
    } else if (frame.error) {
      clearTimeout(this.#answerTimer);
      this.#lastError = new Refusal(frame.error);
      this.#handlers.error(this.#lastError, frame.error.client_id);
    }
  }

  #caughtUp() {
    this.#failures = 0;
    this.#doubtful = false;
    this.#change('live');
  }

  #refused(refusal) {
    this.#leave();
    if (refusal.passing) {
      this.#wait(refusal);
    } else {
      this.#change('stopped', refusal);
    }
  }

  // Twice as long each time, up to a limit, and each page at its own moment: when a gateway comes
  // back, not everybody is at its door at once.
  #wait(refusal) {
    const longest = Math.min(FIRST_PAUSE_MS * 2 ** this.#failures, LONGEST_PAUSE_MS);
    const pause = Math.max(refusal.retryAfterMs, longest * (0.5 + Math.random() / 2));
    this.#failures += 1;
    this.retryAt = Date.now() + pause;
    this.#timer = setTimeout(() => this.#connect(), pause);
    this.#change('waiting', refusal);
  }

  #visibilityChanged() {
    if (document.hidden) {
      this.#hiddenSince = Date.now();
      return;
    }
    if (this.state === 'waiting') this.#connect();
    else if (Date.now() - this.#hiddenSince > LONG_SLEEP_MS && this.state === 'live') this.#connect();
  }
}
