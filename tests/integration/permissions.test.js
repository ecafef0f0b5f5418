'use strict';
// deploy/nats.conf, as it stands: what each user may do works, and what it may not is refused.

const assert = require('node:assert/strict');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const { ROOT, World, eventually } = require('./harness');
const { Client, Message, decode } = require('./client');
const { Gateway } = require('./gateway');

const PASSWORDS = { chatd: 'p-chatd', backend: 'p-backend', acme: 'p-acme' };
for (const [user, password] of Object.entries(PASSWORDS)) process.env[`${user.toUpperCase()}_PASSWORD`] = password;

describe('the example configuration', { timeout: 120000 }, () => {
  let world;
  before(async () => {
    world = await World.start({
      broker: { include: path.join(ROOT, 'deploy/nats.conf') },
      probe: { user: 'chatd', pass: PASSWORDS.chatd },
      args: ['--user=chatd', `--password=${PASSWORDS.chatd}`, '--inbox-prefix=_INBOX.chatd'],
    });
  });
  after(() => world && world.close());

  const connect = (user) => world.connect({ user, pass: PASSWORDS[user], inboxPrefix: `_INBOX.${user}` });

  // What the broker has refused to this connection: "publish chat.New", "subscription chat.>".
  function watch(connection) {
    const refused = new Set();
    (async () => {
      for await (const { permissionContext } of connection.status()) {
        if (permissionContext) refused.add(`${permissionContext.operation} ${permissionContext.subject}`);
      }
    })();
    return refused;
  }

  async function isForbidden(user, publish, subscribe) {
    const connection = await connect(user);
    const refused = watch(connection);
    for (const subject of publish) connection.publish(subject, 'x');
    for (const subject of subscribe) connection.subscribe(subject, { callback: () => {} });
    await connection.flush();
    const expected = [...publish.map((subject) => `publish ${subject}`), ...subscribe.map((subject) => `subscription ${subject}`)];
    await eventually('each is refused', () => refused.size === expected.length).catch(() => {});
    assert.deepEqual([...refused].sort(), expected.sort());
  }

  test('is enough for chatd', async () => {
    await world.chatd.waitForEvent('reads_ready'); // by its second connection
    assert.deepEqual(world.chatd.log.filter(({ event }) => /^broker\.|^other_instance/.test(event)), []);
  });

  test('a tenant has its own namespace', async () => {
    const connection = await connect('acme');
    const client = new Client(connection, { ns: 'acme' });
    const events = [];
    connection.subscribe('chat.events.acme.>', { callback: (_, message) => events.push(decode(Message, message.data).text) });
    const chat = await client.chat('ann', 'bob');
    await client.Send({ chat_id: chat, user_id: 'ann', text: 'hello' });
    assert.equal((await client.History({ chat_id: chat })).head_seq, 1);
    await eventually('the event', () => events.length === 1);
    const done = await world.chat(['history', `--chat_id=${chat}`, '--namespace=acme', '--user=acme', `--password=${PASSWORDS.acme}`, '--inbox-prefix=_INBOX.acme']);
    assert.equal(JSON.parse(done.stdout).messages[0].text, 'hello');
  });

  test('a tenant has nothing else', () => isForbidden('acme',
    ['chat.New', 'chat.Send', 'chat.History', 'chat.New.globex', 'chat.Send.globex', 'chat.History.default', 'chat.Other.acme',
      'chat.events.acme.54356f8d-a48f-41fc-b775-1a3c108ec97a', '_INBOX.backend.x', '_INBOX.chatd.x', '$SRV.PING', '$SRV.PING.chat', '$SYS.REQ.x', 'other'],
    ['>', 'chat.>', 'chat.*', 'chat.*.*', 'chat.New.acme', 'chat.Send.acme', 'chat.events.>', 'chat.events.globex.>',
      '_INBOX.>', '_INBOX.backend.>', '$SRV.>', '$SRV.PING.chat', '$SYS.>']));

  test('a tenant does not get by with the usual inbox, and is told so', async () => {
    const { code, stderr } = await world.chat(['new', '--user_ids=ann', '--namespace=acme', '--user=acme', `--password=${PASSWORDS.acme}`, '--timeout-ms=20000']);
    assert.equal(code, 1);
    assert.match(stderr, /does not permit.*_INBOX/);
  });

  test('a backend may call everything, hear everything, and see who is there', async () => {
    const connection = await connect('backend');
    const events = [];
    connection.subscribe('chat.events.>', { callback: (_, message) => events.push(message.subject.split('.')[2]) });
    for (const ns of [undefined, 'acme', 'globex']) {
      const client = new Client(connection, { ns });
      const chat = await client.chat('ann', 'backend');
      await client.Send({ chat_id: chat, user_id: 'ann', text: 'x' });
      assert.equal((await client.History({ chat_id: chat })).head_seq, 1);
    }
    await eventually('all events', () => events.length === 3);
    assert.deepEqual(events.sort(), ['acme', 'default', 'globex']);
    const args = ['--user=backend', `--password=${PASSWORDS.backend}`, '--inbox-prefix=_INBOX.backend', '--instances=1', '--timeout-ms=20000'];
    for (const command of ['ping', 'info', 'stats']) assert.equal((await world.chat([command, ...args])).code, 0);
  });

  test('a gateway that is a backend needs no more', async () => {
    const gateway = await Gateway.start(world.broker.url, ['--user=backend', `--password=${PASSWORDS.backend}`, '--inbox-prefix=_INBOX.backend']);
    try {
      await eventually('it is ready', async () => (await fetch(gateway.url(`/readyz`))).status === 200);
      const call = async (method, body) => {
        const reply = await fetch(gateway.url(`/chat/${method}`), { method: 'POST', headers: { 'micro-namespace': 'acme' }, body: JSON.stringify(body) });
        assert.equal(reply.status, 200);
        return reply.json();
      };
      const { chat_id } = await call('New', { user_ids: ['ann', 'gateway'] });
      const watcher = await fetch(gateway.url(`/chat/Events?chat_id=${chat_id}&namespace=acme&from_seq=1`));
      await call('Send', { chat_id, user_id: 'ann', text: 'by way of the gateway' });
      let seen = '';
      for await (const piece of watcher.body) {
        seen += Buffer.from(piece).toString();
        if (seen.includes('by way of the gateway')) break;
      }
    } finally {
      await gateway.stop();
    }
  });

  test('a backend neither takes requests nor makes events', () => isForbidden('backend',
    ['chat.events.acme.54356f8d-a48f-41fc-b775-1a3c108ec97a', '_INBOX.acme.x', 'other'],
    ['>', 'chat.>', 'chat.Send', 'chat.Send.acme', 'chat.*', '_INBOX.acme.>', '_INBOX.>', '$SRV.PING.chat']));

  test('chatd makes no requests, and hears no replies to others', () => isForbidden('chatd',
    ['chat.New', 'chat.Send.acme', '$SRV.PING', '$SRV.STATS.chat', '$SYS.REQ.x', 'other'],
    // Not chat.> and chat.events.>: who may subscribe to chat.* and chat.*.* may to these as well, with
    // nats-server 2.9, and hears nothing there that is not chatd's own.
    ['>', '_INBOX.>', '_INBOX.acme.>', '$SYS.>', 'other']));

  test('nobody comes in without a name and a password', async () => {
    for (const options of [{}, { user: 'acme' }, { user: 'acme', pass: 'x' }, { user: 'ann', pass: 'x' }]) {
      await assert.rejects(world.connect({ ...options, reconnect: false, maxReconnectAttempts: 0 }), { code: 'AUTHORIZATION_VIOLATION' });
    }
  });
});
