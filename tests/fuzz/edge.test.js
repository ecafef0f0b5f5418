'use strict';
// The gateway's edge under mutated requests and frames, for FUZZ_SECONDS: the real program, best with
// sanitizers, must stay alive, answer good requests all along, and not grow.
//
// FUZZ_SEED repeats a run's choices (not the kernel's timing); a failure says which it was.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { test } = require('node:test');
const { World } = require('../integration/harness');
const { Gateway } = require('../integration/gateway');
const { Raw } = require('../integration/raw');

const SECONDS = Number(process.env.FUZZ_SECONDS || 5);
const SEED = Number(process.env.FUZZ_SEED || Date.now() % 1e9);
const AT_ONCE = 24;
const GROWTH_MIB = 128;

// mulberry32: small, and the same everywhere.
function makeRandom(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit) => Math.floor(next() * limit);
  return { below, pick: (list) => list[below(list.length)], chance: (part) => next() < part };
}

function frame(first, payload) {
  const body = Buffer.from(payload);
  const head = body.length < 126 ? Buffer.from([first, 0x80 | body.length])
    : Buffer.from([first, 0xfe, body.length >> 8, body.length & 255]);
  return Buffer.concat([head, Buffer.from([1, 2, 3, 4]), body.map((byte, i) => byte ^ (1 + (i % 4)))]);
}

function seeds(chatId) {
  const host = 'Host: chat.example\r\n';
  const json = (value) => JSON.stringify(value);
  const post = (method, body, fields = '') => `POST /chat/${method} HTTP/1.1\r\n${host}${fields}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  const chunked = (body) => `POST /chat/New HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)};a=b\r\n${body}\r\n0\r\nT: x\r\n\r\n`;
  const handshake = `GET /chat/Connect?chat_id=${chatId}&user_id=a&from_seq=1 HTTP/1.1\r\n${host}Connection: Upgrade\r\nUpgrade: websocket\r\n`
    + 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://chat.example\r\n\r\n';
  const frames = [
    frame(0x81, json({ client_id: 'c', subject: 's', text: 'ä🎉' })), frame(0x01, '{"te'), frame(0x80, 'xt":"x"}'),
    frame(0x89, 'ping'), frame(0x8a, ''), frame(0x88, Buffer.from([3, 0xe8, 0x78])), frame(0x81, 'x'.repeat(300)), frame(0x82, 'x'),
  ];
  return {
    requests: [
      post('New', json({ user_ids: ['a', 'b'] }), 'micro-namespace: n\r\nauthorization: Bearer x\r\n'),
      post('Send', json({ chat_id: chatId, user_id: 'a', text: 'x', client_id: 'c' }), 'Prefer: return=minimal\r\nIdempotency-Key: "k"\r\n'),
      post('History', json({ chat_id: chatId, from_seq: 1 }), 'Expect: 100-continue\r\n'),
      chunked(json({ user_ids: ['a'] })),
      `GET /chat/History?chat_id=${chatId}&from_seq=1&before_seq=%33&limit=2&namespace= HTTP/1.1\r\n${host}\r\n`,
      `GET http://chat.example/?a=b HTTP/1.1\r\n${host}If-None-Match: "x", W/"y"\r\n\r\n`,
      `OPTIONS /chat/Send HTTP/1.1\r\n${host}Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n\r\n`,
      `HEAD /openapi.json HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`,
      `GET /metrics HTTP/1.1\r\n${host}X-Forwarded-For: 1.2.3.4, ::1\r\nConnection: close\r\n\r\n`,
      `GET /chat/Events?chat_id=${chatId}&from_seq=1 HTTP/1.1\r\n${host}Last-Event-ID: 1\r\n\r\n`,
    ].map((text) => Buffer.from(text)),
    handshake: Buffer.from(handshake),
    frames,
    words: ['\r\n', '\r\n\r\n', '\n', '\0', ' ', '\t', ':', ',', ';', '%', '%00', '%ff', '0', '-1', '99999999999999999999', 'chunked',
      'Content-Length: 0\r\n', 'Transfer-Encoding: chunked\r\n', 'Connection: close\r\n', 'Host: x\r\n', '\x7f', '\xff', '\xed\xa0\x80',
      '\x81\xfe\xff\xff', '\x88\x80', 'HTTP/2.0', 'A'.repeat(5000)].map((text) => Buffer.from(text, 'latin1')),
  };
}

function mutate(random, words, bytes) {
  let result = Buffer.from(bytes);
  for (let count = random.below(4); count > 0 && result.length > 0; count--) {
    const at = random.below(result.length);
    const size = 1 + random.below(Math.min(40, result.length - at));
    const parts = [result.subarray(0, at), result.subarray(at, at + size), result.subarray(at + size)];
    switch (random.below(6)) {
      case 0: result[at] ^= 1 << random.below(8); break;
      case 1: result[at] = random.below(256); break;
      case 2: result = Buffer.concat([parts[0], parts[2]]); break;
      case 3: result = Buffer.concat([parts[0], parts[1], parts[1], parts[2]]); break;
      case 4: result = Buffer.concat([parts[0], random.pick(words), parts[1], parts[2]]); break;
      default: result = Buffer.from(parts[0]); break;
    }
  }
  return result;
}

function makeInput(random, material) {
  const parts = [];
  if (random.chance(0.35)) {
    parts.push(random.chance(0.9) ? material.handshake : mutate(random, material.words, material.handshake));
    for (let i = random.below(6); i >= 0; i--) parts.push(mutate(random, material.words, random.pick(material.frames)));
  } else {
    for (let i = random.below(3); i >= 0; i--) parts.push(mutate(random, material.words, random.pick(material.requests)));
  }
  return Buffer.concat(parts);
}

// Sends it in pieces, waits a moment for whatever comes, and leaves in one of the ways there are.
async function attack(random, port, input) {
  const raw = Raw.open(port);
  for (let at = 0; at < input.length;) {
    const size = random.chance(0.5) ? input.length : 1 + random.below(200);
    raw.socket.write(input.subarray(at, at + size));
    at += size;
    if (random.chance(0.3)) await new Promise(setImmediate);
  }
  if (random.chance(0.3)) raw.socket.end();
  const patience = new Promise((resolve) => { setTimeout(resolve, 5 + random.below(60)); });
  await Promise.race([raw.closed, patience]);
  // While an end is still to be sent, Node would lose it: it could not be reset, and would never be closed.
  if (random.chance(0.3) && (!raw.socket.writableEnded || raw.socket.writableFinished)) raw.socket.resetAndDestroy();
  await raw.close();
}

const rssMib = (pid) => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;

test(`the gateway's edge for ${SECONDS} s, FUZZ_SEED=${SEED}`, { timeout: (SECONDS + 120) * 1000 }, async () => {
  const random = makeRandom(SEED);
  // What was freed does not count as growth.
  process.env.ASAN_OPTIONS = `${process.env.ASAN_OPTIONS || ''}:quarantine_size_mb=8:thread_local_quarantine_size_kb=64`;
  const world = await World.start();
  const gateway = await Gateway.start(world.broker.url, ['--head-timeout-ms', '2000', '--body-timeout-ms', '2000']);
  const { pid } = gateway.program.child;
  const good = async () => {
    const response = await fetch(gateway.url('/chat/New'), { method: 'POST', body: '{"user_ids":["good"]}' });
    assert.equal(response.status, 200);
    return response.json();
  };
  try {
    const material = seeds((await good()).chat_id);
    const end = Date.now() + SECONDS * 1000;
    let warm;
    let inputs = 0;
    while (Date.now() < end) {
      const batch = Array.from({ length: AT_ONCE }, () => makeInput(random, material));
      await Promise.all(batch.map((input) => attack(random, gateway.port, input)));
      inputs += AT_ONCE;
      assert.ok(gateway.program.running, gateway.program.tail());
      await good();
      if (gateway.program.lines.length > 10000) gateway.program.lines.splice(0, 5000);
      if (warm === undefined && Date.now() > end - SECONDS * 800) warm = rssMib(pid);
    }
    const grown = rssMib(pid) - (warm === undefined ? rssMib(pid) : warm);
    console.log(`${inputs} inputs; ${Math.round(rssMib(pid))} MiB, ${Math.round(grown)} more than after a fifth of the time`);
    assert.ok(grown < GROWTH_MIB, `it grew by ${grown} MiB`);
    await gateway.stop();
  } catch (error) {
    console.error(gateway.program.tail());
    throw error;
  } finally {
    await world.close();
    if (gateway.program.running) await gateway.kill();
  }
});
