'use strict';
// Calls the service as any program would: the official NATS client, and protobufjs reading
// proto/chat.proto as it stands. Nothing of the service's own code is in between.

const assert = require('node:assert/strict');
const path = require('node:path');
const nats = require('nats');
const protobuf = require('protobufjs');

const PROTO = path.resolve(__dirname, '..', '..', 'proto', 'chat.proto');
const root = new protobuf.Root().loadSync(PROTO, { keepCase: true });
root.resolveAll();

const type = (name) => root.lookupType(`chat.${name}`);
const METHODS = {
  New: { request: type('NewRequest'), reply: type('NewResponse') },
  Send: { request: type('SendRequest'), reply: type('SendResponse') },
  History: { request: type('HistoryRequest'), reply: type('HistoryResponse') },
};
const Message = type('Message');
const ErrorType = type('Error');

// RFC 9110 and RFC 4918.
const STATUS_TEXTS = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  409: 'Conflict',
  413: 'Content Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
  507: 'Insufficient Storage',
};

// Plain objects; every field is there; 64-bit numbers as numbers (tests stay below 2^53).
function toPlain(messageType, decoded) {
  return messageType.toObject(decoded, { longs: Number, defaults: true, arrays: true });
}
const decode = (messageType, bytes) => toPlain(messageType, messageType.decode(bytes));
const encode = (messageType, fields) => messageType.encode(messageType.fromObject(fields)).finish();

// The raw bytes of every occurrence of a length-delimited field, as they are on the wire.
function rawFields(bytes, number) {
  const reader = protobuf.Reader.create(bytes);
  const found = [];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === ((number << 3) | 2)) found.push(Buffer.from(reader.bytes()));
    else reader.skipType(tag & 7);
  }
  return found;
}

// Messages put together by hand, for what no decent library would send: [[number, Buffer], …].
function rawMessage(fields) {
  const writer = protobuf.Writer.create();
  for (const [number, bytes] of fields) writer.uint32((number << 3) | 2).bytes(bytes);
  return Buffer.from(writer.finish());
}

// The refusal of a request, thrown by New, Send and History.
class Refusal extends Error {
  constructor(reply) {
    super(`${reply.error.code} ${reply.error.id}: ${reply.error.detail}`);
    this.reply = reply;
    this.code = reply.error.code;
    this.id = reply.error.id;
  }
}

// What came back: `value` or `error`, decoded; the headers; the bytes.
class Reply {
  constructor(method, message, json) {
    this.bytes = Buffer.from(message.data);
    this.headers = message.headers;
    this.json = json;
    const code = message.headers ? message.headers.get('Nats-Service-Error-Code') : '';
    if (code === '') this.value = this.#decode((METHODS[method] || METHODS.New).reply);
    else this.error = this.#decode(ErrorType);
  }

  #decode(messageType) {
    return this.json ? JSON.parse(this.bytes.toString('utf8')) : decode(messageType, this.bytes);
  }

  // All that a refusal promises, in the headers and in the body.
  refused(code, id) {
    assert.ok(this.error, `expected ${code} ${id}, got ${JSON.stringify(this.value)}`.slice(0, 500));
    assert.equal(`${this.error.code} ${this.error.id}`, `${code} ${id}`, this.error.detail);
    assert.equal(this.error.status, STATUS_TEXTS[code]);
    assert.ok(this.error.detail.length > 0, 'the detail says something');
    assert.deepEqual(Object.keys(this.error).sort(), ['code', 'detail', 'id', 'status']);
    assert.equal(this.headers.get('Nats-Service-Error-Code'), String(code));
    assert.equal(this.headers.get('Nats-Service-Error'), this.error.detail);
    return this.error;
  }
}

class Client {
  // Defaults for every call: `ns`, `json`, `user` (Chat-User), `timeout` in ms.
  constructor(connection, defaults = {}) {
    this.connection = connection;
    this.defaults = { timeout: 20000, ...defaults };
  }

  with(defaults) {
    return new Client(this.connection, { ...this.defaults, ...defaults });
  }

  // Sends bytes (or a string) as they are. The subject's method decides how a reply is read.
  async raw(method, bytes, options = {}) {
    const { ns, json, user, timeout } = { ...this.defaults, ...options };
    const subject = ns === undefined ? `chat.${method}` : `chat.${method}.${ns}`;
    const headers = nats.headers();
    if (json) headers.set('Content-Type', 'application/json');
    if (user !== undefined) headers.set('Chat-User', user);
    const withHeaders = json || user !== undefined;
    const message = await this.connection.request(subject, bytes, {
      timeout,
      ...(withHeaders ? { headers } : {}),
    });
    return new Reply(method, message, json);
  }

  // The reply, be it a result or a refusal.
  call(method, fields, options = {}) {
    const { json } = { ...this.defaults, ...options };
    const bytes = json ? JSON.stringify(fields) : encode(METHODS[method].request, fields);
    return this.raw(method, bytes, options);
  }

  async #value(method, fields, options) {
    const reply = await this.call(method, fields, options);
    if (reply.error) throw new Refusal(reply);
    return reply.value;
  }

  New(fields, options) {
    return this.#value('New', fields, options);
  }

  Send(fields, options) {
    return this.#value('Send', fields, options);
  }

  History(fields, options) {
    return this.#value('History', fields, options);
  }

  // The id of the chat of these users.
  async chat(...users) {
    return (await this.New({ user_ids: users })).chat_id;
  }

  // Send as a careful program does it: again, with the same client id, until it is acknowledged.
  // Only what may pass by itself is tried again; a refusal of the message itself is thrown.
  async sendUntilAcknowledged(fields, { timeout = 700, patience = 60000 } = {}) {
    assert.ok(fields.client_id, 'only a client id makes a retry safe');
    const deadline = Date.now() + patience;
    for (;;) {
      try {
        return await this.Send(fields, { timeout });
      } catch (error) {
        const passing = error instanceof Refusal ? error.code >= 503 : isPassing(error);
        if (!passing || Date.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
  }

  // Every message of a chat, page by page: from the beginning on, or from the end back.
  async readAll(chatId, { limit = 1000, backward = false, ...options } = {}) {
    const messages = [];
    for (;;) {
      const page = await this.History(backward
        ? { chat_id: chatId, before_seq: messages.length ? messages[0].seq : 0, limit }
        : { chat_id: chatId, from_seq: messages.length + 1, limit }, options);
      if (backward) messages.unshift(...page.messages);
      else messages.push(...page.messages);
      if (!page.more) return messages;
      assert.ok(page.messages.length > 0, 'a page that says there is more holds something');
    }
  }
}

function isPassing(error) {
  return [
    nats.ErrorCode.Timeout, nats.ErrorCode.NoResponders, nats.ErrorCode.Disconnect,
    nats.ErrorCode.ConnectionRefused,
  ].includes(error.code);
}

const seqs = (messages) => messages.map((message) => message.seq);
// [first, …, last]; empty when last is before first.
const range = (first, last) => Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);

module.exports = {
  Client, ErrorType, Message, METHODS, Refusal, Reply,
  decode, encode, isPassing, range, rawFields, rawMessage, seqs,
};
