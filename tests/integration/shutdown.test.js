'use strict';
// SIGTERM: stop taking requests, answer those taken, exit 0. And one process at a time.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { after, before, describe, test } = require('node:test');
const nats = require('nats');
const { BIN, World, cleanEnvironment, eventually, inParallel, within } = require('./harness');
const { range } = require('./client');
const { Load } = require('./load');

describe('shutting down', { timeout: 300000 }, () => {
  let world;
  let client;
  before(async () => {
    world = await World.start();
    client = await world.client();
  });
  after(() => world && world.close());

  for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`${signal} under load: what was taken is answered, exit 0, everything is there`, async () => {
      const chat = await client.chat(`shutdown ${signal}`);
      const clients = await inParallel(4, 4, () => world.client());
      const acknowledged = [];
      let refused = 0;
      let gone = false;
      const workers = clients.flatMap((each, c) => range(1, 64).map(async (w) => {
        for (let i = 0; !gone; i++) {
          try {
            const { message } = await each.Send({ chat_id: chat, user_id: `${c}`, client_id: `${c} ${w} ${i}`, text: `${i}` }, { timeout: 10000 });
            acknowledged.push(message);
          } catch (error) {
            // A broker that knows of nobody who would take the request says so at once. A request
            // that was taken and then dropped would time out here instead.
            if (error.code === nats.ErrorCode.NoResponders) gone = true;
            else if (error.code === 503) refused++;
            else throw error;
          }
        }
      }));
      while (acknowledged.length < 3000) await Promise.race([Promise.all(workers), new Promise(setImmediate)]);
      const { code, signal: by } = await world.chatd.program.stop(signal);
      assert.deepEqual({ code, by }, { code: 0, by: null }, world.chatd.program.tail());
      await Promise.all(workers);
      assert.ok(gone, `the service left (${refused} refused)`);
      await world.chatd.start();
      const messages = await client.readAll(chat);
      assert.deepEqual(messages, acknowledged.sort((a, b) => a.seq - b.seq),
        'exactly what was acknowledged is there: no request was carried out in silence');
    });
  }

  test('SIGTERM and restart, again and again under load, lose and repeat nothing', async () => {
    const chats = await Promise.all(range(1, 3).map((i) => client.chat(`restart ${i}`)));
    const load = new Load(chats).start([client, await world.client()], 32);
    for (const round of range(1, 3)) {
      await load.further(200 * round);
      await world.chatd.stop();
      await world.chatd.start();
    }
    await load.further(200);
    await load.stop();
    await load.check(client);
  });

  test('after SIGTERM the next start has nothing to recover', async () => {
    const chat = await client.chat('settled');
    await Promise.all(range(1, 100).map((i) => client.Send({ chat_id: chat, user_id: 'u', text: `${i}` })));
    await world.chatd.stop();
    await world.chatd.start();
    const line = world.chatd.log.find((fields) => /recover/.test(fields.event));
    if (line) assert.equal(line.records, '0');
    assert.equal((await client.readAll(chat)).length, 100);
  });

  test('a second chatd on the same data directory is refused and says why', async () => {
    const second = world.makeChatd({ dataDirectory: world.chatd.dataDirectory });
    second.spawn();
    const { code, signal } = await within(second.program.exited, 'the end of the second chatd');
    assert.deepEqual({ code, signal }, { code: 1, signal: null }, second.program.tail());
    const said = second.log.filter((fields) => fields.level === 'error');
    assert.ok(said.length > 0, second.program.tail());
    const words = JSON.stringify(said);
    assert.match(words, /another process|in use|lock/i);
    assert.ok(words.includes(world.chatd.dataDirectory), 'the message names the directory');
    assert.equal((await client.New({ user_ids: ['the first goes on'] })).created, true);
  });

  test('the directory is free again after kill -9', async () => {
    await world.chatd.kill();
    await world.chatd.start();
  });

  test('started with its standard files closed, it opens none of its own in their place', async () => {
    await world.chatd.stop();
    const { dataDirectory } = world.chatd;
    const child = spawn('/bin/sh', ['-c', 'exec "$@" <&- >&- 2>&-', 'sh', path.join(BIN, 'chatd'), '--nats-url', world.broker.url, '--data-dir', dataDirectory], { env: cleanEnvironment() });
    const ended = once(child, 'exit');
    try {
      await eventually('it answers', () => client.New({ user_ids: ['silent'] }));
      for (const file of [0, 1, 2]) assert.equal(fs.readlinkSync(`/proc/${child.pid}/fd/${file}`), '/dev/null');
      child.kill('SIGTERM');
      assert.deepEqual(await within(ended, 'its end'), [0, null]);
    } finally {
      child.kill('SIGKILL');
    }
    await world.chatd.start();
  });
});
