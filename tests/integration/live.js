'use strict';
// Chats as they are watched through the gateway: WebSockets with the `ws` package, streams of
// events with fetch. Both check what they are shown as that comes: each message once, in order.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { WebSocket } = require('ws');
const { assertValid } = require('./gateway');
const { eventually, within } = require('./harness');

const query = (fields) => new URLSearchParams(
  Object.entries(fields).filter(([, value]) => value !== undefined),
).toString();

// What Connect and Events have in common: the messages that have been shown.
class Watcher {
  // `from`: the seq of the first message to come; unknown when it is not given.
  constructor(from) {
    this.next = from;
    this.messages = [];
    this.lives = [];
    this.failures = [];
  }

  take(message) {
    if (this.next !== undefined && message.seq !== this.next) {
      this.failures.push(`got ${message.seq} instead of ${this.next}`);
    }
    this.next = message.seq + 1;
    this.messages.push(message);
  }

  check() {
    assert.deepEqual(this.failures, []);
    return true;
  }

  until(what, condition, patience) {
    return eventually(what, () => {
      this.check();
      return condition(this);
    }, patience);
  }

  untilShown(seq, patience) {
    return this.until(`message ${seq} is shown`, () => this.next > seq, patience);
  }

  untilLive(times = 1) {
    return this.until('it is live', () => this.lives.length >= times);
  }
}

class Socket extends Watcher {
  constructor(url, from, options = {}) {
    super(from);
    this.acks = [];
    this.errors = [];
    this.frames = [];
    this.socket = new WebSocket(url, { perMessageDeflate: false, ...options });
    this.opened = new Promise((resolve, reject) => {
      this.socket.once('open', resolve);
      this.socket.once('error', reject);
    });
    this.opened.catch(() => {});
    this.closed = new Promise((resolve) => {
      this.socket.once('close', (code, reason) => {
        this.close_code = code;
        resolve({ code, reason: reason.toString() });
      });
    });
    this.socket.on('error', () => {}); // Told by `opened` and `closed`.
    this.socket.on('message', (data, isBinary) => this.#read(data, isBinary));
  }

  #read(data, isBinary) {
    const frame = JSON.parse(data.toString());
    const [kind] = Object.keys(frame);
    if (isBinary || Object.keys(frame).length !== 1) this.failures.push(`strange: ${data}`);
    this.#compare(frame);
    if (kind === 'message') this.take(frame.message);
    else if (kind === 'ack') this.acks.push(frame.ack);
    else if (kind === 'error') this.errors.push(frame.error);
    else if (kind === 'live') this.lives.push(frame.live);
    else this.failures.push(`unknown: ${data}`);
    this.frames.push(kind);
  }

  // All that comes must be as the gateway describes it.
  #compare(frame) {
    try {
      assertValid('components/schemas/ConnectOutput', frame);
    } catch (error) {
      this.failures.push(error.message);
    }
  }

  send(fields) {
    this.socket.send(typeof fields === 'string' ? fields : JSON.stringify(fields));
  }

  async end() {
    this.socket.close();
    return within(this.closed, 'the end of a WebSocket');
  }
}

// Connects, and waits until that is done.
async function connect(gateway, fields, { from = fields.from_seq, ...options } = {}) {
  const socket = new Socket(gateway.url(`/chat/Connect?${query(fields)}`, 'ws'), from, options);
  await within(socket.opened, 'a WebSocket opens');
  return socket;
}

class EventStream extends Watcher {
  // Resolves when the head of the answer is there; `status` and, unless that is 200, `error`.
  static async open(gateway, fields, { from = fields.from_seq, headers = {} } = {}) {
    const stream = new EventStream(from);
    stream.control = new AbortController();
    const response = await within(fetch(gateway.url(`/chat/Events?${query(fields)}`), {
      headers, signal: stream.control.signal,
    }), 'the head of a stream of events');
    stream.status = response.status;
    stream.headers = response.headers;
    if (response.status === 200) stream.done = stream.#readAll(response.body);
    else stream.error = await response.json();
    return stream;
  }

  async #readAll(body) {
    const decoder = new TextDecoder();
    let text = '';
    this.comments = 0;
    try {
      for await (const chunk of body) {
        text += decoder.decode(chunk, { stream: true });
        for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
          this.#readBlock(text.slice(0, end));
          text = text.slice(end + 2);
        }
      }
    } catch (error) {
      this.brokenBy = error;
    }
    this.ended = true;
  }

  // As the HTML standard has it, as far as it is used.
  #readBlock(block) {
    const event = { type: 'message', data: undefined };
    for (const line of block.split('\n')) {
      const [, name, value] = /^([a-z]*): ?(.*)$/.exec(line) || [null, 'bad', line];
      if (name === '') this.comments++;
      else if (name === 'id') this.lastId = value;
      else if (name === 'retry') this.retry = Number(value);
      else if (name === 'event') event.type = value;
      else if (name === 'data') event.data = value;
      else this.failures.push(`not an event: ${block}`);
    }
    if (event.data === undefined) return;
    const data = JSON.parse(event.data);
    if (event.type === 'message') {
      this.take(data);
      if (this.lastId !== String(data.seq)) this.failures.push(`id ${this.lastId} of ${data.seq}`);
    } else if (event.type === 'live') this.lives.push(data);
    else if (event.type === 'failed') this.failed = data;
    else this.failures.push(`unknown: ${block}`);
  }

  async end() {
    this.control.abort();
    await within(this.done, 'the end of a stream');
  }
}

// Subscriptions to events at the broker, as its monitoring shows them. The broker must have been
// started with { http_port: -1 }.
async function eventSubscriptions(broker) {
  const name = path.basename(process.env.NATS_SERVER || 'nats-server');
  const file = path.join(broker.directory, `${name}_${broker.program.child.pid}.ports`);
  const { monitoring: [url] } = JSON.parse(fs.readFileSync(file, 'utf8'));
  const reply = await (await fetch(`${url}/connz?subs=1`)).json();
  return reply.connections.flatMap((connection) => connection.subscriptions_list || [])
    .filter((subject) => subject.startsWith('chat.events.'));
}

module.exports = { EventStream, Socket, connect, eventSubscriptions };
