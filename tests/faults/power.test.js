'use strict';
// Power loss: an ext4 file system on a loop device is shut down under load, so that all that was not
// yet on the device is gone; then it is mounted again, which replays its journal, and chatd started.
// The same with syncs left out must find messages lost: else this test would prove nothing.

const { after, before, describe, test } = require('node:test');
const { World } = require('../integration/harness');
const { Disk } = require('./disk');
const { Judge, Load, Verdict, pause } = require('./judge');
const { Shim } = require('./shim');
const { assert, path, rounds, run, seeded, verify, TOOLS } = require('./rig');

const ROUNDS = rounds(5, 200);
const ROUNDS_WITHOUT_SYNC = 5;

describe('power loss', { timeout: 3600000 }, () => {
  let world;
  before(async () => { world = await World.start({ chatd: false }); });
  after(() => world && world.close());

  function makeChatd(disk, environment) {
    return world.makeChatd({ dataDirectory: path.join(disk.directory, 'data'), environment });
  }

  // The power goes while the load goes on. A chatd that writes now ends by itself, and says why.
  async function cut(disk, chatd, tally) {
    run(path.join(TOOLS, 'powercut'), disk.directory);
    await pause(20);
    if (chatd.program.running) {
      await chatd.kill();
    } else {
      const { code, signal } = chatd.program.exit;
      assert.deepEqual({ code, signal }, { code: 70, signal: null }, chatd.program.tail());
      chatd.checkOutput();
      tally['ended by itself']++;
    }
    disk.unmount();
    disk.mount();
  }

  function args(random) {
    return [
      `--settle-ms=${random.pick([1, 20, 2000])}`,
      `--settle-bytes=${random.pick(['4KiB', '16MiB'])}`,
      `--settle-slice-bytes=${random.pick(['4KiB', '4MiB'])}`,
      `--journal-segment-bytes=${random.pick(['1MiB', '2MiB'])}`,
      `--journal-segments=${random.pick([3, 8])}`,
    ];
  }

  test(`${ROUNDS} times under load: nothing acknowledged is lost, nothing is there twice`, async (t) => {
    const random = seeded(t);
    const disk = new Disk('1G');
    const shim = new Shim(disk.directory);
    try {
      const chatd = makeChatd(disk, shim.environment);
      const judge = new Judge();
      const checker = await world.client();
      const load = new Load(judge, [await world.connect(), await world.connect()], { random, sizes: [20, 200, 1000, 10000] });
      const tally = { 'ended by itself': 0, 'torn ends': 0, 'records replayed': 0 };
      chatd.args = args(random);
      await chatd.start();
      await load.start();
      for (let round = 1; round <= ROUNDS; round++) {
        await load.further(10);
        await pause(20 + random.upTo(250));
        await cut(disk, chatd, tally);
        // Sometimes it goes once more while it starts.
        if (random() < 0.25) {
          chatd.args = args(random);
          chatd.spawn();
          await pause(random.upTo(60));
          run(path.join(TOOLS, 'powercut'), disk.directory);
          await chatd.kill();
          disk.unmount();
          disk.mount();
        }
        chatd.args = args(random);
        shim.set({ noDirect: random() < 0.5 ? 1 : 0 });
        await chatd.start();
        const recovered = chatd.log.find((fields) => fields.event === 'store.recovered');
        tally['records replayed'] += Number(recovered.records);
        if (recovered.torn_bytes !== '0') tally['torn ends']++;
        await judge.check(checker);
        load.ok();
      }
      await load.further(100);
      await load.stop();
      await cut(disk, chatd, tally);
      await chatd.start();
      await judge.checkAll(checker);
      await chatd.stop();
      verify(chatd.dataDirectory);
      t.diagnostic(`${ROUNDS} rounds: ${Object.entries(tally).map(([what, count]) => `${count} ${what}`).join(', ')}`);
      t.diagnostic(String(judge));
      assert.ok(judge.messages > ROUNDS * 10, 'there was a load');
    } finally {
      await endAll();
      shim.close();
      disk.close();
    }
  });

  test(`with syncs left out, the loss is seen within ${ROUNDS_WITHOUT_SYNC} rounds`, async (t) => {
    const random = seeded(t);
    const disk = new Disk('1G');
    const shim = new Shim(disk.directory);
    try {
      const chatd = makeChatd(disk, shim.environment);
      // Made with syncs: what is lost later are messages, not the data directory.
      await chatd.start();
      await chatd.stop();
      // Past the page cache nothing would be lost: the device below has no cache of its own.
      shim.set({ dropSyncs: 1, noDirect: 1 });
      const judge = new Judge();
      const checker = await world.client();
      await chatd.start();
      const load = await new Load(judge, [await world.connect()], { random }).start();
      let verdict = null;
      let round = 0;
      while (!verdict && round < ROUNDS_WITHOUT_SYNC) {
        round++;
        await load.further(200);
        load.pause();
        await cut(disk, chatd, { 'ended by itself': 0 });
        await chatd.start();
        await judge.check(checker).catch((error) => { verdict = error; });
        load.resume();
      }
      await load.stop().catch((error) => assert.ok(error instanceof Verdict, error));
      assert.ok(verdict instanceof Verdict, 'the judge finds out');
      assert.match(verdict.message, /lost/);
      t.diagnostic(`round ${round}: ${verdict.message}`);
    } finally {
      await endAll();
      disk.close();
      shim.close();
    }
  });

  async function endAll() {
    for (const chatd of world.chatds) {
      if (chatd.program && chatd.program.running) await chatd.program.stop('SIGKILL');
    }
  }
});
