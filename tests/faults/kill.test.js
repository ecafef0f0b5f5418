'use strict';
// kill -9 at random moments: under load, while starting and recovering, settling, changing
// segments and stopping. One data directory lives through all rounds.

const { after, before, describe, test } = require('node:test');
const { World } = require('../integration/harness');
const { Judge, Load, pause } = require('./judge');
const { assert, rounds, seeded, stats, verify } = require('./rig');

const ROUNDS = rounds(20, 1000);

// Small ones, so that settling and the change of segments are never far away.
function randomSettings(random) {
  return [
    `--settle-ms=${random.pick([1, 20, 2000])}`,
    `--settle-bytes=${random.pick(['4KiB', '256KiB', '16MiB'])}`,
    `--settle-slice-bytes=${random.pick(['4KiB', '4KiB', '64KiB', '4MiB'])}`,
    `--journal-segment-bytes=${random.pick(['1MiB', '1MiB', '2MiB'])}`,
    `--journal-segments=${random.pick([3, 8])}`,
    `--chat-cache-bytes=${random.pick(['0', '64KiB', '64MiB'])}`,
  ];
}

describe('kill -9', { timeout: 3600000 }, () => {
  let world;
  before(async () => { world = await World.start({ chatd: false }); });
  after(() => world && world.close());

  test(`${ROUNDS} times, at any moment: nothing acknowledged is lost, nothing is there twice`, async (t) => {
    const random = seeded(t);
    const { chatd } = world;
    const judge = new Judge();
    const tally = { 'under load': 0, 'while starting': 0, 'while stopping': 0, 'too late, it had ended': 0, 'between slices of a settle job': 0, 'torn ends': 0, 'records replayed': 0 };
    const checker = await world.client();
    const load = new Load(judge, [await world.connect(), await world.connect()], { random });
    chatd.args = randomSettings(random);
    await chatd.start();
    await load.start();

    async function killStarting() {
      for (let times = 1 + random.upTo(3); times > 0; times--) {
        chatd.args = randomSettings(random);
        chatd.spawn();
        await pause(random.upTo(60));
        if (!chatd.log.some((fields) => fields.event === 'ready')) tally['while starting']++;
        await chatd.kill();
      }
    }

    async function killStopping() {
      chatd.signal('SIGTERM');
      await pause(random.upTo(40));
      tally[chatd.program.running ? 'while stopping' : 'too late, it had ended']++;
      await chatd.kill();
    }

    for (let round = 1; round <= ROUNDS; round++) {
      await load.further(10);
      await pause(random.upTo(150));
      if (random() < 0.25) await killStopping();
      else {
        await chatd.kill();
        tally['under load']++;
      }
      const { settled_lsn, reached_lsn } = stats(chatd.dataDirectory);
      if (reached_lsn > settled_lsn) tally['between slices of a settle job']++;
      if (random() < 0.25) await killStarting();
      chatd.args = randomSettings(random);
      await chatd.start();
      const recovered = chatd.log.find((fields) => fields.event === 'store.recovered');
      tally['records replayed'] += Number(recovered.records);
      if (recovered.torn_bytes !== '0') tally['torn ends']++;
      await judge.check(checker);
      load.ok();
    }
    await load.further(100);
    await load.stop();
    await chatd.kill();
    await chatd.start();
    await judge.checkAll(checker);
    await chatd.stop();
    verify(chatd.dataDirectory);
    await chatd.start();
    await judge.checkAll(checker);
    t.diagnostic(`${ROUNDS} rounds: ${Object.entries(tally).map(([what, count]) => `${count} ${what}`).join(', ')}`);
    t.diagnostic(String(judge));
    assert.ok(judge.messages > ROUNDS * 10, 'there was a load');
  });
});
