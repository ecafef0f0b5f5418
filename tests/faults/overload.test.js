'use strict';
// More at once than the service takes: libchat backs off, and every message gets in, once. A quiet
// caller reads pages meanwhile; how long it waits is said, and not judged: it is a matter of speed.

const { describe, test } = require('node:test');
const { once } = require('node:events');
const { spawn } = require('node:child_process');
const { Program, World, cleanEnvironment, eventually, within } = require('../integration/harness');
const { range } = require('../integration/client');
const { LONG, TOOLS, assert, fs, path, sendEndpoint } = require('./rig');

const CONNECTIONS = LONG ? 100 : 20;
const SENDS = LONG ? 50000 : 5000;
const PEAK_MIB_MAX = 400;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Reads pages from now until told to stop; then it says how long it waited for them.
class Reader {
  constructor(url, chat) {
    this.output = '';
    this.program = new Program('crowd', path.join(TOOLS, 'crowd'), ['read', chat], {
      env: cleanEnvironment({ CHAT_NATS_URL: url }), stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.program.child.stdout.on('data', (chunk) => { this.output += chunk; });
  }

  async hasBegun() {
    await eventually('a page', () => this.output.startsWith('reading'));
    return this;
  }

  async end() {
    const { code } = await this.program.stop('SIGTERM');
    assert.equal(code, 0, this.program.tail());
    return JSON.parse(this.output.replace('reading', ''));
  }
}

async function flood(url, chat, connections = CONNECTIONS, sends = SENDS, ...more) {
  const child = spawn(path.join(TOOLS, 'crowd'), ['flood', chat, ...[connections, sends, ...more].map(String)], {
    env: cleanEnvironment({ CHAT_NATS_URL: url }), stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk) => { output += chunk; });
  try {
    const [code] = await once(child, 'close');
    assert.equal(code, 0, output);
  } finally {
    child.kill('SIGKILL');
  }
  return JSON.parse(output);
}

describe('overload', { timeout: LONG ? 600000 : 180000 }, () => {
  for (const args of [[], ['--max-requests=64']]) {
    test(`${SENDS} sends at once from ${CONNECTIONS} connections ${args.join(' ')}: each gets in, once`, async (t) => {
      const world = await World.start({ args });
      try {
        const client = await world.client();
        const chat = await client.chat('flood');
        const quiet = await client.chat('quiet');
        for (const i of range(1, 20)) await client.Send({ chat_id: quiet, user_id: 'u', client_id: `${i}`, text: `${i}` });

        const before = await new Reader(world.broker.url, quiet).hasBegun();
        await pause(1000);
        const calm = await before.end();
        const during = await new Reader(world.broker.url, quiet).hasBegun();
        const { acknowledged, took_ms: took } = await flood(world.broker.url, chat);
        const busy = await during.end();
        assert.equal(acknowledged, SENDS);

        const messages = await client.readAll(chat);
        assert.equal(messages.length, SENDS);
        assert.deepEqual(new Set(messages.map((message) => message.client_id)), new Set(range(0, SENDS - 1).map((i) => `f-${i}`)));
        const status = fs.readFileSync(`/proc/${world.chatd.program.child.pid}/status`, 'utf8');
        const peak = Math.round(Number(/^VmHWM:\s+(\d+) kB/m.exec(status)[1]) / 1024);
        const sends = await sendEndpoint(client);
        t.diagnostic(`${took} ms, ${sends.num_requests} requests, ${sends.num_errors} of them refused; at most ${peak} MiB`);
        t.diagnostic(`History of a quiet caller: p50 ${calm.p50} µs, p99 ${calm.p99} µs; with the flood ${busy.p50} and ${busy.p99} µs (${(busy.p99 / calm.p99).toFixed(1)} times)`);
        if (args.length) assert.ok(sends.num_errors > 0, 'some were refused at first');
        assert.ok(peak < PEAK_MIB_MAX, `at most ${peak} MiB were in memory`);
      } finally {
        await world.close();
      }
    });
  }

  test('calls that nobody listens to all hear so, and get in when somebody does', async () => {
    const world = await World.start({ broker: { http: '"127.0.0.1:-1"' } });
    try {
      const chat = await (await world.client()).chat('unheard');
      await world.chatd.stop();
      const published = async () => (await (await fetch(`${await world.broker.monitoringUrl()}/varz`)).json()).in_msgs;
      const before = await published();
      // Whoever did not hear it would wait for ten minutes.
      const sending = flood(world.broker.url, chat, 2, 500, 600000);
      await eventually('each was sent', async () => await published() - before >= 500);
      await world.chatd.start();
      assert.equal((await within(sending, 'the end of all calls', 60000)).acknowledged, 500);
      assert.equal((await (await world.client()).readAll(chat)).length, 500);
    } finally {
      await world.close();
    }
  });
});
