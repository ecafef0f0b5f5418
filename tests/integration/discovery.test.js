'use strict';
// chat ping, info and stats, and with them libchat's discovery: who is there and how it is doing,
// for people and as JSON; and what it says when nobody is there, or the broker is not, or forbids it.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { Broker, World } = require('./harness');

describe('discovery', { timeout: 120000 }, () => {
  let world;
  let client;
  before(async () => {
    world = await World.start();
    client = await world.client();
  });
  after(() => world && world.close());

  const request = async (subject) => (await client.connection.request(subject, '', { timeout: 20000 })).json();
  const lines = (text) => text.trimEnd().split('\n');

  async function good(args) {
    const { code, stdout, stderr } = await world.chat(args);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' }, args.join(' '));
    return stdout;
  }
  async function bad(status, args, options) {
    const { code, stdout, stderr } = await world.chat(args, options);
    assert.deepEqual({ code, stdout }, { code: status, stdout: '' }, stderr);
    return stderr;
  }

  test('ping shows each instance in a line', async () => {
    const { id, version, metadata } = await request('$SRV.PING.chat');
    const [title, line, ...rest] = lines(await good(['ping', '--instances=1', '--timeout-ms=20000']));
    assert.match(title, /^name +id +version +store_id$/);
    assert.deepEqual(line.split(/ +/), ['chat', id, version, metadata.store_id]);
    assert.deepEqual(rest, []);
  });

  test('without --instances it waits for further ones, to the end of its time', async () => {
    // Somebody else who answers, later than the first.
    const other = await world.connect();
    other.subscribe('$SRV.PING.chat', {
      callback: (_, message) => setTimeout(() => message.respond(JSON.stringify({ name: 'chat', id: 'later' })), 300),
    });
    await other.flush();
    const ids = (text) => lines(text).map((line) => JSON.parse(line).id);
    const found = ids(await good(['ping', '--json', '--timeout-ms=5000']));
    assert.equal(found.length, 2);
    assert.equal(found[1], 'later');
    const first = ids(await good(['ping', '--json', '--timeout-ms=20000', '--instances=1']));
    assert.deepEqual(first, found.slice(0, 1));
    await other.close();
  });

  test('--json is what came, an instance a line', async () => {
    const { id } = await request('$SRV.PING.chat');
    for (const verb of ['PING', 'INFO', 'STATS']) {
      for (const more of [[], [`--id=${id}`]]) {
        const out = lines(await good([verb.toLowerCase(), '--json', '--instances=1', '--timeout-ms=20000', ...more]));
        assert.equal(out.length, 1);
        const shown = JSON.parse(out[0]);
        const asked = await request(`$SRV.${verb}.chat.${id}`);
        assert.equal(shown.type, `io.nats.micro.v1.${verb.toLowerCase()}_response`);
        assert.deepEqual(Object.keys(shown), Object.keys(asked));
        if (verb !== 'STATS') assert.deepEqual(shown, asked);
      }
    }
  });

  test('info and stats are tables', async () => {
    const chat = await client.chat('ann');
    for (let i = 0; i < 3; i++) await client.Send({ chat_id: chat, user_id: 'ann', text: 'x' });
    (await client.call('Send', { chat_id: chat, user_id: 'ann' })).refused(400, 'chat.Send.MissingText');
    const { id, version, metadata, description } = await request('$SRV.INFO.chat');
    const info = await good(['info', '--instances=1', '--timeout-ms=20000']);
    assert.equal(lines(info)[0], `chat ${version}  id ${id}`);
    assert.ok(info.includes(description));
    for (const [name, value] of Object.entries(metadata)) assert.match(info, new RegExp(`^ +${name} +${value}$`, 'm'));
    assert.match(info, /^ +Send +chat\.Send +q +chat\.Send\.\*$/m);
    const stats = await good(['stats', '--instances=1', '--timeout-ms=20000']);
    assert.match(lines(stats)[0], new RegExp(`^chat ${version} {2}id ${id} {2}started \\d{4}-`));
    assert.match(stats, /^ +endpoint +requests +errors +average ms +last error$/m);
    assert.match(stats, /^ +Send +4 +1 +\d+\.\d{3} +400:.*text/m);
    assert.match(stats, /^ +History +0 +0 +0\.000 *$/m);
  });

  test('what comes over the wire does not steer the terminal', async () => {
    const other = await world.connect();
    const answer = { name: 'chat', id: 'evil\u001b[2J', version: 'x\ny', metadata: { store_id: 'a\u0007b' } };
    other.subscribe('$SRV.PING.chat.evil', { callback: (_, message) => message.respond(JSON.stringify(answer)) });
    other.subscribe('$SRV.PING.chat.broken', { callback: (_, message) => message.respond('{"name":') });
    await other.flush();
    const [, line, ...rest] = lines(await good(['ping', '--id=evil', '--instances=1', '--timeout-ms=20000']));
    assert.deepEqual([line, ...rest], ['chat  evil?[2J  x?y      a?b']);
    const stderr = await bad(1, ['ping', '--id=broken', '--instances=1', '--timeout-ms=20000']);
    assert.match(stderr, /not JSON/);
    await other.close();
  });

  test('nobody there is said at once; a broker that is away, or forbids it, when that is known', async () => {
    const broker = new Broker({
      authorization: '{ users: [ { user: "open", password: "x" }, { user: "closed", password: "x", permissions: { publish: { deny: "$SRV.>" } } } ] }',
    });
    const url = (user) => `nats://${user}:x@127.0.0.1:${broker.port}`;
    broker.probe = { user: 'open', pass: 'x' };
    await broker.start();
    try {
      assert.match(await bad(1, ['ping', '--timeout-ms=3600000'], { url: url('open') }), /no instance/);
      assert.match(await bad(1, ['stats', '--timeout-ms=3600000'], { url: url('closed') }),
        /does not permit.*\$SRV\.STATS\.chat/);
    } finally {
      await broker.close();
    }
    assert.match(await bad(1, ['ping', '--timeout-ms=300'], { url: url('open') }), /cannot be reached/);
  });

  test('wrong words are refused', async () => {
    assert.match(await bad(2, ['ping', '--id=a.b']), /--id/);
    assert.match(await bad(2, ['ping', '--instances=x']), /instances/);
    assert.match(await bad(2, ['pong']), /ping/);
  });
});
