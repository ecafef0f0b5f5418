'use strict';
// The service's two connections to the broker: what comes by which, and what becomes of requests
// when one of them is held up, cut or not to be had.

const assert = require('node:assert/strict');
const net = require('node:net');
const { after, before, describe, test } = require('node:test');
const nats = require('nats');
const { Silent, Swallowing, World, eventually } = require('./harness');
const { Message, range } = require('./client');

const MAIN = 'chatd';
const READS = 'chatd-reads';

// Between the broker and chatd. Each connection goes by the name that it gives to the broker.
class Between {
  constructor(port) {
    this.pairs = new Set();
    this.refused = new Set();
    this.silent = null; // has all connections from now on
    this.server = net.createServer((near) => {
      if (this.silent) this.silent.take(near);
      else this.#accept(near, net.connect(port, '127.0.0.1'));
    });
  }

  async start() {
    await new Promise((resolve) => { this.server.listen(0, '127.0.0.1', resolve); });
    return `nats://127.0.0.1:${this.server.address().port}`;
  }

  #accept(near, far) {
    const pair = { near, far, name: '', held: false };
    const end = () => { near.destroy(); far.destroy(); this.pairs.delete(pair); };
    this.pairs.add(pair);
    for (const socket of [near, far]) {
      socket.on('error', end);
      socket.on('close', end);
    }
    near.on('data', (bytes) => {
      if (!pair.name) pair.name = (/"name":"([^"]*)"/.exec(bytes.toString('latin1')) || [])[1] || '';
      if (this.refused.has(pair.name)) end();
      else far.write(bytes);
    });
    far.on('data', (bytes) => near.write(bytes));
  }

  #named(name) {
    return [...this.pairs].filter((pair) => pair.name === name);
  }

  // Nothing more comes to chatd by this connection, until it is let go.
  hold(name) {
    for (const pair of this.#named(name)) pair.far.pause();
  }

  letGo(name) {
    for (const pair of this.#named(name)) pair.far.resume();
  }

  cut(name) {
    for (const pair of this.#named(name)) pair.near.destroy();
  }

  async close() {
    for (const { near, far } of this.pairs) { near.destroy(); far.destroy(); }
    await new Promise((resolve) => { this.server.close(resolve); });
  }
}

describe('the two connections', { timeout: 300000 }, () => {
  let world;
  let between;
  let client;
  let monitor;
  before(async () => {
    world = await World.start({ chatd: false, broker: { http: '"127.0.0.1:-1"' } });
    monitor = await world.broker.monitoringUrl();
    between = new Between(world.broker.port);
    world.chatd.url = await between.start();
    await world.chatd.start();
    await world.chatd.waitForEvent('reads_ready');
    client = await world.client();
  });
  after(async () => {
    try {
      if (world) await world.close();
    } finally {
      if (between) await between.close();
    }
  });

  // Messages that the broker has sent to each of chatd's connections.
  async function sent() {
    const { connections } = await (await fetch(`${monitor}/connz`)).json();
    const of = (name) => connections.filter((each) => each.name === name);
    assert.deepEqual([of(MAIN).length, of(READS).length], [1, 1]);
    return { main: of(MAIN)[0].out_msgs, reads: of(READS)[0].out_msgs };
  }
  // Asked again when a connection that is just being cut has swallowed the question.
  const stats = () => eventually('figures', async () => (await client.connection.request('$SRV.STATS.chat', '', { timeout: 2000 })).json()
    .endpoints.find(({ name }) => name === 'Send').data);
  const send = (chat, i, options) => client.Send({ chat_id: chat, user_id: 'u', client_id: `${i}`, text: `${i}` }, options);

  test('History comes by its own one, save for a few; a Send never does', async () => {
    const chat = await client.chat('by which');
    const start = await sent();
    for (const i of range(1, 300)) await send(chat, i);
    const afterSends = await sent();
    assert.equal(afterSends.reads, start.reads);
    for (const ns of [undefined, 'tenant']) {
      const lane = client.with({ ns });
      const id = await lane.chat('by which');
      const from = await sent();
      for (let i = 0; i < 200; i++) await lane.History({ chat_id: id });
      const to = await sent();
      // Of 200, the chance that as many as 20 come by the other one is below 1 in 10^20.
      assert.ok(to.reads - from.reads > 180 && to.reads - from.reads <= 200, `${to.reads - from.reads} of 200`);
    }
  });

  test('each method and what is none is answered, once, in any namespace', async () => {
    let answers = 0;
    client.connection.subscribe('lanes.replies', { callback: () => { answers++; } });
    for (const ns of ['', '.tenant']) {
      for (const method of ['New', 'Send', 'History', 'Edit', 'history']) {
        for (let i = 0; i < 20; i++) client.connection.publish(`chat.${method}${ns}`, '', { reply: 'lanes.replies' });
      }
    }
    for (let i = 0; i < 20; i++) (await client.raw('Edit', '')).refused(404, 'chat.Edit.UnknownMethod');
    await eventually('all answers', () => answers >= 200);
    const { main, reads } = await sent();
    await client.History({ chat_id: await client.chat('by which') });
    await eventually('it has come by one of them', async () => { const now = await sent(); return now.main + now.reads >= main + reads + 1; });
    assert.equal(answers, 200);
  });

  test('the Sends of a caller keep their order, whatever is read meanwhile', async () => {
    const chat = await client.chat('in order');
    const reading = range(1, 300).map(() => client.History({ chat_id: chat }));
    const sending = range(1, 1000).map((i) => {
      if (i % 5 === 0) reading.push(client.History({ chat_id: chat }));
      return send(chat, i);
    });
    await Promise.all([...reading, ...sending]);
    assert.deepEqual((await client.readAll(chat)).map(({ text }) => Number(text)), range(1, 1000));
  });

  test('while the main one is held up, pages come; what was held comes afterwards', async () => {
    const chat = await client.chat('held');
    await send(chat, 1);
    between.hold(MAIN);
    const waiting = range(2, 50).map((i) => send(chat, i, { timeout: 60000 }));
    const pages = await Promise.allSettled(range(1, 20).map(() => client.History({ chat_id: chat }, { timeout: 10000 })));
    const good = pages.filter(({ status }) => status === 'fulfilled');
    // One of 256 is given to the one that is held up.
    assert.ok(good.length >= 16, `${good.length} of 20`);
    for (const { value } of good) assert.equal(value.head_seq, 1);
    between.letGo(MAIN);
    await Promise.all(waiting);
    assert.deepEqual((await client.readAll(chat)).map(({ text }) => Number(text)), range(1, 50));
  });

  // Asks on every subject of the service API in turn, with one subject for all replies, and counts these.
  async function monitors(count) {
    // One in 64 goes by the main one, which may be held.
    const { id } = await eventually('who is there', async () => (await client.connection.request('$SRV.PING.chat', '', { timeout: 1000 })).json());
    const subjects = ['PING', 'INFO', 'STATS'].flatMap((verb) => [`$SRV.${verb}`, `$SRV.${verb}.chat`, `$SRV.${verb}.chat.${id}`]);
    const asked = { answers: 0 };
    const replies = client.connection.subscribe('lanes.monitors', {
      callback: (_, message) => { assert.equal(message.json().id, id); asked.answers++; },
    });
    for (let i = 0; i < count; i++) client.connection.publish(subjects[i % subjects.length], '', { reply: 'lanes.monitors' });
    await client.connection.flush();
    return Object.assign(asked, { id, done: () => replies.unsubscribe() });
  }

  test('what monitors ask comes by the one for History, save for a few, and is answered once', async () => {
    const from = await sent();
    const asked = await monitors(450);
    await eventually('all answers', () => asked.answers >= 450);
    const to = await sent();
    // Each by one of the two: of 450, seven by the main one, about; 60 never.
    assert.equal(to.main - from.main + to.reads - from.reads, 451);
    assert.ok(to.main - from.main < 60, `${to.main - from.main} of 450`);
    await (await monitors(0)).done();
    assert.equal(asked.answers, 450);
    asked.done();
  });

  test('while Sends wait on the main one, who is there is told, before them', async () => {
    const chat = await client.chat('who is there');
    let acknowledged = 0;
    between.hold(MAIN);
    const waiting = range(1, 50).map((i) => send(chat, i, { timeout: 60000 }).then(() => { acknowledged++; }));
    const asked = await monitors(90);
    await eventually('nearly all answers', () => asked.answers >= 60);
    // An operator asks again when he hears nothing, which happens once in 64 times.
    const ping = await eventually('chat ping', async () => {
      const done = await world.chat(['ping', '--json', '--instances=1', '--timeout-ms=10000']);
      return done.code === 0 && JSON.parse(done.stdout);
    });
    assert.equal(ping.id, asked.id);
    // Another one with a store of its own hears of this one, too, and goes.
    const other = world.makeChatd({ dataDirectory: `${world.ownDirectory}/other` });
    other.spawn();
    assert.equal((await other.program.exited).code, 1, other.program.tail());
    assert.equal(acknowledged, 0);
    between.letGo(MAIN);
    await Promise.all(waiting);
    await eventually('all answers', () => asked.answers >= 90);
    assert.equal(asked.answers, 90);
    asked.done();
  });

  test('cut off from its own, History comes by the main one, until the other is back', async () => {
    const chat = await client.chat('cut reads');
    const { connections_lost: lost } = await stats();
    between.refused.add(READS);
    between.cut(READS);
    await eventually('it is counted', async () => (await stats()).connections_lost === lost + 1);
    assert.equal((await stats()).connections, 1);
    for (let i = 0; i < 20; i++) await client.History({ chat_id: chat });
    const asked = await monitors(45);
    await eventually('monitors are answered', () => asked.answers === 45);
    asked.done();
    await send(chat, 1);
    assert.equal(world.chatd.log.filter(({ event }) => event === 'ready').length, 1);
    between.refused.delete(READS);
    await world.chatd.waitForEvent('broker.reconnected');
    assert.equal((await stats()).connections, 2);
    const from = await sent();
    for (let i = 0; i < 100; i++) await client.History({ chat_id: chat });
    assert.ok((await sent()).reads - from.reads > 80);
  });

  test('while the main one is away, pages come all the same; then Sends again', async () => {
    const chat = await client.chat('cut main');
    const mark = world.chatd.log.length;
    const told = (event) => world.chatd.log.slice(mark).find((fields) => fields.event === event && fields.connection === MAIN);
    await send(chat, 1);
    between.refused.add(MAIN);
    between.cut(MAIN);
    await eventually('it knows', () => told('broker.closed'));
    for (let i = 0; i < 20; i++) assert.equal((await client.History({ chat_id: chat })).head_seq, 1);
    await assert.rejects(send(chat, 2), { code: nats.ErrorCode.NoResponders });
    between.refused.delete(MAIN);
    await eventually('it is back', () => told('broker.reconnected'));
    await client.sendUntilAcknowledged({ chat_id: chat, user_id: 'u', client_id: '2', text: '2' });
    assert.equal((await client.History({ chat_id: chat })).head_seq, 2);
    (await client.raw('Edit', '')).refused(404, 'chat.Edit.UnknownMethod');
  });

  test('while one of them waits for a broker that says nothing, the other one has its requests', async () => {
    const chat = await client.chat('silence');
    const silent = new Silent();
    for (const [name, work] of [
      [READS, () => client.sendUntilAcknowledged({ chat_id: chat, user_id: 'u', client_id: 'x', text: 'x' })],
      [MAIN, () => client.History({ chat_id: chat })],
    ]) {
      const mark = world.chatd.log.length;
      const told = (event) => world.chatd.log.slice(mark).find((fields) => fields.event === event && fields.connection === name);
      between.silent = silent;
      between.cut(name);
      await silent.during(work);
      between.silent = null;
      await eventually('it is back', () => told('broker.reconnected'));
      await client.sendUntilAcknowledged({ chat_id: chat, user_id: 'u', client_id: name, text: 'x' });
    }
    await silent.close();
  });

  for (const when of ['both are there', 'one is held up']) {
    test(`SIGTERM while ${when}: every request is answered, or nobody takes it`, async () => {
      const chat = await client.chat('stopping', when);
      for (const i of range(1, 20)) await send(chat, i);
      let gone = 0;
      let pages = 0;
      const workers = range(1, 64).map(async () => {
        for (;;) {
          try {
            assert.equal((await client.History({ chat_id: chat }, { timeout: 20000 })).messages.length, 20);
            pages++;
          } catch (error) {
            if (error.code !== nats.ErrorCode.NoResponders) throw error;
            gone++;
            return;
          }
        }
      });
      await eventually('pages come', () => pages > 1000);
      if (when === 'one is held up') between.hold(READS);
      const stopped = world.chatd.program.stop();
      if (when === 'one is held up') {
        await world.chatd.waitForEvent('stopping');
        between.letGo(READS);
      }
      const { code } = await stopped;
      assert.equal(code, 0, world.chatd.program.tail());
      await Promise.all(workers);
      assert.equal(gone, workers.length);
      world.chatd.checkOutput();
      await world.chatd.start();
      await world.chatd.waitForEvent('reads_ready');
    });
  }

  test('SIGTERM while nobody answers an attempt to connect ends the process before the attempt', async () => {
    const silent = await Promise.all(range(1, 10).map(() => new Silent().start()));
    const chatd = world.makeChatd({ dataDirectory: `${world.ownDirectory}/silent` });
    chatd.url = silent.map(({ url }) => url).join(',');
    const taken = () => silent.reduce((sum, one) => sum + one.taken, 0);
    try {
      chatd.spawn();
      await eventually('it connects', () => taken() > 0);
      await chatd.stop();
      assert.equal(chatd.log.at(-1).event, 'stopped');
      // It would have gone from one to the next.
      assert.ok(taken() < silent.length, `${taken()} of ${silent.length}`);
    } finally {
      for (const one of silent) await one.close();
    }
  });

  test('an address that swallows everything holds up nobody but the connection that wants it', async () => {
    const swallowing = await new Swallowing().start();
    await world.chatd.stop();
    const { url } = world.chatd;
    try {
      world.chatd.url = `${swallowing.url},${url}`; // It chooses by chance where to begin.
      await world.chatd.start();
      await world.chatd.waitForEvent('reads_ready');
      const chat = await client.chat('swallowed');
      between.refused.add(MAIN);
      between.cut(MAIN);
      await swallowing.during(() => client.History({ chat_id: chat }));
      between.refused.delete(MAIN);
      await world.chatd.waitForEvent('broker.reconnected');
    } finally {
      world.chatd.url = url;
      await swallowing.close();
    }
  });

  test('without the second one the service is ready, and reads', async () => {
    await world.chatd.stop();
    between.refused.add(READS);
    await world.chatd.start();
    const chat = await client.chat('alone');
    await send(chat, 1);
    assert.equal((await client.History({ chat_id: chat })).head_seq, 1);
    assert.equal((await stats()).connections, 1);
    between.refused.delete(READS);
    await world.chatd.waitForEvent('reads_ready');
    assert.equal((await stats()).connections, 2);
  });

  test('events of what came meanwhile are in order, and only they', async () => {
    const chat = await client.chat('events');
    const seen = [];
    client.connection.subscribe(`chat.events.default.${chat}`, { callback: (_, { data }) => { seen.push(Message.decode(data).text); } });
    await client.connection.flush();
    await Promise.all(range(1, 200).flatMap((i) => [send(chat, i), client.History({ chat_id: chat })]));
    await eventually('all events', () => seen.length === 200);
    assert.deepEqual(seen, range(1, 200).map(String));
  });
});
