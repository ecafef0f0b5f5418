'use strict';
// What clients may not do to the gateway, byte by byte: requests that are none, that smuggle another
// one, that never end; WebSocket frames that break the rules. Each is refused as RFC 9110, 9112 and 6455
// say, and nobody else notices.

const assert = require('node:assert/strict');
const { after, afterEach, before, describe, test } = require('node:test');
const fs = require('node:fs');
const net = require('node:net');
const { World, eventually } = require('./harness');
const { Gateway } = require('./gateway');
const { Raw } = require('./raw');

const HOST = 'Host: chat.example\r\n';
const GET = `GET /healthz HTTP/1.1\r\n${HOST}`;
const POST = `POST /chat/New HTTP/1.1\r\n${HOST}`;
const SMUGGLED = `GET /smuggled HTTP/1.1\r\n${HOST}\r\n`;

describe('hostile clients', () => {
  let world;
  let gateway;
  let chatId;
  const open = [];

  before(async () => {
    world = await World.start();
    gateway = await Gateway.start(world.broker.url, [
      '--head-timeout-ms', '1500', '--body-timeout-ms', '1500', '--idle-timeout-ms', '60000',
      '--max-connections-per-address', '40', '--limit-loopback', '--max-message-bytes', '4096', '--ping-interval-ms', '700',
      '--cors-origin', 'https://chat.example',
    ]);
    const response = await fetch(gateway.url('/chat/New'), { method: 'POST', body: '{"user_ids":["a"]}' });
    ({ chat_id: chatId } = await response.json());
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((raw) => raw.close()));
    const response = await fetch(gateway.url('/healthz'), { headers: { connection: 'close' } });
    assert.equal(response.status, 200);
    await response.text();
  });
  after(async () => {
    if (gateway) await gateway.stop();
    if (world) await world.close();
  });

  function send(text) {
    const raw = Raw.open(gateway.port).write(text);
    open.push(raw);
    return raw;
  }

  // One answer, which is a refusal, and then the end: nothing of what followed was looked at.
  async function refusedAndClosed(code, text) {
    const raw = send(text);
    await raw.untilEnd();
    const answers = raw.answers();
    assert.deepEqual(answers.map((answer) => answer.code), [code], `${JSON.stringify(text.slice(0, 200))}: ${raw.text}`);
    assert.equal(answers[0].headers.connection, 'close');
    assert.equal(JSON.parse(answers[0].body).code, code);
    await raw.close();
    open.splice(open.indexOf(raw), 1);
  }

  test('requests that smuggle another one', async () => {
    for (const [code, text] of [
      [400, `${POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
      [400, `${POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${SMUGGLED}`],
      [400, `${POST}Content-Length: 0\r\nContent-Length: 44\r\n\r\n${SMUGGLED}`],
      [400, `${POST}Content-Length: 0, 44\r\n\r\n${SMUGGLED}`],
      [400, `${POST}Content-Length: -44\r\n\r\n${SMUGGLED}`],
      [400, `${POST}Content-Length: +0\r\n\r\n${SMUGGLED}`],
      [400, `${POST}Content-Length: 0x2c\r\n\r\n${SMUGGLED}`],
      [413, `${POST}Content-Length: 18446744073709551616\r\n\r\n${SMUGGLED}`],
      [400, `${POST}Content-Length : 44\r\n\r\n${SMUGGLED}`],
      [400, `${POST}X: y\r\n Content-Length: 44\r\n\r\n${SMUGGLED}`],
      [400, `${POST}X: y\rContent-Length: 44\r\n\r\n${SMUGGLED}`],
      [400, `${POST}X: y\nContent-Length: 44\r\n\r\n${SMUGGLED}`],
      [400, `${POST}X: y\0\r\nContent-Length: 44\r\n\r\n${SMUGGLED}`],
      [501, `${POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
      [501, `${POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n${SMUGGLED}`],
      [400, `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${SMUGGLED}`],
      [400, `${POST}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
      [400, `${POST}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
      [400, `POST /chat/New HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
      [400, `${POST}Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n${SMUGGLED}`],
      [400, `${POST}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n${SMUGGLED}`],
      [400, `${POST}Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n${SMUGGLED}`],
      [400, `${POST}Transfer-Encoding: chunked\r\n\r\n2\nxy\r\n0\r\n\r\n${SMUGGLED}`],
      [400, `${POST}Transfer-Encoding: chunked\r\n\r\n123456789\r\nxy\r\n0\r\n\r\n${SMUGGLED}`],
      [413, `${POST}Transfer-Encoding: chunked\r\n\r\nfffffff\r\nxy\r\n0\r\n\r\n${SMUGGLED}`],
    ]) await refusedAndClosed(code, text);
  });

  test('requests that are none', async () => {
    for (const [code, text] of [
      [400, 'GET /healthz\r\n'],
      [400, '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n'],
      [505, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
      [505, `GET /healthz HTTP/3.0\r\n${HOST}\r\n`],
      [400, `GET /healthz HTTP/1.1\n${HOST}\n`],
      [400, 'GET /healthz HTTP/1.1\r\n\r\n'],
      [400, `${GET}Host: chat.example\r\n\r\n`],
      [400, `${GET}Host: other.example\r\n\r\n`],
      [400, 'GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n'],
      [400, 'GET /healthz HTTP/1.1\r\nHost: a/../b\r\n\r\n'],
      [400, `GET healthz HTTP/1.1\r\n${HOST}\r\n`],
      [400, `GET ftp://a/healthz HTTP/1.1\r\n${HOST}\r\n`],
      [400, `GET * HTTP/1.1\r\n${HOST}\r\n`],
      [501, `CONNECT chat.example:443 HTTP/1.1\r\n${HOST}\r\n`],
      [417, `${POST}Expect: a-pony\r\nContent-Length: 2\r\n\r\n{}`],
      [414, `GET /${'a'.repeat(20000)} HTTP/1.1\r\n`],
      [431, `${GET}X: ${'a'.repeat(20000)}`],
      [431, `${GET}${'X: y\r\n'.repeat(101)}\r\n`],
      [413, `${POST}Content-Length: 99999999\r\n\r\n`],
    ]) await refusedAndClosed(code, text);
  });

  test('strange requests that are fine', async () => {
    const good = [
      [200, `GET http://chat.example:80/healthz HTTP/1.1\r\n${HOST}\r\n`],
      [200, `\r\n${GET}\r\n`],
      [200, `GET /healthz HTTP/1.9\r\n${HOST}\r\n`],
      [204, `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`],
      [405, `TRACE /healthz HTTP/1.1\r\n${HOST}\r\n`],
      [405, `PROPFIND /chat/New HTTP/1.1\r\n${HOST}\r\n`],
      [200, `${GET}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n`],
      [200, `${GET}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n`],
      [200, 'POST /chat/New HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\n\r\n9;x="y"\r\n{"user_id\r\n9\r\ns":["a"]}\r\n0\r\nTrailer: z\r\n\r\n'],
    ];
    for (const [code, text] of good) {
      const raw = send(text);
      const [answer] = await raw.untilAnswers(1);
      assert.equal(answer.code, code, text);
      assert.equal(answer.headers.connection, undefined, text);
    }
    // All of it on one connection, and in pieces.
    const raw = send('');
    const all = good.map(([, text]) => text).join('');
    for (let i = 0; i < all.length; i += 7) raw.write(all.slice(i, i + 7));
    const answers = await raw.untilAnswers(good.length);
    assert.deepEqual(answers.map((answer) => answer.code), good.map(([code]) => code));
  });

  test('HTTP/1.0 ends after its answer unless it asks otherwise', async () => {
    const once = send('GET /healthz HTTP/1.0\r\n\r\n');
    await once.untilEnd();
    assert.deepEqual(once.answers().map((answer) => [answer.code, answer.headers.connection]), [[200, 'close']]);
    const kept = send('GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    assert.equal((await kept.untilAnswers(1))[0].headers.connection, 'keep-alive');
    kept.write('GET /healthz HTTP/1.0\r\n\r\n');
    await kept.untilEnd();
    assert.equal(kept.answers().length, 2);
  });

  test('a thousand requests at once on one connection are answered in order', async () => {
    const body = JSON.stringify({ chat_id: chatId });
    const request = (i) => (i % 2 ? `GET /none/${i} HTTP/1.1\r\n${HOST}\r\n`
      : `POST /chat/History HTTP/1.1\r\n${HOST}Content-Length: ${body.length}\r\n\r\n${body}`);
    const raw = send(Array.from({ length: 1000 }, (_, i) => request(i)).join(''));
    const answers = await raw.untilAnswers(1000);
    assert.deepEqual(answers.map((answer) => answer.code), answers.map((_, i) => (i % 2 ? 404 : 200)));
  });

  test('100-continue comes when the body is wanted, and only then', async () => {
    const raw = send(`${POST}Expect: 100-continue\r\nContent-Length: 18\r\n\r\n`);
    await eventually('it is told to go on', () => raw.text === 'HTTP/1.1 100 Continue\r\n\r\n');
    raw.write('{"user_ids":["a"]}');
    await eventually('it is answered', () => /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 OK\r\n/.test(raw.text));
    for (const [code, text] of [
      [413, `${POST}Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n`],
      [404, `POST /none HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 10\r\n\r\n`],
    ]) await refusedAndClosed(code, text);
  });

  test('what is slow is closed', async () => {
    const head = send('GET /healthz HTTP/1.1\r\nHost: a');
    const body = send(`${POST}Content-Length: 100\r\n\r\n{`);
    const chunks = send(`${POST}Transfer-Encoding: chunked\r\n\r\n1`);
    const nothing = send('');
    const dripping = send('GET /healthz HTTP/1.1\r\n');
    const drip = setInterval(() => { if (!dripping.ended) dripping.write('X: y\r\n'); }, 100);
    try {
      for (const raw of [head, body, chunks, dripping]) {
        await raw.untilEnd();
        assert.deepEqual(raw.answers().map((answer) => answer.code), [408]);
      }
      await nothing.untilEnd();
      assert.equal(nothing.text, '');
    } finally {
      clearInterval(drip);
    }
  });

  test('one address gets so many connections and no more', async () => {
    const all = Array.from({ length: 60 }, () => send(`${GET}\r\n`));
    await Promise.all(all.map((raw) => eventually('it is answered or ended', () => raw.text !== '' || raw.ended)));
    const codes = all.map((raw) => Number(/^HTTP\/1.1 (\d+)/.exec(raw.text)?.[1]));
    assert.ok(codes.filter((code) => code === 200).length <= 40, String(codes));
    assert.ok(codes.filter((code) => code === 200).length >= 30, String(codes));
    assert.ok(codes.filter((code) => code === 429).length >= 20, String(codes));
    const [refusal] = all.find((raw) => raw.text.startsWith('HTTP/1.1 429')).answers();
    assert.equal(refusal.headers['content-type'], 'application/json');
    const { code, id } = JSON.parse(refusal.body);
    assert.deepEqual([code, id], [429, 'gateway.TooManyConnections']);
  });

  test('who asks for much and reads nothing costs a bounded amount', async () => {
    const text = 'x'.repeat(60000);
    for (let i = 0; i < 16; i++) {
      await fetch(gateway.url('/chat/Send'), { method: 'POST', body: JSON.stringify({ chat_id: chatId, user_id: 'a', text }) });
    }
    const rss = () => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${gateway.program.child.pid}/status`, 'utf8'))[1]) / 1024;
    const start = rss();
    const greedy = Array.from({ length: 20 }, () => {
      const raw = send('');
      raw.socket.pause();
      raw.write(`GET /chat/History?chat_id=${chatId} HTTP/1.1\r\n${HOST}\r\n`.repeat(200));
      return raw;
    });
    for (let i = 0; i < 20; i++) assert.equal((await fetch(gateway.url('/healthz'))).status, 200);
    assert.ok(rss() - start < 600, `${start} MiB became ${rss()} MiB`);
    assert.equal(greedy.length, 20);
  });

  test('a next request waits until the answers before it are read, and is answered then', async () => {
    for (let i = 0; i < 16; i++) {
      await fetch(gateway.url('/chat/Send'), { method: 'POST', body: JSON.stringify({ chat_id: chatId, user_id: 'a', text: 'y'.repeat(60000) }) });
    }
    const answered = () => gateway.program.lines.filter((line) => / agent=patient$/.test(line)).length;
    const socket = net.connect({ port: gateway.port, host: '127.0.0.1', allowHalfOpen: true });
    let received = 0;
    socket.on('data', (data) => { received += data.length; });
    socket.on('error', () => {});
    socket.pause();
    try {
      // Who has said all that it wants still gets all of it.
      socket.end(`GET /chat/History?chat_id=${chatId}&limit=16 HTTP/1.1\r\n${HOST}User-Agent: patient\r\n\r\n`.repeat(20));
      let before = -1;
      await eventually('nothing more is answered', async () => {
        const stands = answered() > 0 && answered() === before;
        before = answered();
        await new Promise((resolve) => { setTimeout(resolve, 500); });
        return stands;
      });
      assert.ok(before < 15, `${before} answers were made for nobody`);
      socket.resume();
      await eventually('all are answered', () => answered() === 20 && received > 20 * 16 * 60000);
    } finally {
      socket.destroy();
    }
  });

  // ---- WebSocket ----

  const KEY = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
  const upgrade = (fields) => `GET /chat/Connect?chat_id=${chatId}&user_id=a HTTP/1.1\r\n${HOST}`
    + `Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n${fields}\r\n`;
  const handshake = () => upgrade(`Sec-WebSocket-Version: 13\r\n${KEY}`);

  test('fields that are repeated with the same values do not get into each other\'s way', async () => {
    const value = 'return=minimal';
    const twice = (name) => `${name}: ${value}\r\n`.repeat(2);
    const body = JSON.stringify({ chat_id: chatId, user_id: 'a', text: 'twice' });
    const sent = send(`POST /chat/Send HTTP/1.1\r\n${HOST}${twice('Prefer')}${twice('Origin')}`
      + `Content-Length: ${body.length}\r\n\r\n${body}`);
    const [answer] = await sent.untilAnswers(1);
    assert.deepEqual([answer.code, JSON.parse(answer.body).id], [403, 'gateway.ForeignOrigin']);
    const preferred = send(`POST /chat/Send HTTP/1.1\r\n${HOST}${twice('Prefer')}Content-Length: ${body.length}\r\n\r\n${body}`);
    assert.equal((await preferred.untilAnswers(1))[0].body, '{}');
    const blank = send(`${GET}Prefer:\r\nPrefer:\r\nUser-Agent:\r\nUser-Agent:\r\n\r\n`);
    assert.equal((await blank.untilAnswers(1))[0].code, 200);
    const none = send(upgrade(twice('Sec-WebSocket-Version') + twice('Sec-WebSocket-Key')));
    assert.equal((await none.untilAnswers(1))[0].code, 426);
  });

  test('handshakes that are none', async () => {
    for (const [code, text] of [
      [426, upgrade(`Sec-WebSocket-Version: 99\r\n${KEY}`)],
      [426, upgrade(`Sec-WebSocket-Version: 8\r\n${KEY}`)],
      [426, upgrade(KEY)],
      [426, handshake().replace('Upgrade: websocket', 'Upgrade: h2c')],
      [426, handshake().replace('keep-alive, Upgrade', 'keep-alive')],
      [426, handshake().replace('HTTP/1.1', 'HTTP/1.0')],
      [400, upgrade('Sec-WebSocket-Version: 13\r\n')],
      [400, upgrade('Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n')],
      [400, upgrade('Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==\r\n')],
      [400, upgrade(`Sec-WebSocket-Version: 13\r\n${KEY}${KEY}`)],
      [403, upgrade(`Sec-WebSocket-Version: 13\r\n${KEY}Origin: https://evil.example\r\n`)],
      [403, upgrade(`Sec-WebSocket-Version: 13\r\n${KEY}Origin: null\r\n`)],
      [403, upgrade(`Sec-WebSocket-Version: 13\r\n${KEY}Origin: https://chat.example.evil\r\n`)],
    ]) {
      const raw = send(text);
      const [answer] = await raw.untilAnswers(1);
      assert.equal(answer.code, code, text);
      if (code === 426) assert.ok(answer.headers.upgrade || answer.headers['sec-websocket-version'] === '13');
      await raw.close();
    }
    const own = send(upgrade(`Sec-WebSocket-Version: 13\r\n${KEY}Origin: http://chat.example\r\n`));
    const listed = send(upgrade(`Sec-WebSocket-Version: 13\r\n${KEY}Origin: https://chat.example\r\n`));
    for (const raw of [own, listed]) {
      const [answer] = await raw.untilAnswers(1);
      assert.equal(answer.code, 101);
      assert.equal(answer.headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    }
  });

  // A masked frame; `first` is its first byte, with FIN and the opcode.
  function frame(first, payload, { length = payload.length, mask = true } = {}) {
    const body = Buffer.from(payload);
    const head = length < 126 ? Buffer.from([first, length]) : Buffer.alloc(length < 65536 ? 4 : 10);
    if (length >= 126 && length < 65536) {
      head.set([first, 126]);
      head.writeUInt16BE(length, 2);
    } else if (length >= 65536) {
      head.set([first, 127]);
      head.writeBigUInt64BE(BigInt(length), 2);
    }
    if (!mask) return Buffer.concat([head, body]);
    head[1] |= 0x80;
    return Buffer.concat([head, Buffer.from([1, 2, 3, 4]), body.map((byte, i) => byte ^ (1 + (i % 4)))]);
  }

  // The code of the close frame, which is the last of what comes.
  async function closedWith(code, ...frames) {
    const raw = send(handshake());
    await raw.untilAnswers(1);
    raw.socket.write(Buffer.concat(frames));
    await eventually(`close ${code}`, () => {
      const last = raw.received.subarray(raw.received.indexOf('\r\n\r\n') + 4);
      for (let at = 0; at + 2 <= last.length;) {
        const length = last[at + 1] < 126 ? last[at + 1] : last.readUInt16BE(at + 2);
        const start = at + (last[at + 1] < 126 ? 2 : 4);
        if (last[at] === 0x88) {
          assert.equal(last.readUInt16BE(start), code);
          return true;
        }
        at = start + length;
      }
      assert.ok(!raw.ended, `it ended without a close frame: ${Buffer.concat(frames).subarray(0, 40).toString('hex')}`);
      return false;
    });
    raw.socket.end();
    await raw.untilEnd();
  }

  test('frames that break the rules', async () => {
    const text = '{"text":"x"}';
    await closedWith(1002, frame(0x81, text, { mask: false }));
    await closedWith(1002, frame(0xf1, text));
    await closedWith(1002, frame(0x83, text));
    await closedWith(1002, frame(0x8b, text));
    await closedWith(1002, frame(0x80, text));
    await closedWith(1002, frame(0x01, text), frame(0x81, text));
    await closedWith(1002, frame(0x09, 'x'));
    await closedWith(1002, frame(0x89, Buffer.alloc(126)));
    await closedWith(1002, frame(0x88, Buffer.from([0x03])));
    await closedWith(1002, frame(0x88, Buffer.from([0x03, 0xed])));
    await closedWith(1003, frame(0x82, text));
    await closedWith(1007, frame(0x81, Buffer.from([0xc3, 0x28])));
    await closedWith(1007, frame(0x81, Buffer.from([0xed, 0xa0, 0x80])));
    await closedWith(1007, frame(0x01, Buffer.from([0xe2, 0x82])), frame(0x80, Buffer.from([0x41])));
    await closedWith(1009, frame(0x81, 'x', { length: 5000 }));
    await closedWith(1009, frame(0x81, 'x', { length: 2 ** 40 }));
    await closedWith(1009, frame(0x01, Buffer.alloc(4000, 0x20)), frame(0x80, Buffer.alloc(200, 0x20)));
    await closedWith(1000, frame(0x88, Buffer.from([0x03, 0xe8])));
  });

  test('a message that never ends, and one in endless pieces, are closed', async () => {
    await closedWith(1008, frame(0x81, 'x', { length: 100 }));
    const raw = send(handshake());
    await raw.untilAnswers(1);
    raw.socket.write(frame(0x01, ''));
    const drip = setInterval(() => { if (!raw.ended) raw.socket.write(frame(0x00, '')); }, 50);
    try {
      await eventually('it is closed', () => raw.received.includes(Buffer.from([0x88])) && raw.ended);
    } finally {
      clearInterval(drip);
    }
  });

  test('a message in more pieces than there is sense in is closed before they fill the memory', async () => {
    const raw = send(handshake());
    await raw.untilAnswers(1);
    raw.socket.write(Buffer.concat([frame(0x01, ''), ...Array.from({ length: 4100 }, () => frame(0x00, ''))]));
    await raw.untilEnd();
    assert.match(raw.text, /\x88.\x03\xf0the message comes in too many pieces$/s);
  });

  test('who sends pings and does not read the pongs is not read from', async () => {
    const raw = send(handshake());
    raw.socket.pause();
    const pings = Buffer.concat(Array.from({ length: 500 }, () => frame(0x89, Buffer.alloc(125))));
    let taken = 0;
    const more = () => raw.socket.write(pings, (error) => {
      taken += error ? 0 : pings.length;
      if (!error && taken < 64 << 20) more();
    });
    more();
    // It stops, or else all of it is taken, or it is cut off.
    let before = -1;
    await eventually('nothing more is taken', async () => {
      const stands = taken === before;
      before = taken;
      await new Promise((resolve) => { setTimeout(resolve, 500); });
      return stands;
    });
    assert.ok(taken < 64 << 20, `${taken}`);
    assert.ok(!raw.ended && !raw.socket.destroyed, 'it was cut off instead');
    raw.socket.resume();
    await eventually('reading goes on with the pongs', () => taken >= 64 << 20 || taken > before + (8 << 20));
  });

  test('who answers no pings is gone, and who floods with them is answered within bounds', async () => {
    const silent = send(handshake());
    await silent.untilAnswers(1);
    await silent.untilEnd();
    const flood = send(handshake());
    await flood.untilAnswers(1);
    flood.socket.write(Buffer.concat(Array.from({ length: 2000 }, () => frame(0x89, 'ping'))));
    await eventually('pongs come', () => flood.received.includes('ping'));
  });

  test('frames right behind the handshake are read', async () => {
    const raw = send('');
    raw.socket.write(Buffer.concat([Buffer.from(handshake()), frame(0x89, 'early')]));
    await eventually('the pong', () => raw.received.includes('early'));
  });
});
