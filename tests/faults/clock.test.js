'use strict';
// The wall clock is set back and forward by a day under load: seq and retries do not notice.

const { after, before, describe, test } = require('node:test');
const { World, makeDirectory, removeDirectory } = require('../integration/harness');
const { Judge, Load, pause } = require('./judge');
const { Shim } = require('./shim');
const { assert, path, rounds, seeded } = require('./rig');

const ROUNDS = rounds(6, 100);
const DAY_NS = 86400n * 1000000000n;

describe('the clock', { timeout: 600000 }, () => {
  let world;
  let directory;
  let shim;
  before(async () => {
    directory = makeDirectory();
    shim = new Shim(directory);
    world = await World.start({ chatd: false });
  });
  after(async () => {
    if (world) await world.close();
    shim.close();
    removeDirectory(directory);
  });

  test(`${ROUNDS} times a day back and forward under load: order and retries are untouched`, async (t) => {
    const random = seeded(t);
    const chatd = world.makeChatd({ dataDirectory: path.join(directory, 'data'), environment: shim.environment, args: ['--settle-ms=20'] });
    await chatd.start();
    const client = await world.client();
    const judge = new Judge();
    const load = await new Load(judge, [await world.connect()], { random, timeout: () => 5000 }).start();
    const chat = await client.chat('who looks at the clock');
    const days = [];
    for (let round = 1; round <= ROUNDS; round++) {
      const offset = random.pick([-1n, 0n, 1n]) * DAY_NS;
      shim.set({ clockOffsetNs: offset });
      await load.further(100);
      const { message } = await client.Send({ chat_id: chat, user_id: 'u', client_id: `${round}`, text: `${offset}` });
      assert.equal(message.seq, round);
      const { message: again, duplicate } = await client.Send({ chat_id: chat, user_id: 'u', client_id: `${round}`, text: `${offset}` });
      assert.deepEqual([again, duplicate], [message, true]);
      days.push(Math.round((message.sent_at.seconds * 1000 - Date.now()) / 86400000));
      assert.equal(BigInt(days.at(-1)) * DAY_NS, offset, 'the service saw that clock');
      await judge.check(client);
      if (round % 10 === 0) {
        await chatd.kill();
        await chatd.start();
      }
    }
    await load.stop();
    shim.set({ clockOffsetNs: 0 });
    await judge.checkAll(client);
    await chatd.kill();
    await chatd.start();
    await judge.checkAll(client);
    t.diagnostic(`days: ${days.slice(0, 30).join(' ')}; ${judge}`);
    await pause(0);
  });
});
