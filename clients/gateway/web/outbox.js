// What the user has written and the service has not acknowledged yet.
//
// Each message gets its client_id here, once, and keeps it through every attempt, reload and new
// connection, so that however often it is sent, the chat gets it once. Messages go one at a time, in
// the order they were written: the next when the one before is acknowledged or refused.
//
//   waiting ──▶ sending ──▶ acknowledged, and out of here once it is seen in the chat
//      ▲           │
//      ├───────────┤ connection lost, or refused for now (tried again by itself a few times)
//      │           ▼
//      └──────── failed: refused; the user may retry it, or take it back

const ATTEMPTS = 4;
const FIRST_PAUSE_MS = 1000;

export class Outbox extends EventTarget {
  #entries;
  #store;
  #transmit;
  #timer;

  // `store` has load() and save(list). `transmit(entry)` gives it to the connection, and says
  // whether there is one. Tells of each change with an event "change".
  constructor(store, transmit) {
    super();
    this.#store = store;
    this.#transmit = transmit;
    this.#entries = store.load().map((entry) => ({
      ...entry,
      attempts: 0,
      state: entry.state === 'failed' ? 'failed' : 'waiting',
    }));
  }

  get entries() {
    return this.#entries;
  }

  find(clientId) {
    return this.#entries.find((entry) => entry.clientId === clientId);
  }

  add(subject, text) {
    this.#entries.push({ clientId: newId(), subject, text, state: 'waiting', attempts: 0, error: null });
    this.#changed();
    this.pump();
  }

  // Sends the next one, unless one is on its way.
  pump() {
    if (this.#entries.some((entry) => entry.state === 'sending')) return;
    const next = this.#entries.find((entry) => entry.state === 'waiting');
    if (!next || next.notBefore > Date.now() || !this.#transmit(next)) return;
    next.state = 'sending';
    next.attempts += 1;
    this.#changed();
  }

  // What was on its way when the connection went may have arrived or not: it is sent again. But what
  // goes down with each connection may be the reason, and others wait behind it.
  disconnected() {
    for (const entry of this.#entries) {
      if (entry.state !== 'sending') continue;
      entry.state = entry.attempts < ATTEMPTS * 2 ? 'waiting' : 'failed';
      if (entry.state === 'failed') entry.error = { detail: 'The connection was lost each time.', final: false };
    }
    this.#changed();
  }

  acknowledged(clientId) {
    const entry = this.find(clientId);
    if (!entry) return;
    entry.state = 'acknowledged';
    this.#changed();
    this.pump();
  }

  // The message is in the chat for everybody to see.
  seen(clientId) {
    const entry = this.find(clientId);
    if (!entry) return;
    this.#entries.splice(this.#entries.indexOf(entry), 1);
    this.#changed();
    this.pump();
  }

  // `error` is a Refusal of the message with this client id, or of the one on its way.
  refused(error, clientId) {
    const entry = clientId ? this.find(clientId)
      : this.#entries.find((candidate) => candidate.state === 'sending');
    if (!entry || entry.state === 'acknowledged') return;
    if (error.passing && entry.attempts < ATTEMPTS) {
      const pause = Math.max(error.retryAfterMs, FIRST_PAUSE_MS * 2 ** (entry.attempts - 1));
      entry.state = 'waiting';
      entry.notBefore = Date.now() + pause;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.pump(), pause + 1);
    } else {
      entry.state = 'failed';
      entry.error = { detail: error.message, final: !error.passing };
    }
    this.#changed();
    this.pump();
  }

  retry(clientId) {
    const entry = this.find(clientId);
    if (entry?.state !== 'failed') return;
    Object.assign(entry, { state: 'waiting', attempts: 0, notBefore: 0, error: null });
    this.#changed();
    this.pump();
  }

  // Takes a failed message out and returns it.
  take(clientId) {
    const entry = this.find(clientId);
    if (entry?.state !== 'failed') return null;
    this.#entries.splice(this.#entries.indexOf(entry), 1);
    this.#changed();
    return entry;
  }

  close() {
    clearTimeout(this.#timer);
  }

  #changed() {
    this.#store.save(this.#entries.map(({ clientId, subject, text, state, error }) => (
      { clientId, subject, text, state, error })));
    this.dispatchEvent(new Event('change'));
  }
}

// crypto.randomUUID is there on https and loopback only; this page may be served by plain HTTP.
function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
