'use strict';
// TLS on the side of the clients: what is spoken, what is not, and new certificates without a restart.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const https = require('node:https');
const path = require('node:path');
const tls = require('node:tls');
const { after, before, describe, test } = require('node:test');
const { WebSocket } = require('ws');
const { World, eventually, makeDirectory, removeDirectory, within } = require('./harness');
const { Gateway } = require('./gateway');
const { Raw } = require('./raw');

function makeCertificate(directory, name, subject = 'chat.example') {
  const cert = path.join(directory, `${name}.pem`);
  const key = path.join(directory, `${name}.key`);
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
    '-days', '2', '-subj', `/CN=${subject}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1',
    '-keyout', key, '-out', cert], { stdio: 'ignore' });
  return { cert, key };
}

describe('TLS', () => {
  let world;
  let gateway;
  let directory;
  let files;

  before(async () => {
    directory = makeDirectory();
    files = makeCertificate(directory, 'first', 'first');
    world = await World.start();
    gateway = await Gateway.start(world.broker.url, ['--listen-tls-cert', files.cert, '--listen-tls-key', files.key,
      '--head-timeout-ms', '3000', '--write-timeout-ms', '2000']);
  });
  after(async () => {
    if (gateway) await gateway.stop();
    if (world) await world.close();
    removeDirectory(directory);
  });

  const agent = () => new https.Agent({ ca: fs.readFileSync(files.cert), keepAlive: true, maxSockets: 2 });

  function call(target, body, options = {}) {
    return within(new Promise((resolve, reject) => {
      const request = https.request(gateway.url(target, 'https'), {
        method: body === undefined ? 'GET' : 'POST', ...options,
      }, (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('end', () => resolve({ code: response.statusCode, text: Buffer.concat(chunks).toString() }));
      });
      request.once('error', reject);
      request.end(body);
    }), 'an answer over TLS');
  }

  test('calls, WebSockets and large pages', async () => {
    const shared = agent();
    const made = JSON.parse((await call('/chat/New', '{"user_ids":["a"]}', { agent: shared })).text);
    const text = 'ä'.repeat(30000);
    for (let i = 0; i < 10; i++) {
      const body = JSON.stringify({ chat_id: made.chat_id, user_id: 'a', text: `${i}${text}` });
      assert.equal((await call('/chat/Send', body, { agent: shared })).code, 200);
    }
    const page = JSON.parse((await call(`/chat/History?chat_id=${made.chat_id}`, undefined, { agent: shared })).text);
    assert.deepEqual(page.messages.map((message) => message.text), Array.from({ length: 10 }, (_, i) => `${i}${text}`));
    const socket = new WebSocket(gateway.url(`/chat/Connect?chat_id=${made.chat_id}&user_id=a&from_seq=1`, 'wss'),
      { ca: fs.readFileSync(files.cert) });
    const frames = [];
    socket.on('message', (data) => frames.push(JSON.parse(data.toString())));
    await eventually('all is shown', () => frames.some((frame) => frame.live));
    assert.equal(frames.filter((frame) => frame.message).length, 10);
    const closed = new Promise((resolve) => { socket.once('close', resolve); });
    socket.close(1000);
    assert.equal(await within(closed, 'the end of a WebSocket'), 1000);
    shared.destroy();
  });

  test('who does not read the end of an answer is closed, however little is left of it', async () => {
    const options = { ca: fs.readFileSync(files.cert), headers: { connection: 'close' } };
    const { chat_id: chatId } = JSON.parse((await call('/chat/New', '{"user_ids":["reader"]}', options)).text);
    await call('/chat/Send', JSON.stringify({ chat_id: chatId, user_id: 'reader', text: 'x'.repeat(40000) }), options);
    const count = async () => Number(/^chat_gateway_connections{kind="http"} (\d+)/m.exec(
      (await call('/metrics', undefined, options)).text)[1]);
    const one = `GET /chat/History?chat_id=${chatId} HTTP/1.1\r\nHost: localhost\r\n`;
    // The kernel takes more or less: of one of these it leaves just what one record or two can hold.
    const readers = Array.from({ length: 40 }, (_, i) => {
      const raw = Raw.open(gateway.port, { tls: { ca: options.ca } });
      raw.socket.pause();
      raw.write(`${one}\r\n`.repeat(i) + `${one}Connection: close\r\n\r\n`);
      return raw;
    });
    await eventually('all have come', async () => await count() >= 40);
    await eventually('all are closed', async () => await count() <= 1);
    await Promise.all(readers.map((raw) => raw.close()));
  });

  test('old versions, other protocols and what is no TLS are refused', async () => {
    const attempt = (options) => within(new Promise((resolve) => {
      const socket = tls.connect({ host: '127.0.0.1', port: gateway.port, rejectUnauthorized: false, ...options });
      socket.once('secureConnect', () => { resolve({ protocol: socket.getProtocol(), alpn: socket.alpnProtocol }); socket.destroy(); });
      socket.once('error', (error) => resolve({ error: error.code || error.message }));
    }), 'a handshake');
    assert.deepEqual(await attempt({ ALPNProtocols: ['h2', 'http/1.1'] }), { protocol: 'TLSv1.3', alpn: 'http/1.1' });
    assert.equal((await attempt({ maxVersion: 'TLSv1.2' })).protocol, 'TLSv1.2');
    assert.ok((await attempt({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' })).error);
    assert.ok((await attempt({ ALPNProtocols: ['h2'] })).error);
    const plain = Raw.open(gateway.port).write('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
    await plain.untilEnd();
    assert.doesNotMatch(plain.text, /HTTP/);
    await plain.close();
    const silent = Raw.open(gateway.port).write('\x16\x03\x01');
    await silent.untilEnd();
    await silent.close();
    assert.equal((await call('/healthz', undefined, { rejectUnauthorized: false })).code, 200);
  });

  test('SIGHUP takes new certificates, and keeps the old ones when the new are none', async () => {
    const subject = () => within(new Promise((resolve, reject) => {
      const socket = tls.connect({ host: '127.0.0.1', port: gateway.port, rejectUnauthorized: false }, () => {
        resolve(socket.getPeerCertificate().subject.CN);
        socket.destroy();
      });
      socket.once('error', reject);
    }), 'a handshake');
    assert.equal(await subject(), 'first');
    const second = makeCertificate(directory, 'second', 'second');
    fs.copyFileSync(second.cert, files.cert);
    gateway.program.child.kill('SIGHUP');
    await gateway.program.waitForLine('the refusal', (line) => line.includes('event=tls.unusable'));
    assert.equal(await subject(), 'first');
    fs.copyFileSync(second.key, files.key);
    gateway.program.child.kill('SIGHUP');
    await gateway.program.waitForLine('the reload', (line) => line.includes('event=tls.reloaded'));
    assert.equal(await subject(), 'second');
  });
});
