'use strict';
// The judge of the fault tests: it knows what was asked, and remembers, in this process's memory and
// so away from any disk that fails, each message that the service has vouched for, byte by byte.
//
// The service vouches for a message when it acknowledges it, publishes its event or shows it in
// History: all three may only happen when it is durable. From then on:
//
//   - at its chat and seq there are exactly those bytes, for ever, and there is no gap before it;
//   - it is one of the messages that were asked for, and each of these is there at most once;
//   - one request has at most one acknowledgement that is not marked as a duplicate.
//
// Whatever breaks that throws a Verdict. `Load` asks without end, with many requests outstanding.

const assert = require('node:assert/strict');
const { Client, Message, decode, isPassing, rawFields } = require('../integration/client');

class Verdict extends Error {}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// mulberry32: a small generator, so that a seed gives the same choices again.
function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const FILLER = Array.from({ length: 200000 }, ((random) => () => String.fromCharCode(97 + Math.floor(random() * 26)))(randomFrom(7))).join('');

class Judge {
  constructor() {
    this.chats = new Map(); // id → { id, key, users, created, messages: [seq → bytes], read }
    this.users = new Map(); // the users of a chat, joined → id
    this.requests = [];
    this.counts = { asked: 0, acknowledged: 0, duplicates: 0, events: 0, read: 0, refused: 0, unanswered: 0 };
  }

  verdict(text) {
    throw new Verdict(text);
  }

  // --- New ---

  created(users, reply) {
    const key = users.join();
    const known = this.users.get(key);
    if (known !== undefined && known !== reply.chat_id) this.verdict(`the chat of ${key} was ${known}, and now is ${reply.chat_id}`);
    this.users.set(key, reply.chat_id);
    let chat = this.chats.get(reply.chat_id);
    if (!chat) {
      chat = { id: reply.chat_id, key, users, messages: [], created: false, read: 0 };
      this.chats.set(chat.id, chat);
    }
    if (chat.key !== key) this.verdict(`chat ${chat.id} is that of ${chat.key} and of ${key}`);
    if (reply.created && chat.created) this.verdict(`chat ${chat.id} was created twice`);
    chat.created ||= reply.created;
    return chat;
  }

  // --- what is asked ---

  // A message to be sent. Its text begins with its number, so that it is known again wherever it
  // turns up. Without a client id it may only be sent once.
  request(chat, size, withClientId = true) {
    const number = this.requests.length;
    const request = {
      number, chat, size, withClientId, seq: 0, fresh: false, acknowledged: false, refused: false,
    };
    this.requests.push(request);
    this.counts.asked++;
    return request;
  }

  fields({ number, chat, size, withClientId }) {
    return {
      chat_id: chat.id,
      user_id: `user ${number % 5}`,
      ...(withClientId ? { client_id: `client id ${number}` } : {}),
      ...(number % 3 === 0 ? { subject: `subject ${number % 7}` } : {}),
      text: `${number} ${FILLER.slice(number % 99991, (number % 99991) + size)}`,
    };
  }

  // --- what the service says ---

  acknowledged(request, reply) {
    const [bytes] = rawFields(reply.bytes, 1);
    const { message, duplicate } = reply.value;
    this.witness(request.chat, bytes, `the acknowledgement of request ${request.number}`, request);
    if (!duplicate) {
      if (request.fresh) this.verdict(`request ${request.number} was acknowledged as new twice, as seq ${message.seq}`);
      if (request.refused && !request.withClientId) this.verdict(`request ${request.number} was refused and acknowledged`);
      request.fresh = true;
    } else if (!request.withClientId) {
      this.verdict(`request ${request.number} has no client id, and is called a duplicate`);
    } else {
      this.counts.duplicates++;
    }
    request.acknowledged = true;
    this.counts.acknowledged++;
  }

  // A clear refusal (503, 507) says that nothing was done.
  refused(request) {
    request.refused = true;
    this.counts.refused++;
  }

  // The service showed these bytes as a message of this chat. Returns its seq.
  witness(chat, bytes, where, expected = null) {
    const message = decode(Message, bytes);
    const known = chat.messages[message.seq];
    if (known !== undefined) {
      if (!known.equals(bytes)) this.verdict(`${where}: seq ${message.seq} of chat ${chat.id} has other bytes than before`);
      if (expected && expected.seq !== message.seq) this.verdict(`${where}: it is not the message of that request`);
      return message.seq;
    }
    const request = this.requests[Number.parseInt(message.text, 10)];
    if (!request || (expected && request !== expected)) this.verdict(`${where}: seq ${message.seq} holds a message nobody sent: ${message.text.slice(0, 50)}`);
    this.#compare(request, message, where);
    request.seq = message.seq;
    chat.messages[message.seq] = Buffer.from(bytes);
    return message.seq;
  }

  #compare(request, message, where) {
    const fields = this.fields(request);
    const { number } = request;
    if (request.seq !== 0) this.verdict(`${where}: request ${number} is there twice, as seq ${request.seq} and ${message.seq}`);
    if (request.refused && !request.withClientId) this.verdict(`${where}: request ${number} was refused, and is there`);
    if (!(message.seq > 0)) this.verdict(`${where}: seq ${message.seq}`);
    for (const name of ['chat_id', 'user_id', 'client_id', 'subject', 'text']) {
      if (name === 'client_id' && !request.withClientId) continue;
      if (message[name] !== (fields[name] ?? '')) this.verdict(`${where}: ${name} of request ${number} is not what was sent: ${JSON.stringify([message[name], fields[name]]).slice(0, 400)}`);
    }
  }

  event(chat, bytes) {
    this.counts.events++;
    this.witness(chat, bytes, 'an event');
  }

  // One page of History, read from `from` on: no gap, and each message as it was before.
  page(chat, reply, from, lastKnown) {
    const messages = rawFields(reply.bytes, 1);
    let seq = from;
    for (const bytes of messages) {
      const found = this.witness(chat, bytes, `History from ${from}`);
      if (found !== seq) this.verdict(`History from ${from} of chat ${chat.id} has seq ${found} in the place of ${seq}`);
      seq++;
    }
    this.counts.read += messages.length;
    const { head_seq: head, more } = reply.value;
    if (head < lastKnown) this.verdict(`chat ${chat.id} ends with seq ${head}, and seq ${lastKnown} was acknowledged: lost`);
    if (!more && seq <= head) this.verdict(`History of chat ${chat.id} ends with seq ${seq - 1} of ${head}`);
    return { next: seq, more };
  }

  // --- checking ---

  // Reads what has come since the last time; with `all`, everything: up to the head that is seen
  // first, so that it ends however much is sent meanwhile.
  async check(client, { all = false, timeout = 20000 } = {}) {
    for (const chat of this.chats.values()) {
      if (all) chat.read = 0;
      const lastKnown = chat.messages.length - 1;
      let head = Infinity;
      for (let more = true; more && chat.read < head;) {
        const reply = await client.call('History', { chat_id: chat.id, from_seq: chat.read + 1, limit: 1000 }, { timeout });
        if (reply.error && reply.error.code === 404) this.verdict(`chat ${chat.id} was acknowledged, and is not there: lost`);
        if (reply.error) this.verdict(`History of chat ${chat.id}: ${reply.error.code} ${reply.error.id}`);
        const page = this.page(chat, reply, chat.read + 1, lastKnown);
        if (page.more && page.next === chat.read + 1) this.verdict(`History of chat ${chat.id}: an empty page, and more`);
        chat.read = page.next - 1;
        head = Math.min(head, reply.value.head_seq);
        ({ more } = page);
      }
      if (chat.read < lastKnown) this.verdict(`chat ${chat.id} ends with seq ${chat.read}, and seq ${lastKnown} was acknowledged: lost`);
    }
  }

  // Everything once more: all that is there is read, everything with a client id that has no
  // acknowledgement gets one, and every chat is found again by its users. The load has ended.
  async checkAll(client) {
    await this.check(client, { all: true });
    for (const request of this.requests) {
      if (request.acknowledged || !request.withClientId) continue;
      const { seq } = request;
      const reply = await client.call('Send', this.fields(request));
      if (reply.error) this.verdict(`request ${request.number}, again: ${reply.error.code} ${reply.error.id}`);
      if (seq > 0 && !reply.value.duplicate) this.verdict(`request ${request.number} was seq ${seq}, and sent again is new`);
      this.acknowledged(request, reply);
    }
    for (const chat of this.chats.values()) {
      this.created(chat.users, await client.New({ user_ids: chat.users }));
    }
    await this.check(client);
  }

  // How many messages it answers for.
  get messages() {
    let count = 0;
    for (const chat of this.chats.values()) count += Math.max(0, chat.messages.length - 1);
    return count;
  }

  toString() {
    const counts = Object.entries(this.counts).map(([name, count]) => `${count} ${name}`).join(', ');
    return `${this.messages} messages in ${this.chats.size} chats; ${counts}`;
  }
}

// Programs that send without end: `width` requests outstanding on each connection; most are sent
// until they are acknowledged, some are given up, some have no client id, some are sent twice at once,
// and now and then one is repeated that was acknowledged long ago.
class Load {
  constructor(judge, connections, {
    chats = 6, width = 24, sizes = [20, 300, 3000], random = Math.random, tolerate = [503, 507],
    timeout = () => 50 + 400 * random(),
  } = {}) {
    Object.assign(this, { judge, chats, width, sizes, random, tolerate, timeout });
    this.clients = connections.map((connection) => new Client(connection));
    this.subscriptions = [];
    this.stopping = false;
    this.paused = null;
  }

  // Returns when the first chats are made; without a service, only when it is stopped.
  async start() {
    for (let i = 0; i < this.chats; i++) await this.#chat(this.clients[0], i);
    if (this.judge.chats.size === 0) return this;
    // One follower sees the events of all chats.
    this.subscriptions.push(this.clients[0].connection.subscribe('chat.events.default.*', {
      callback: (error, event) => {
        const chat = !error && this.judge.chats.get(event.subject.split('.')[3]);
        // The event of a chat may overtake the reply that tells us of it.
        if (chat) this.#guard(() => this.judge.event(chat, event.data));
      },
    }));
    const workers = this.clients.flatMap((client) => Array.from({ length: this.width }, () => this.#work(client)));
    this.working = Promise.all(workers);
    this.working.catch((error) => this.#fail(error));
    return this;
  }

  #fail(error) {
    this.error ??= error;
    this.stopping = true;
  }

  #guard(work) {
    try {
      work();
    } catch (error) {
      this.#fail(error);
    }
  }

  // Throws what the judge found until now.
  ok() {
    if (this.error) throw this.error;
  }

  pause() {
    this.paused ??= new Promise((resolve) => { this.resume = () => { this.paused = null; resolve(); }; });
  }

  async stop() {
    this.stopping = true;
    if (this.paused) this.resume();
    for (const subscription of this.subscriptions) subscription.unsubscribe();
    if (this.working) await this.working.catch(() => {});
    this.ok();
  }

  // Resolves when `more` further requests were acknowledged, or after `ms`.
  async further(more, ms = 30000) {
    const goal = this.judge.counts.acknowledged + more;
    const deadline = Date.now() + ms;
    while (this.judge.counts.acknowledged < goal && Date.now() < deadline) {
      this.ok();
      await pause(2);
    }
    this.ok();
    return this.judge.counts.acknowledged >= goal;
  }

  #pick(array) {
    return array[Math.floor(this.random() * array.length)];
  }

  async #chat(client, i) {
    for (;;) {
      const users = [`chatter ${i}`];
      const reply = await this.#attempt(client, 'New', { user_ids: users });
      if (reply && reply.value) return this.judge.created(users, reply.value);
      if (this.stopping) return null;
    }
  }

  async #work(client) {
    while (!this.stopping) {
      if (this.paused) await this.paused;
      const dice = this.random();
      if (dice < 0.01) await this.#chat(client, Math.floor(this.random() * this.chats * 3));
      else if (dice < 0.06) await this.#repeat(client);
      else await this.#one(client, dice);
    }
  }

  // What came back, or null when nothing did.
  async #attempt(client, method, fields) {
    try {
      const reply = await client.call(method, fields, { timeout: this.timeout() });
      if (reply.error) {
        if (!this.tolerate.includes(reply.error.code)) this.judge.verdict(`${method}: ${reply.error.code} ${reply.error.id} ${reply.error.detail}`);
        await pause(10);
      }
      return reply;
    } catch (error) {
      if (!isPassing(error)) throw error;
      this.judge.counts.unanswered++;
      await pause(5);
      return null;
    }
  }

  async #send(client, request) {
    const reply = await this.#attempt(client, 'Send', this.judge.fields(request));
    if (reply && reply.value) this.judge.acknowledged(request, reply);
    else if (reply && reply.error.code > 500) this.judge.refused(request);
    return reply;
  }

  async #until(client, request, attempts = Infinity) {
    while (!request.acknowledged && attempts-- > 0 && !this.stopping) await this.#send(client, request);
  }

  async #repeat(client) {
    const { requests } = this.judge;
    const request = requests.length ? this.#pick(requests) : null;
    if (request && request.withClientId) await this.#send(client, request);
  }

  async #one(client, dice) {
    const chats = [...this.judge.chats.values()];
    const request = this.judge.request(this.#pick(chats), Math.floor(this.#pick(this.sizes) * this.random()), dice > 0.15);
    if (!request.withClientId) await this.#send(client, request);
    else if (dice < 0.2) await this.#until(client, request, 1);
    else if (dice < 0.25) await Promise.all([this.#until(client, request), this.#until(this.#pick(this.clients), request)]);
    else await this.#until(client, request);
  }
}

module.exports = { Judge, Load, Verdict, assert, pause, randomFrom };
