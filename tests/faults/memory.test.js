'use strict';
// Each allocation on the way of a request fails in turn: an error reply, or an end with a reason; no
// crash, nothing lost, nothing wrong.

const { after, before, describe, test } = require('node:test');
const nats = require('nats');
const { World, eventually, makeDirectory, removeDirectory } = require('../integration/harness');
const { isPassing } = require('../integration/client');
const { Judge } = require('./judge');
const { Shim } = require('./shim');
const { LONG, assert, path, seeded } = require('./rig');

const PATIENCE_MS = 250;

describe('an allocation that fails', { timeout: 3600000 }, () => {
  let world;
  let directory;
  let shim;
  let client;
  let chatd;
  const judge = new Judge();
  before(async () => {
    directory = makeDirectory();
    shim = new Shim(directory);
    world = await World.start({ chatd: false });
    client = await world.client({ timeout: PATIENCE_MS });
    chatd = world.makeChatd({ dataDirectory: path.join(directory, 'data'), environment: shim.environment, args: ['--settle-ms=5', '--chat-cache-bytes=0'] });
    await chatd.start();
  });
  after(async () => {
    shim.reset();
    if (world) await world.abandon();
    shim.close();
    removeDirectory(directory);
  });

  // In JSON. (413: it is too large to be decoded in the memory there is.) A refusal may then come as it can: what it says is in the headers, too.
  async function callJson(method, fields) {
    const headers = nats.headers();
    headers.set('Content-Type', 'application/json');
    const { headers: answered, data } = await client.connection.request(`chat.${method}`, JSON.stringify(fields), { timeout: PATIENCE_MS, headers });
    const code = answered && answered.get('Nats-Service-Error-Code');
    if (code) assert.ok(['413', '500', '503'].includes(code), `${method}: ${answered.get('Nats-Service-Error-Code')} ${answered.get('Nats-Service-Error')} ${JSON.stringify(fields).slice(0,300)}`);
    else JSON.parse(Buffer.from(data));
    return null;
  }

  // The reply, or null when nothing came: who cannot even allocate a reply cannot send it.
  async function call(method, fields, options) {
    try {
      return options ? await callJson(method, fields) : await client.call(method, fields);
    } catch (error) {
      if (!isPassing(error)) throw error;
      judge.counts.unanswered++;
      return null;
    }
  }

  async function send(request, options) {
    const reply = await call('Send', judge.fields(request), options);
    if (reply && reply.value) judge.acknowledged(request, reply);
    return reply;
  }

  let lives = 0;
  async function workload() {
    const users = [`user ${lives++}`];
    const made = await call('New', { user_ids: users });
    if (made && made.value) judge.created(users, made.value);
    const chats = [...judge.chats.values()];
    for (const chat of [chats[0], chats.at(-1)].filter(Boolean)) {
      const request = judge.request(chat, 200);
      await send(request);
      await send(request);
      await call('History', { chat_id: chat.id, limit: 10 });
      await send(judge.request(chat, 100, true), { json: true });
      await call('History', { chat_id: chat.id, from_seq: 1, limit: 2 }, { json: true });
    }
    await client.connection.request('$SRV.STATS.chat', '', { timeout: PATIENCE_MS }).catch(() => {});
  }

  // 'yes', 'no' (it has ended), or 'deaf': it is there and does not answer.
  async function isAlive(patience) {
    return eventually('it answers or ends', async () => {
      if (!chatd.program.running) return 'no';
      return await call('New', { user_ids: ['alive?'] }) ? 'yes' : null;
    }, patience).catch(() => 'deaf');
  }

  // Both connections to the broker. To run out of memory while it connects is beyond the NATS library,
  // whose JSON parser then crashes: what is tried next must not meet that.
  async function isConnected(patience) {
    return eventually('both connections', async () => {
      const reply = await client.connection.request('$SRV.STATS.chat', '', { timeout: PATIENCE_MS }).catch(() => null);
      return reply && reply.json().endpoints.find(({ name }) => name === 'Send').data.connections === 2;
    }, patience).catch(() => false);
  }

  async function endOfLife(what) {
    const { code, signal } = await chatd.program.exited;
    assert.deepEqual({ code, signal }, { code: 70, signal: null }, `${what}: ${chatd.program.tail()}`);
    assert.equal(chatd.log.at(-1).level, 'error', chatd.program.tail());
    shim.reset();
    await chatd.start();
    await isConnected(30000);
  }

  // What the workload allocates now.
  async function count() {
    shim.set({ allocationFailAt: 0, allocations: 0, allocationsFailed: 0, allocationsWatched: 1 });
    await workload();
    shim.set({ allocationsWatched: 0 });
    return shim.get('allocations');
  }

  for (const together of [1, 5]) {
    test(`${together} in a row, wherever they are: a refusal or an end with a reason`, async (t) => {
      const random = seeded(t);
      await workload();
      const allocations = await count();
      const trials = LONG ? allocations : 30;
      const ends = { 'went on': 0, 'ended with a reason': 0, deaf: 0 };
      const { unanswered } = judge.counts;
      for (let trial = 1; trial <= trials; trial++) {
        const at = LONG ? trial : 1 + random.upTo(allocations);
        shim.set({ allocations: 0, allocationsFailed: 0, allocationFailCount: together, allocationFailAt: at, allocationsWatched: 1 });
        await workload();
        shim.set({ allocationsWatched: 0 });
        const patience = together > 1 ? 5000 : 30000;
        let alive = await isAlive(patience);
        if (alive === 'yes' && !await isConnected(patience)) alive = 'deaf';
        if (alive === 'yes') {
          ends['went on']++;
        } else if (alive === 'deaf' && together > 1) {
          // The broker's library has lost hold of its connection, and finds out by its pings, minutes later.
          ends.deaf++;
          await chatd.kill();
          await chatd.start();
          await isConnected(30000);
        } else {
          assert.equal(alive, 'no', `allocation ${at}: ${chatd.program.tail()}`);
          ends['ended with a reason']++;
          await endOfLife(`allocation ${at}`);
        }
        if (trial % 20 === 0) await judge.check(client);
      }
      await judge.checkAll(client);
      t.diagnostic(`${allocations} allocations, ${trials} trials: ${Object.entries(ends).map(([end, times]) => `${times} ${end}`).join(', ')}; ${judge.counts.unanswered - unanswered} requests unanswered`);
      await chatd.kill();
      await chatd.start();
      await judge.checkAll(client);
    });
  }
});
