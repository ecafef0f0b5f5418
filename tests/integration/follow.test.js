'use strict';
// Following: whoever holds a seq gets every message from there, once each and in order, whatever
// happens to the follower, the broker and the service. With more of all of it: faults/follow.

const assert = require('node:assert/strict');
const net = require('node:net');
const { once } = require('node:events');
const { after, afterEach, before, describe, test } = require('node:test');
const { World, eventually, inParallel, scaled, within } = require('./harness');
const { range } = require('./client');
const { Load } = require('./load');
const { Session } = require('./session');

const FOLLOWERS = scaled(40);
const MESSAGES = scaled(5000);
const PATIENCE_MS = 60000;

// A line to the broker that can be cut.
class Line {
  constructor(target) {
    this.sockets = new Set();
    this.isCut = false;
    this.server = net.createServer((near) => {
      if (this.isCut) return near.destroy();
      const far = net.connect(target, '127.0.0.1');
      for (const [socket, other] of [[near, far], [far, near]]) {
        this.sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => { this.sockets.delete(socket); other.destroy(); });
        socket.pipe(other);
      }
      return undefined;
    });
  }

  async start() {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = this.server.address().port;
    return this;
  }

  cut() {
    this.isCut = true;
    for (const socket of this.sockets) socket.destroy();
  }

  mend() {
    this.isCut = false;
  }

  close() {
    this.cut();
    this.server.close();
  }
}

describe('following', { timeout: 180000 }, () => {
  let world;
  let client;
  let sessions = [];
  before(async () => {
    world = await World.start();
    client = await world.client();
  });
  after(() => world && world.close());
  afterEach(async () => {
    await Promise.all(sessions.map((session) => session.kill()));
    sessions = [];
  });

  function follow(chat, options) {
    const session = new Session(world.broker.url, chat, options).start();
    sessions.push(session);
    return session;
  }

  const send = (chat, from, to) => inParallel(to - from + 1, 16, (i) => client.sendUntilAcknowledged({
    chat_id: chat, user_id: 'u', client_id: `${from + i}`, text: `${from + i}`,
  }));

  test(`${FOLLOWERS} followers, each killed and resumed; the broker restarted twice, chatd killed twice`, async () => {
    const chat = await client.chat('many');
    const followers = range(1, FOLLOWERS).map((i) => follow(chat, { user: `follower ${i}`, keep: 0 }));
    const clients = await inParallel(2, 2, () => world.client());
    const load = new Load([chat]).start(clients, 32);
    const disturbances = [
      () => world.chatd.kill().then(() => world.chatd.start()),
      () => world.broker.stop('SIGKILL').then(() => world.broker.start()),
      () => world.chatd.kill().then(() => world.chatd.start()),
      () => world.broker.stop('SIGTERM').then(() => world.broker.start()),
    ];
    const rounds = 10;
    for (const round of range(1, rounds)) {
      await load.further(Math.ceil(MESSAGES / rounds));
      // Each one at least once in ten rounds, and some by chance.
      const chosen = followers.filter((_, i) => i % rounds === round - 1 || Math.random() < 0.1);
      const resumed = inParallel(chosen.length, 4, async (i) => {
        await chosen[i].kill();
        chosen[i].start();
      });
      if (round % 2 === 0 && disturbances.length) await disturbances.shift()();
      await resumed;
    }
    await load.stop();
    const total = load.acknowledged.length;
    assert.ok(total >= MESSAGES, `${total}`);
    await Promise.all(followers.map((follower) => follower.hasShown(total, PATIENCE_MS)));
    for (const follower of followers) {
      follower.check();
      assert.equal(follower.next, total + 1);
      assert.ok(follower.starts >= 2);
    }
  });

  test('a slow follower holds nobody up, and loses nothing', async () => {
    const chat = await client.chat('slow');
    const fast = follow(chat, { keep: 0 });
    const slow = follow(chat, { user: 'slow', keep: 0 });
    await Promise.all([fast.isLive(), slow.isLive()]);
    slow.child.stdout.pause();
    const total = scaled(20000);
    const started = Date.now();
    await send(chat, 1, total);
    await fast.hasShown(total);
    const tookMs = Date.now() - started;
    assert.ok(slow.next < total, `it was held up: ${slow.next} of ${total} in ${tookMs} ms`);
    // One chunk of its pipe at a time, with the rest of the test's patience.
    for (const _ of range(1, 5)) {
      slow.child.stdout.resume();
      await new Promise((resolve) => setTimeout(resolve, 2));
      slow.child.stdout.pause();
      slow.check();
      await send(chat, total + 1, total + 1);
    }
    slow.child.stdout.resume();
    await slow.hasShown(total + 1);
    await fast.hasShown(total + 1);
  });

  test('what was committed while its connection was cut is shown when it is back', async () => {
    const chat = await client.chat('cut');
    const line = await new Line(world.broker.port).start();
    try {
      const follower = new Session(`nats://127.0.0.1:${line.port}`, chat).start();
      sessions.push(follower);
      await follower.isLive();
      await send(chat, 1, 5);
      await follower.hasShown(5);
      line.cut();
      await send(chat, 6, 10);
      await eventually('it notices', () => follower.errors.some((error) => error.includes('was lost')));
      assert.equal(follower.next, 6);
      line.mend();
      // Long before it would ask for the sake of silence, and no event tells it.
      await follower.hasShown(10, 6000);
    } finally {
      line.close();
    }
  });

  test('lost events are read from history when a later one comes', async () => {
    const chat = await client.chat('hole');
    const follower = follow(chat);
    await follower.isLive();
    await send(chat, 1, 10);
    await follower.hasShown(10);
    const { args } = world.chatd;
    await world.chatd.stop();
    world.chatd.args = [...args, '--events=false'];
    await world.chatd.start();
    await send(chat, 11, 20);
    assert.equal(follower.next, 11, 'nobody told it');
    await world.chatd.stop();
    world.chatd.args = args;
    await world.chatd.start();
    await send(chat, 21, 21);
    await follower.hasShown(21, 5000);
  });

  test('a last event that is lost is found by asking', async () => {
    const chat = await client.chat('last');
    const follower = follow(chat);
    await follower.isLive();
    const { args } = world.chatd;
    await world.chatd.stop();
    world.chatd.args = [...args, '--events=false'];
    await world.chatd.start();
    await send(chat, 1, 3);
    await follower.hasShown(3, 25000);
    await world.chatd.stop();
    world.chatd.args = args;
    await world.chatd.start();
  });

  test('events that come twice, late or damaged are nothing to it', async () => {
    const chat = await client.chat('noise');
    const follower = follow(chat);
    await follower.isLive();
    const subject = `chat.events.default.${chat}`;
    const publisher = await world.connect();
    const events = [];
    publisher.subscribe(subject, { callback: (error, { data }) => events.push(Buffer.from(data)) });
    await publisher.flush();
    await send(chat, 1, 5);
    await eventually('the events', () => events.length >= 5);
    const [first, , third] = events;
    for (const bytes of [first, third, Buffer.alloc(0), Buffer.from('no message'), first.subarray(0, 20), Buffer.alloc(70000, 0xff)]) {
      publisher.publish(subject, bytes);
    }
    await publisher.flush();
    await send(chat, 6, 6);
    await follower.hasShown(6);
    assert.deepEqual(follower.messages.map(({ text }) => text).sort(), ['1', '2', '3', '4', '5', '6']);
  });

  test('from now shows what comes, and nothing of what was', async () => {
    const chat = await client.chat('now');
    await send(chat, 1, 30);
    const follower = follow(chat, { fromSeq: 0 });
    await follower.isLive();
    await send(chat, 31, 40);
    await follower.hasShown(40);
    assert.deepEqual(follower.messages.map(({ seq }) => seq), range(31, 40));
    assert.deepEqual(follower.messages, (await client.with({ json: true }).History({ chat_id: chat, from_seq: 31 })).messages);
  });

  test('in another namespace, with the broker and the service away at first', async () => {
    const elsewhere = client.with({ ns: 'tenant' });
    const chat = await elsewhere.chat('early');
    await world.chatd.stop();
    await world.broker.stop();
    const follower = follow(chat, { args: ['--namespace=tenant'] });
    await eventually('it says that there is no broker', () => follower.errors.some((line) => line.includes('cannot be reached')));
    await world.broker.start();
    await eventually('it has found the broker', () => follower.errors.some((line) => line.includes('the connection is back')));
    await world.chatd.start();
    await elsewhere.sendUntilAcknowledged({ chat_id: chat, user_id: 'u', client_id: '1', text: 'here' });
    await follower.hasShown(1);
  });

  test('ends with a reason where there is nothing to follow, or more had been read than there is', async () => {
    const chat = await client.chat('short');
    await send(chat, 1, 2);
    for (const [id, fromSeq, reason] of [
      ['00000000-0000-4000-8000-000000000000', 1, /no such chat/],
      [chat, 4, /last message is 2, but messages up to 3 had been read/],
    ]) {
      const session = follow(id, { fromSeq });
      const { code, stderr } = await within(session.ended, 'its end');
      assert.equal(code, 1);
      assert.match(stderr, reason);
    }
    const resumed = follow(chat, { fromSeq: 3 });
    await resumed.isLive();
    assert.equal((await resumed.end()).code, 0);
  });
});
