'use strict';
// The broker goes and comes back; the service waits for it, for ever.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const net = require('node:net');
const { after, before, describe, test } = require('node:test');
const { World, eventually, inParallel } = require('./harness');
const { range } = require('./client');
const { Load } = require('./load');

describe('the broker', { timeout: 300000 }, () => {
  let world;
  before(async () => { world = await World.start(); });
  after(() => world && world.close());

  test('stopped and started under load: nothing is lost or repeated', async () => {
    const client = await world.client();
    const chats = await Promise.all(range(1, 3).map((i) => client.chat(`broker ${i}`)));
    const clients = await inParallel(4, 4, () => world.client());
    const load = new Load(chats).start(clients, 8);
    for (const signal of ['SIGTERM', 'SIGKILL', 'SIGKILL']) {
      await load.further(300);
      await world.broker.stop(signal);
      await world.broker.start();
    }
    await load.further(300);
    await load.stop();
    await load.check(client);
    assert.ok(world.chatd.program.running);
  });

  test('gone for a while, chatd goes on trying and can be stopped', async () => {
    await world.broker.stop();
    await eventually('chatd notices', () => world.chatd.log.some((fields) => /disconnect|reconnect|lost|connection/.test(fields.event)));
    assert.ok(world.chatd.program.running);
    await world.chatd.stop();
    await world.broker.start();
    await world.chatd.start();
    // A new client: one that is still coming back drops what it is given meanwhile.
    const client = await world.client();
    assert.equal((await client.New({ user_ids: ['after'] })).created, true);
  });

  test('chatd started before the broker waits for it', async () => {
    await world.chatd.stop();
    await world.broker.stop();
    const chatd = world.makeChatd({ dataDirectory: `${world.chatd.dataDirectory}-early` });
    chatd.spawn();
    await eventually('it has opened its data and says something', () => fs.existsSync(chatd.dataDirectory)
      && chatd.program.lines.length > 0);
    assert.ok(chatd.program.running, chatd.program.tail());
    assert.ok(!chatd.log.some((fields) => fields.event === 'ready'), 'it is not ready without a broker');
    await world.broker.start();
    await chatd.ready();
    const client = await world.client();
    // Ready means ready: the first request is answered.
    assert.equal((await client.New({ user_ids: ['first'] })).created, true);
    await chatd.stop();
  });

  test('chatd waiting for a broker ends well on SIGTERM and SIGINT', async () => {
    await world.broker.stop().catch(() => {});
    for (const signal of ['SIGTERM', 'SIGINT']) {
      const chatd = world.makeChatd({ dataDirectory: `${world.chatd.dataDirectory}-${signal}` });
      chatd.spawn();
      await chatd.waitForEvent(/recover/);
      const { code } = await chatd.program.stop(signal);
      assert.equal(code, 0, chatd.program.tail());
    }
    await world.broker.start();
  });

  test('a signal while chatd is still starting ends it well, too', async () => {
    for (const signal of ['SIGTERM', 'SIGINT']) {
      const chatd = world.makeChatd({ dataDirectory: `${world.chatd.dataDirectory}-early-${signal}` });
      chatd.spawn();
      await chatd.waitForEvent('starting');
      const { code } = await chatd.program.stop(signal);
      assert.equal(code, 0, chatd.program.tail());
    }
  });
});

// Between the broker and chatd. When a message with the mark comes by, it ends in the middle of it.
class Cutter {
  constructor(port, mark) {
    this.sockets = new Set();
    this.cuts = 0;
    this.server = net.createServer((near) => {
      const far = net.connect(port, '127.0.0.1');
      const end = () => { near.destroy(); far.destroy(); };
      for (const socket of [near, far]) {
        this.sockets.add(socket);
        socket.on('error', end);
        socket.on('close', end);
      }
      near.on('data', (bytes) => far.write(bytes));
      far.on('data', (bytes) => {
        const at = this.cuts === 0 ? bytes.indexOf(mark) : -1;
        if (at < 0) near.write(bytes);
        else {
          this.cuts++;
          near.end(bytes.subarray(0, at), end);
        }
      });
    });
  }

  async start() {
    await new Promise((resolve) => { this.server.listen(0, '127.0.0.1', resolve); });
    return `nats://127.0.0.1:${this.server.address().port}`;
  }

  async close() {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => { this.server.close(resolve); });
  }
}

describe('a connection that is cut in the middle of a request', { timeout: 300000 }, () => {
  test('what comes by the next one is not taken for the rest', async () => {
    const world = await World.start({ chatd: false });
    const cutter = new Cutter(world.broker.port, 'HERE IT ENDS');
    const chatd = world.makeChatd({ dataDirectory: world.chatd.dataDirectory });
    chatd.url = await cutter.start();
    try {
      await chatd.start();
      const client = await world.client();
      const chat = await client.chat('cut');
      const request = { chat_id: chat, user_id: 'u', client_id: 'cut', text: `${'x'.repeat(300)} HERE IT ENDS ${'y'.repeat(300)}` };
      const unanswered = client.call('Send', request, { timeout: 3000 }).catch((error) => error);
      await chatd.waitForEvent('broker.reconnected');
      // Short ones, whose bytes are text to the last: as the rest of the other they would be valid.
      const texts = range(1, 20).map((i) => `${i} `.repeat(15));
      for (const text of texts) {
        await client.sendUntilAcknowledged({ chat_id: chat, user_id: 'u', client_id: text, text }, { timeout: 1000 });
      }
      assert.ok(await unanswered instanceof Error);
      assert.equal(cutter.cuts, 1);
      assert.equal((await client.Send(request)).duplicate, false);
      const messages = await client.readAll(chat);
      assert.deepEqual(messages.map(({ text }) => text), [...texts, request.text]);
      await chatd.stop();
    } finally {
      await world.abandon();
      await cutter.close();
    }
  });
});

describe('a broker that does not permit requests', { timeout: 300000 }, () => {
  const settings = (subjects) => ({
    authorization: `{ users: [
      { user: callers, password: callers },
      { user: chatd, password: secret, permissions: { subscribe: [${subjects.map((s) => JSON.stringify(s))}] } }
    ] }`,
    no_auth_user: 'callers',
  });
  let world;
  before(async () => {
    world = await World.start({
      chatd: false, broker: settings(['$SRV.>', 'chat.New']), args: ['--user=chatd', '--password=secret'],
    });
  });
  after(() => world && world.close());

  test('is said so, and is nothing to be ready with', async () => {
    world.chatd.spawn();
    const { error } = await world.chatd.waitForEvent('broker.not_permitted');
    assert.match(error, /"chat\./);
    // It tries again, by a new connection, and still is not ready.
    await eventually('a second attempt', () => world.chatd.log.filter(({ event }) => event === 'broker.closed').length > 1);
    assert.ok(!world.chatd.log.some(({ event }) => event === 'ready'), world.chatd.program.tail());
  });

  test('is used once it does, even if it does not permit monitoring', async () => {
    await world.broker.stop();
    world.broker.settings = settings(['chat.>']);
    await world.broker.start();
    await world.chatd.ready();
    const refused = world.chatd.log.filter(({ event }) => event === 'broker.error').map(({ error }) => error);
    assert.ok(refused.some((error) => /\$SRV\.PING|_INBOX/.test(error)), `the first error is named: ${refused}`);
    assert.equal((await (await world.client()).New({ user_ids: ['permitted'] })).created, true);
    await world.chatd.stop();
  });
});
