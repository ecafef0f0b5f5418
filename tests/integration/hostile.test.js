'use strict';
// What no decent program sends, each with the answer it must get; and a flood of it, under which
// memory stays bounded and the other callers are answered.
//
// What other files check is not repeated here:
//   errors.test.js        every refusal of the contract; strings with NUL, overlong UTF-8, surrogates,
//                         control characters (CR LF too); bytes that are no protobuf; groups that never end;
//                         256 KiB and a byte
//   limits.test.js        every limit at, below and above it
//   replies.test.js       reply subjects under chat., $SRV., $JS. and $SYS.
//   new.test.js           namespaces that are none
//   acting_user.test.js   Chat-User and Content-Type given twice, empty, or oddly
//   interop/json.test.js  JSON: names given twice, nesting, numbers as strings and out of range,
//                         unknown fields, half surrogate pairs, NUL
//   ../fuzz/              each decoder on any bytes at all

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const { after, before, describe, test } = require('node:test');
const { World, within } = require('./harness');
const { METHODS, range } = require('./client');

const KIB = 1024;
const MIB = 1024 * KIB;
const bytes = (...values) => Buffer.from(values);
const METHOD_NAMES = Object.keys(METHODS);

// A long flood with CHAT_FLOOD_S=60.
const FLOOD_S = Number(process.env.CHAT_FLOOD_S || (process.env.CHAT_TEST_SHORT ? 4 : 10));
const GROWTH_MAX = 64 * MIB;

// Numbers that look random and are the same in every run (a linear congruential generator).
function randomBytes(seed, size) {
  let state = seed >>> 0;
  return Buffer.from(range(1, size).map(() => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  }));
}

const varint = (number) => {
  const out = [];
  let rest = BigInt(number);
  for (; rest > 127n; rest >>= 7n) out.push(Number(rest & 127n) | 128);
  return Buffer.from([...out, Number(rest)]);
};
// The same number in `size` bytes, more than it needs.
const longVarint = (number, size) => {
  const out = Buffer.alloc(size, 0x80);
  varint(number).forEach((byte, i) => { out[i] = byte | 0x80; });
  out[size - 1] &= 0x7f;
  return out;
};
const field = (number, type, ...rest) => Buffer.concat([varint((number << 3) | type), ...rest]);
const text = (number, value) => field(number, 2, varint(Buffer.byteLength(value)), Buffer.from(value));
const unknownFields = (size) => Buffer.alloc(size, bytes(0x78, 0x01)); // Field 15, a varint, and again.
const groups = (depth) => Buffer.concat([Buffer.alloc(depth, 0x7b), Buffer.alloc(depth, 0x7c)]);

describe('hostile requests', { timeout: 300000 }, () => {
  let world;
  let client;
  let chat;
  before(async () => {
    world = await World.start();
    client = await world.client();
    chat = await client.chat('ann', 'bob');
    for (const n of range(1, 3)) await client.Send({ chat_id: chat, user_id: 'ann', text: `text ${n}` });
  });
  after(() => world && world.close());

  // Nothing that was refused left anything behind.
  async function unchanged() {
    const page = await client.History({ chat_id: chat });
    assert.deepEqual(page.messages.map((message) => message.text), ['text 1', 'text 2', 'text 3']);
  }
  const history = (...fields) => Buffer.concat([text(1, chat), ...fields]);
  const seqsOf = (reply) => {
    assert.ok(reply.value, JSON.stringify(reply.error));
    return reply.value.messages.map((message) => message.seq);
  };

  test('an empty payload names what is missing', async () => {
    (await client.raw('New', '')).refused(400, 'chat.New.MissingUserIDs');
    (await client.raw('Send', '')).refused(400, 'chat.Send.MissingChatID');
    (await client.raw('History', '')).refused(400, 'chat.History.MissingChatID');
    for (const method of METHOD_NAMES) {
      (await client.raw(method, '', { json: true })).refused(400, `chat.${method}.Malformed`);
    }
  });

  test('random bytes get one answer each, and change nothing', async () => {
    const requests = [];
    for (const seed of range(1, 300)) {
      const payload = randomBytes(seed, (seed * 37) % 2000);
      for (const method of METHOD_NAMES) {
        requests.push(client.raw(method, payload, { json: seed % 3 === 0 }).then((reply) => {
          // A New could be made of them by chance, and nothing else.
          assert.ok(reply.error ? reply.error.code >= 400 && reply.error.code < 500 : method === 'New');
        }));
      }
    }
    await Promise.all(requests);
    await unchanged();
  });

  test('varints that end early or go on too long are Malformed', async () => {
    const cases = [
      bytes(0x20), bytes(0x20, 0x80), field(4, 0, Buffer.alloc(9, 0xff)), // Cut short.
      field(4, 0, Buffer.alloc(10, 0xff), bytes(0x01)), // Eleven bytes.
      field(4, 0, Buffer.alloc(9, 0xff), bytes(0x02)), // 65 bits.
      bytes(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01), // A tag of seven.
      Buffer.concat([bytes(0x0a), longVarint(3, 6), Buffer.from('ann')]), // A length of six.
      bytes(0x0a, 0xff, 0xff, 0xff, 0xff, 0x07), // A length of 2 GiB.
      bytes(0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), // 2^64 - 1.
    ];
    for (const each of cases) {
      for (const method of METHOD_NAMES) {
        (await client.raw(method, each)).refused(400, `chat.${method}.Malformed`);
      }
      (await client.raw('History', history(each))).refused(400, 'chat.History.Malformed');
    }
    await unchanged();
  });

  test('padded varints are read, as other implementations do', async () => {
    assert.deepEqual(seqsOf(await client.raw('History', history(field(4, 0, longVarint(2, 10))))), [2, 3]);
    const padded = Buffer.concat([bytes(0x0a), longVarint(chat.length, 5), Buffer.from(chat)]);
    assert.deepEqual(seqsOf(await client.raw('History', padded)), [1, 2, 3]);
  });

  test('every field with every other wire type is Malformed', async () => {
    const values = {
      0: bytes(0x01), 1: Buffer.alloc(8), 2: bytes(0x01, 0x61), 3: null, 5: Buffer.alloc(4), 6: bytes(0), 7: bytes(0),
    };
    const right = {
      New: { 1: 2 }, Send: { 1: 2, 2: 2, 3: 2, 4: 2, 5: 2 }, History: { 1: 2, 2: 0, 3: 0, 4: 0 },
    };
    for (const [method, fields] of Object.entries(right)) {
      for (const [number, type] of Object.entries(fields)) {
        for (const [wrong, value] of Object.entries(values)) {
          if (Number(wrong) === type) continue;
          const payload = value ? field(number, wrong, value) : Buffer.concat([field(number, 3), field(number, 4)]);
          (await client.raw(method, payload)).refused(400, `chat.${method}.Malformed`);
        }
      }
    }
    (await client.raw('History', field(0, 0, bytes(1)))).refused(400, 'chat.History.Malformed');
    await unchanged();
  });

  test('groups are skipped up to a depth of 100; beyond it, and 100,000 deep, they are Malformed', async () => {
    const good = [groups(1), groups(100), Buffer.concat(range(1, 1000).map(() => groups(100)))];
    for (const each of good) assert.deepEqual(seqsOf(await client.raw('History', history(each))), [1, 2, 3]);
    const crossed = Buffer.from([0x73, 0x7b, 0x74, 0x7c]);
    for (const each of [groups(101), groups(100000), groups(50).subarray(0, -1), Buffer.concat([groups(50), bytes(0x7c)]), crossed]) {
      for (const method of METHOD_NAMES) {
        (await client.raw(method, Buffer.concat([text(1, 'x'), each]))).refused(400, `chat.${method}.Malformed`);
      }
    }
  });

  test('200 KiB of unknown fields are skipped, a megabyte is TooLarge', async () => {
    assert.deepEqual(seqsOf(await client.raw('History', history(unknownFields(200 * KIB)))), [1, 2, 3]);
    assert.deepEqual(seqsOf(await client.raw('History', Buffer.concat([unknownFields(200 * KIB), history()]))), [1, 2, 3]);
    assert.ok(client.connection.info.max_payload >= MIB);
    for (const method of METHOD_NAMES) {
      (await client.raw(method, unknownFields(MIB))).refused(413, `chat.${method}.TooLarge`);
      (await client.raw(method, ' '.repeat(MIB - 200), { json: true })).refused(413, `chat.${method}.TooLarge`);
    }
  });

  test('of a field that is repeated and should not be, the last one counts', async () => {
    const payload = Buffer.concat([text(1, 'no uuid'), field(4, 0, bytes(3)), text(1, chat), field(4, 0, bytes(1))]);
    assert.deepEqual(seqsOf(await client.raw('History', payload)), [3]);
    (await client.raw('History', Buffer.concat([history(), text(1, 'no uuid')]))).refused(404, 'chat.History.InvalidChatID');
    const many = Buffer.concat([...range(1, 2000).map((n) => text(5, `text ${n}`)), text(2, chat), text(3, 'bob'), text(5, '')]);
    (await client.raw('Send', many)).refused(400, 'chat.Send.MissingText');
    await unchanged();
  });

  test('cursors and limits at the ends of their numbers', async () => {
    const ends = [2n ** 31n - 1n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];
    for (const end of ends) {
      const from = field(2, 0, varint(end));
      const beforeEnd = field(3, 0, varint(end));
      assert.deepEqual(seqsOf(await client.raw('History', history(beforeEnd))), [1, 2, 3], `before ${end}`);
      assert.deepEqual(seqsOf(await client.raw('History', history(from))), [], `from ${end}`);
      assert.deepEqual(seqsOf(await client.raw('History', history(from, beforeEnd))), [], `from and before ${end}`);
      const json = { chat_id: chat, from_seq: 1, before_seq: String(end) };
      assert.equal((await client.History(json, { json: true })).messages.length, 3);
    }
    assert.deepEqual(seqsOf(await client.raw('History', history(field(4, 0, varint(2n ** 32n - 1n))))), [1, 2, 3]);
    // Of a number too large for its type, protobuf keeps the lower bits: 2^32 + 2 is 2.
    assert.deepEqual(seqsOf(await client.raw('History', history(field(4, 0, varint(2n ** 32n + 2n))))), [2, 3]);
    (await client.raw('History', history(field(2, 0, varint(2n ** 64n - 1n)), field(3, 0, varint(2n ** 64n - 2n)))))
      .refused(400, 'chat.History.InvalidRange');
    for (const limit of [4294967296, '4294967296', '18446744073709551616']) {
      (await client.call('History', { chat_id: chat, limit }, { json: true })).refused(400, 'chat.History.Malformed');
    }
  });

  test('what an id brings along does not get into headers, whatever it is', async () => {
    const evil = 'x\r\nNats-Service-Error-Code: 200\r\n\r\nMSG a 1 0\r\n';
    for (const json of [false, true]) {
      for (const [method, fields] of [
        ['New', { user_ids: [evil] }],
        ['Send', { chat_id: chat, user_id: evil, text: 'x' }],
        ['Send', { chat_id: chat, user_id: 'ann', client_id: evil, text: 'x' }],
      ]) {
        const reply = await client.call(method, fields, { json });
        assert.equal(reply.error && reply.error.code, 400);
        assert.deepEqual([...reply.headers.keys()].sort().filter((name) => /error/i.test(name)),
          ['Nats-Service-Error', 'Nats-Service-Error-Code']);
        assert.equal(reply.headers.get('Nats-Service-Error-Code'), '400');
      }
      (await client.call('Send', { chat_id: evil, user_id: 'ann', text: 'x' }, { json })).refused(404, 'chat.Send.InvalidChatID');
    }
    const unknown = JSON.stringify({ [evil]: 1 });
    (await client.raw('New', unknown, { json: true })).refused(400, 'chat.New.Malformed');
    await unchanged();
  });

  test('subjects that name several namespaces are refused', async () => {
    for (const ns of ['*', '>', 'a*', '*a']) {
      for (const method of METHOD_NAMES) {
        const answer = await rawRequest(world.broker.port, `chat.${method}.${ns}`, '');
        assert.match(answer, new RegExp(`Nats-Service-Error-Code: 400\r\n[^]*chat\\.${method}\\.Malformed`));
      }
    }
    await unchanged();
  });
});

// A request without a client library, for subjects that these do not let pass.
async function rawRequest(port, subject, payload) {
  const socket = net.connect(port, '127.0.0.1');
  try {
    let heard = '';
    const answered = new Promise((resolve, reject) => {
      socket.on('data', (chunk) => {
        heard += chunk;
        if (/\r\nHMSG [^]*\r\n\r\n[^]+\r\n$/.test(heard)) resolve(heard);
      });
      socket.on('error', reject);
      socket.on('close', () => reject(new Error(`the broker hung up: ${heard}`)));
    });
    socket.write('CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n');
    socket.write(`SUB hostile.inbox 1\r\nPUB ${subject} hostile.inbox ${payload.length}\r\n${payload}\r\n`);
    return await within(answered, `an answer to ${subject}`);
  } finally {
    socket.destroy();
  }
}

const FLOOD = {
  'the most user ids that fit': ['New', Buffer.concat(range(1, 60000).map((n) => Buffer.from([0x0a, 2, 33 + (n % 90), 33 + (n % 89)]))).subarray(0, 4 * 60000)],
  'one user id, again and again': ['New', Buffer.alloc(87000 * 3, bytes(0x0a, 0x01, 0x61))],
  'empty user ids': ['New', Buffer.alloc(256 * KIB, bytes(0x0a, 0x00))],
  'unknown fields': ['History', unknownFields(256 * KIB)],
  'groups': ['Send', groups(128 * KIB - 10)],
  'objects in JSON': ['New', `{"user_ids":[${'{},'.repeat(85000)}{}]}`, true],
  'arrays in JSON': ['New', `{"user_ids":[${'[],'.repeat(85000)}[]]}`, true],
  'strings in JSON': ['New', `{"user_ids":[${'"a",'.repeat(64000)}"a"]}`, true],
  'names in JSON': ['Send', `{${range(1, 30000).map((n) => `"${n}":0`).join(',')}}`.slice(0, 256 * KIB - 2), true],
  'numbers in JSON': ['History', `{"limit":${'9'.repeat(250 * KIB)}}`, true],
  'escapes in JSON': ['Send', `{"text":"${'\\u0041'.repeat(43000)}"}`, true],
  'more than is read': ['Send', Buffer.alloc(MIB)],
  'random bytes': ['Send', randomBytes(1, 100 * KIB)],
};

describe(`a flood of it for ${FLOOD_S} s`, { timeout: (FLOOD_S + 120) * 1000 }, () => {
  let world;
  let chat;
  before(async () => {
    world = await World.start();
    chat = await (await world.client()).chat('ann', 'bob');
  });
  after(() => world && world.close());

  const resident = () => {
    const [, kib] = /VmRSS:\s+(\d+) kB/.exec(fs.readFileSync(`/proc/${world.chatd.program.child.pid}/status`, 'utf8'));
    return Number(kib) * KIB;
  };
  const sanitized = /san-/.test(process.env.CHAT_BIN || '');

  async function flood(client, deadline, counts) {
    const entries = Object.entries(FLOOD);
    for (let i = 0; Date.now() < deadline || i < entries.length; i++) {
      const [name, [method, payload, json]] = entries[i % entries.length];
      const reply = await client.raw(method, payload, { json });
      assert.ok(reply.error ? reply.error.code < 500 || reply.error.code === 503 : method === 'New', name);
      counts.set(name, (counts.get(name) || 0) + 1);
    }
  }

  // Somebody else's requests, one after the other; how long each takes, in ms.
  async function others(client, deadline, took) {
    for (let n = 1; Date.now() < deadline; n++) {
      const started = process.hrtime.bigint();
      await client.sendUntilAcknowledged({ chat_id: chat, user_id: 'ann', client_id: `other ${n}`, text: `${n}` }, { timeout: 20000 });
      const page = await client.History({ chat_id: chat, limit: 1 });
      assert.equal(page.messages[0].text, String(n));
      took.push(Number(process.hrtime.bigint() - started) / 1e6);
    }
  }

  test('memory stays bounded and others are answered', async (t) => {
    const counts = new Map();
    const took = [];
    const clients = await Promise.all(range(1, 5).map(() => world.client()));
    await flood(clients[0], Date.now() + 1000, counts); // What is taken once and kept.
    const start = resident();
    let peak = start;
    const watch = setInterval(() => { peak = Math.max(peak, resident()); }, 50);
    try {
      const deadline = Date.now() + FLOOD_S * 1000;
      await Promise.all([
        ...clients.slice(1).map((client) => flood(client, deadline, counts)),
        others(clients[0], deadline, took),
      ]);
    } finally {
      clearInterval(watch);
    }
    assert.equal(counts.size, Object.keys(FLOOD).length, 'every kind was sent');
    assert.ok(took.length > 0, 'others were answered');
    took.sort((a, b) => a - b);
    t.diagnostic(`resident: ${(start / MIB).toFixed(1)} MiB, at most ${(peak / MIB).toFixed(1)}; `
      + `${[...counts.values()].reduce((sum, n) => sum + n)} hostile requests; others: ${took.length} times two, `
      + `median ${took[took.length >> 1].toFixed(1)} ms, at most ${took.at(-1).toFixed(1)} ms`);
    // The address sanitizer keeps what was freed for a while.
    if (!sanitized) assert.ok(peak - start < GROWTH_MAX, `grew by ${((peak - start) / MIB).toFixed(1)} MiB`);
  });
});
