'use strict';
// chat-bench against the real gateway: what it says it sent is there, what it says was delivered
// was, and what goes wrong is said. How fast anything is, is no test's business.

const assert = require('node:assert/strict');
const http = require('node:http');
const path = require('node:path');
const { execFile } = require('node:child_process');
const { after, before, describe, test } = require('node:test');
const { BIN, World, cleanEnvironment } = require('./harness');
const { Gateway } = require('./gateway');

function bench(...args) {
  return new Promise((resolve) => {
    execFile(path.join(BIN, 'chat-bench'), args, { env: cleanEnvironment(), timeout: 60000 }, (error, stdout, stderr) => {
      resolve({ code: error ? error.code : 0, stdout, stderr });
    });
  });
}

describe('chat-bench and the gateway', { timeout: 120000 }, () => {
  let world;
  let gateway;
  let client;
  before(async () => {
    world = await World.start();
    gateway = await Gateway.start(world.broker.url);
    client = await world.client();
  });
  after(async () => {
    if (gateway) await gateway.stop();
    if (world) await world.close();
  });

  async function measured(...args) {
    const result = await bench(...args, '--json', `--gateway-url=${gateway.url('')}`);
    assert.deepEqual({ ...result, stdout: '' }, { code: 0, stdout: '', stderr: '' }, result.stdout);
    return JSON.parse(result.stdout);
  }

  test('gateway: every acknowledged Send is a message of one of its chats', async () => {
    const report = await measured('gateway', '--clients=8', '--chats=5', '--duration-ms=600', '--warmup-ms=0', '--text-bytes=100');
    assert.equal(report.errors, 0);
    assert.ok(report.completed > 0);
    let stored = 0;
    for (let i = 0; i < 5; i++) {
      const { chat_id: chatId, created } = await client.New({ user_ids: ['bench', `gateway${i}`] });
      assert.equal(created, false);
      const { head_seq: head, messages } = await client.History({ chat_id: chatId, limit: 1 });
      assert.equal(messages[0].text, 'x'.repeat(100));
      stored += Number(head);
    }
    // What was under way when the time was up has been stored or not.
    assert.ok(stored >= report.completed && stored <= report.completed + 8, `${stored} of ${report.completed}`);
  });

  test('fanout: each message reaches each watcher', async () => {
    const report = await measured('fanout', '--watchers=30', '--rate=100', '--duration-ms=500', '--namespace=fan');
    const { messages, deliveries, missing, refused, out_of_order: disorder } = report;
    assert.deepEqual({ messages, deliveries, missing, refused, disorder }, { messages: 50, deliveries: 1500, missing: 0, refused: 0, disorder: 0 });
    assert.equal(report.latency_us.count, 1500);
  });

  test('says what is wrong', async () => {
    for (const [args, code, pattern] of [
      [['gateway', '--gateway-url=ftp://x'], 2, /--gateway-url must be http:\/\/host:port/],
      [['gateway', '--gateway-url=http://127.0.0.1'], 2, /--gateway-url must be http:\/\/host:port/],
      [['fanout', '--namespace=a.b'], 2, /--namespace must be/],
      [['gateway', '--bearer-token=a b'], 2, /--bearer-token must have no spaces/],
      [['fanout', '--gateway-url=http://127.0.0.1:1'], 1, /connection refused/],
      [['gateway', '--gateway-url=http://127.0.0.1:1'], 1, /connection refused/],
    ]) {
      const result = await bench(...args);
      assert.equal(result.code, code, args.join(' '));
      assert.match(result.stderr, pattern);
      assert.equal(result.stderr.trim().split('\n').length, 1);
    }
  });

  test('counts what is refused, and gives up on what is no gateway', async () => {
    const server = http.createServer((request, response) => {
      request.resume();
      const body = request.url === '/chat/New' ? `{"chat_id":"${'0'.repeat(36)}"}` : '{}';
      response.writeHead(request.url === '/chat/New' ? 200 : 503, { 'Content-Length': body.length }).end(body);
    });
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    const url = `--gateway-url=http://127.0.0.1:${server.address().port}`;
    try {
      const { code, stdout } = await bench('gateway', url, '--json', '--clients=2', '--chats=2', '--duration-ms=200', '--warmup-ms=0');
      assert.equal(code, 0);
      const report = JSON.parse(stdout);
      assert.equal(report.completed, 0);
      assert.ok(report.errors > 0);
      assert.deepEqual(Object.keys(report.errors_by_code), ['503']);
      const fanout = await bench('fanout', url, '--watchers=2');
      assert.equal(fanout.code, 1);
      assert.match(fanout.stderr, /refuses a watcher with 503/);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
