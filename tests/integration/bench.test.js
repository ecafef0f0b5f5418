'use strict';
// chat-bench against the real service: each workload for a moment, what it reports, and above all
// whether --verify finds what is wrong. How fast anything is, is no test's business.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { after, before, describe, test } = require('node:test');
const {
  BIN, Program, World, cleanEnvironment, makeDirectory, removeDirectory, within,
} = require('./harness');

const SHORT = ['--chats=50', '--duration-ms=700', '--warmup-ms=200', '--outstanding=16'];

async function bench(url, args, { onStart } = {}) {
  const child = spawn(path.join(BIN, 'chat-bench'), args, {
    env: cleanEnvironment({ CHAT_NATS_URL: url }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => { output.stdout += chunk; });
  child.stderr.on('data', (chunk) => { output.stderr += chunk; });
  if (onStart) onStart(child);
  try {
    const [code, signal] = await within(once(child, 'close'), `end of chat-bench ${args.join(' ')}`, 60000);
    return { code, signal, ...output };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

describe('chat-bench', { timeout: 300000 }, () => {
  let world;
  let client;
  before(async () => {
    world = await World.start();
    client = await world.client();
  });
  after(() => world && world.close());

  async function measured(args) {
    const { code, stdout, stderr } = await bench(world.broker.url, [...args, '--json']);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' }, stdout);
    return JSON.parse(stdout);
  }

  function checkFigures(report) {
    const { latency_us: latency } = report;
    assert.equal(report.errors, 0);
    assert.ok(report.completed > 0, 'something was done');
    // Seconds are rounded to thousandths.
    const tolerance = 1 + report.completed / 500 + report.throughput_per_second / 1000;
    assert.ok(Math.abs(report.throughput_per_second * report.seconds - report.completed) <= tolerance);
    const ascending = ['p50', 'p90', 'p99', 'p99.9', 'max'].map((name) => latency[name]);
    assert.deepEqual(ascending, [...ascending].sort((a, b) => a - b));
    assert.ok(ascending[0] > 0);
  }

  for (const extra of [[], ['--clients=3', '--zipf=0.99', '--text-bytes=5'], ['--rate=500'], ['--text-bytes=20000']]) {
    test(`send ${extra.join(' ')}: all of it is there`, async () => {
      const name = `send${extra.length}${extra.join('').replace(/[^a-z0-9]/g, '')}`;
      const report = await measured(['send', ...SHORT, ...extra, '--verify', `--namespace=${name}`]);
      checkFigures(report);
      const { verification } = report;
      assert.equal(verification.passed, true);
      // Warm-up included, and nothing else is in the namespace.
      assert.ok(verification.acknowledged >= report.completed);
      assert.equal(verification.read, verification.acknowledged);
    });
  }

  test('an open loop sends what is due, and no more', async () => {
    const report = await measured(['send', '--chats=10', '--rate=300', '--count=150', '--warmup-ms=0', '--namespace=open']);
    checkFigures(report);
    assert.equal(report.completed, 150);
    assert.equal(report.latency_us.count, 150);
    assert.ok(report.seconds > 0.48, `150 at 300 a second take half a second, not ${report.seconds}`);
  });

  test('history reads pages of the size asked for', async () => {
    for (const page of ['newest', 'deep']) {
      const report = await measured(['history', ...SHORT, '--chats=5', '--prefill=60', '--limit=20', `--page=${page}`, '--namespace=history']);
      checkFigures(report);
      assert.equal(report.kinds.history.messages / report.completed, 20);
    }
  });

  test('new makes chats, and mixed keeps its shares', async () => {
    checkFigures(await measured(['new', ...SHORT]));
    const report = await measured(['mixed', ...SHORT, '--count=2000', '--warmup-ms=0', '--mix=send=60,history=30,new=10', '--verify', '--namespace=mixed']);
    checkFigures(report);
    assert.equal(report.completed, 2000);
    for (const [kind, share] of [['send', 0.6], ['history', 0.3], ['new', 0.1]]) {
      const found = report.kinds[kind].latency_us.count / 2000;
      assert.ok(Math.abs(found - share) < 0.06, `${kind}: ${found}`);
    }
    assert.equal(report.verification.passed, true);
  });

  test('a table for people, and a drawing', async () => {
    const directory = makeDirectory();
    const svg = path.join(directory, 'send.svg');
    const { code, stdout, stderr } = await bench(world.broker.url, ['send', ...SHORT, '--duration-ms=1100', '--verify', `--svg=${svg}`, '--progress']);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /per second +p50 ms +p90 ms +p99 ms +p99\.9 ms +max ms\nall +\d+ /);
    assert.match(stdout, /errors: none/);
    assert.match(stdout, /verification passed/);
    assert.match(stderr, /service: .*\/s now/);
    const drawing = fs.readFileSync(svg, 'utf8');
    assert.match(drawing, /^<svg xmlns/);
    assert.equal(drawing.match(/<polyline/g).length, 2);
    assert.doesNotMatch(drawing, /nan|inf/i);
    removeDirectory(directory);
  });

  test('the responder answers with as many bytes as it is told to', async () => {
    const responder = new Program('responder', path.join(BIN, 'chat-bench'), ['responder', '--prefix=echo', '--send-bytes=777'], {
      env: cleanEnvironment({ CHAT_NATS_URL: world.broker.url }), stdio: ['ignore', 'pipe', 'pipe'],
    });
    await within(once(responder.child.stdout, 'data'), 'the responder is ready');
    const { connection } = client;
    assert.equal((await connection.request('echo.Send', Buffer.from('x'))).data.length, 777);
    assert.equal((await connection.request('echo.Send.tenant', Buffer.from('x'))).data.length, 777);
    const compared = await measured(['compare', 'send', ...SHORT, '--pairs=1', '--pause-ms=0', '--responder=echo']);
    assert.equal(compared.pairs[0].responder.kinds.send.reply_bytes_mean, 777);
    assert.deepEqual(await responder.stop(), { code: 0, signal: null });
  });

  test('compare: in turn, replies of the same size, the ratio of the medians', async () => {
    const report = await measured(['compare', 'mixed', ...SHORT, '--mix=send=70,history=30', '--prefill=10', '--limit=10', '--pairs=3', '--pause-ms=50', '--verify', '--namespace=compare']);
    assert.equal(report.errors, 0);
    assert.equal(report.pairs.length, 3);
    const median = (side) => report.pairs.map((pair) => pair[side].throughput_per_second).sort((a, b) => a - b)[1];
    assert.ok(Math.abs(report.ratio.throughput - median('service') / median('responder')) < 0.001);
    const { service, responder } = report.pairs[0];
    for (const kind of ['send', 'history']) {
      const [real, imitated] = [service, responder].map((side) => side.kinds[kind].reply_bytes_mean);
      assert.ok(Math.abs(real - imitated) <= 1, `${kind}: ${real} and ${imitated}`);
    }
    assert.equal(responder.kinds.history.messages / service.kinds.history.messages > 0, true);
    assert.equal(report.verification.passed, true);
  });

  test('sync measures the disk', async () => {
    const directory = makeDirectory();
    const { latency_us: latency } = await measured(['sync', `--directory=${directory}`, '--count=20']);
    assert.equal(latency.count, 20);
    const { stdout } = await bench(world.broker.url, ['sync', `--directory=${directory}`, '--count=20', '--direct']);
    assert.match(stdout, /^write and fdatasync of 4096 bytes, ms: p50 \d/);
    assert.deepEqual(fs.readdirSync(directory), []);
    removeDirectory(directory);
  });

  test('mistakes end with 2, failures with 1, each with a line that says what', async () => {
    for (const args of [[], ['sends'], ['compare'], ['compare', 'sync'], ['send', '--page=old'], ['sync'], ['sync', '--directory=.', '--direct', '--bytes=100'], ['responder', '--prefix=A']]) {
      const { code, stdout, stderr } = await bench(world.broker.url, args);
      assert.deepEqual({ code, stdout }, { code: 2, stdout: '' }, args.join(' '));
      assert.match(stderr, /^chat-bench: .+--help\)\n$/);
    }
    for (const url of ['nats://127.0.0.1:1']) {
      for (const args of [['send'], ['responder']]) {
        const { code, stderr } = await bench(url, args);
        assert.equal(code, 1);
        assert.match(stderr, /the broker at nats:\/\/127.0.0.1:1 cannot be reached/);
      }
    }
    for (const args of [['--help'], ['send', '--help'], ['compare', 'send', '--help'], ['responder', '--help'], ['sync', '--help'], ['--version']]) {
      const { code, stderr } = await bench(world.broker.url, args);
      assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    }
  });

  test('SIGINT ends it early, with what was measured', async () => {
    const { code, stdout } = await bench(world.broker.url, ['send', ...SHORT, '--duration-ms=60000', '--json', '--progress', '--warmup-ms=0'], {
      onStart: (child) => {
        child.stderr.once('data', () => child.stderr.once('data', () => child.kill('SIGINT')));
      },
    });
    assert.equal(code, 1);
    const report = JSON.parse(stdout);
    assert.ok(report.completed > 0 && report.seconds < 50);
  });
});

// A service that lies, played by the test: chat-bench must notice.
describe('chat-bench --verify', { timeout: 300000 }, () => {
  const { METHODS, decode, encode } = require('./client');
  let world;
  before(async () => { world = await World.start({ chatd: false }); });
  after(() => world && world.close());

  // Keeps messages in memory and answers as the service would, but for what `lies` changes.
  async function play(lies) {
    const connection = await world.connect();
    const chats = new Map();
    const answer = (method, work) => connection.subscribe(`chat.${method}.>`, {
      callback: (error, message) => {
        if (error) throw error;
        const reply = work(decode(METHODS[method].request, message.data), message);
        if (reply) message.respond(encode(METHODS[method].reply, reply));
      },
    });
    answer('New', ({ user_ids: users }) => {
      const number = users[1].slice(-12);
      const id = `00000000-0000-4000-8000-${number}`;
      if (!chats.has(id)) chats.set(id, []);
      return { chat_id: id, created: true };
    });
    answer('Send', (request, message) => {
      const log = chats.get(request.chat_id);
      const stored = { ...request, id: request.chat_id, seq: log.length + 1 };
      return lies.send(log, stored, message);
    });
    answer('History', ({ chat_id: id, from_seq: from, limit }) => {
      const log = chats.get(id);
      const page = log.filter(({ seq }) => seq >= from).slice(0, limit);
      return {
        messages: page, head_seq: log.length,
        more: page.length > 0 && page[page.length - 1].seq < log.length,
      };
    });
    await connection.flush();
    return connection;
  }

  const keep = (log, stored) => { log.push(stored); return { message: stored }; };
  const cases = [
    ['nothing wrong', null, keep],
    ['a message that is not kept', 'missing', (log, stored) => (stored.seq === 5 && !log.lost
      ? (log.lost = true, log.push({ ...stored, client_id: 'other' }), { message: stored }) : keep(log, stored))],
    ['a message kept twice', 'repeated', (log, stored) => {
      keep(log, stored);
      if (stored.seq === 5) log.push({ ...stored, seq: 6 });
      return { message: stored };
    }],
    ['another text', 'altered', (log, stored) => {
      log.push(stored.seq === 5 ? { ...stored, text: `${stored.text.slice(0, -1)}!` } : stored);
      return { message: stored };
    }],
    ['a seq left out', 'gaps', (log, stored) => {
      log.push(stored.seq === 5 ? { ...stored, seq: 4 } : stored);
      return { message: stored };
    }],
    ['another seq than was said', 'misplaced', (log, stored) => {
      log.push(stored);
      return { message: stored.seq === 5 ? { ...stored, seq: 500 } : stored };
    }],
    ['a seq below one acknowledged before', 'out_of_order', (log, stored) => {
      log.push(stored);
      return { message: stored.seq > 5 ? { ...stored, seq: 3 } : stored };
    }],
  ];
  for (const [what, counter, send] of cases) {
    test(`finds ${what}`, async () => {
      const connection = await play({ send });
      try {
        const { code, stdout, stderr } = await bench(world.broker.url, [
          'send', '--chats=2', '--count=40', '--outstanding=1', '--warmup-ms=0', '--verify', '--json', '--namespace=lies',
        ]);
        const { verification } = JSON.parse(stdout);
        assert.equal(verification.passed, counter === null, JSON.stringify(verification));
        assert.equal(code, counter === null ? 0 : 1, stderr);
        if (counter) assert.ok(verification[counter] > 0, JSON.stringify(verification));
      } finally {
        await connection.close();
      }
    });
  }

  test('counts refusals, silence and nobody by their codes', async () => {
    const { headers } = require('nats');
    let sent = 0;
    const connection = await play({
      send: (log, stored, message) => {
        sent++;
        if (sent % 4 === 1) {
          const error = headers();
          error.set('Nats-Service-Error', 'too much');
          error.set('Nats-Service-Error-Code', '503');
          message.respond(Buffer.alloc(0), { headers: error });
          return null;
        }
        if (sent % 4 === 2) return null;
        if (sent % 4 === 3) {
          message.respond(Buffer.from([0xff, 0xff]));
          return null;
        }
        return keep(log, stored);
      },
    });
    const args = ['send', '--chats=1', '--count=40', '--outstanding=8', '--warmup-ms=0', '--timeout-ms=2000', '--json', '--namespace=lies'];
    try {
      const report = JSON.parse((await bench(world.broker.url, args)).stdout);
      assert.deepEqual(report.errors_by_code, { 503: 10, timeout: 10, 'bad-reply': 10 });
      assert.equal(report.completed, 10);
    } finally {
      await connection.close();
    }
    const { code, stderr } = await bench(world.broker.url, args);
    assert.equal(code, 1);
    assert.match(stderr, /no-responders.*is the service running/);
  });
});
