'use strict';
// The broker is killed, frozen, restarted with another limit, and connections to it are cut in the middle
// of a message. Who sends again with the same client id sees each message exactly once.

const net = require('node:net');
const { after, before, describe, test } = require('node:test');
const { World } = require('../integration/harness');
const { Judge, Load, pause } = require('./judge');
const { LONG, assert, rounds, seeded } = require('./rig');

const PATIENCE_MS = 60000;

// Between programs and the broker; each connection is cut after a number of bytes, whichever way they go,
// and mostly not at the end of a message.
class Cutter {
  constructor(port, bytesUntilCut) {
    this.sockets = new Set();
    this.cuts = 0;
    this.server = net.createServer((near) => {
      const far = net.connect(port, '127.0.0.1');
      let left = bytesUntilCut();
      const end = () => { near.destroy(); far.destroy(); };
      const pass = (from, to) => {
        this.sockets.add(from);
        from.on('close', () => { this.sockets.delete(from); end(); });
        from.on('error', end);
        from.on('data', (bytes) => {
          if (left <= 0) return;
          if (bytes.length < left) {
            left -= bytes.length;
            to.write(bytes);
            return;
          }
          to.end(bytes.subarray(0, left), end);
          left = 0;
          this.cuts++;
        });
      };
      pass(near, far);
      pass(far, near);
    });
  }

  async start() {
    await new Promise((resolve) => { this.server.listen(0, '127.0.0.1', resolve); });
    this.url = `nats://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  async close() {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => { this.server.close(resolve); });
  }
}

describe('the broker', { timeout: 3600000 }, () => {
  let world;
  before(async () => { world = await World.start(); });
  after(() => world && world.close());

  const judge = new Judge();
  const start = async (random, options) => new Load(judge, [await world.connect(), await world.connect()], { random, ...options }).start();

  async function finish(load, t) {
    assert.ok(await load.further(200, PATIENCE_MS), 'it goes on');
    await load.stop();
    await judge.checkAll(await world.client());
    t.diagnostic(String(judge));
  }

  const KILLS = rounds(3, 50);
  test(`killed ${KILLS} times under load`, async (t) => {
    const load = await start(seeded(t));
    for (let i = 0; i < KILLS; i++) {
      assert.ok(await load.further(100, PATIENCE_MS), 'it goes on');
      await world.broker.stop('SIGKILL');
      await pause(20);
      await world.broker.start();
    }
    await finish(load, t);
  });

  const FREEZE_MS = 5000;
  const FREEZES = LONG ? 10 : 1;
  test(`frozen for ${FREEZE_MS} ms under load, ${FREEZES} times`, async (t) => {
    const load = await start(seeded(t));
    for (let i = 0; i < FREEZES; i++) {
      await load.further(50, PATIENCE_MS);
      world.broker.program.child.kill('SIGSTOP');
      await pause(FREEZE_MS);
      world.broker.program.child.kill('SIGCONT');
      assert.ok(await load.further(100, PATIENCE_MS), 'it goes on');
    }
    await finish(load, t);
  });

  test('restarted with other limits: pages fit the new one', async (t) => {
    const random = seeded(t);
    const client = await world.client();
    let load = await start(random, { sizes: [3000] });
    for (const limit of [65536, 16384, 1048576]) {
      await world.broker.stop();
      world.broker.settings.max_payload = limit;
      await world.broker.start();
      assert.ok(await load.further(100, PATIENCE_MS), 'it goes on');
      // Small pages are read more slowly than messages come: the load waits, or there is no end to it.
      await load.stop();
      await judge.check(client);
      load = await start(random, { sizes: [3000] });
    }
    await finish(load, t);
  });

  const CUTS = rounds(20, 1000);
  test(`connections of clients and of chatd cut in the middle of messages, ${CUTS} times`, async (t) => {
    const random = seeded(t);
    const cutter = await new Cutter(world.broker.port, () => 500 + Math.floor(random() ** 3 * 600000)).start();
    await world.chatd.stop();
    const chatd = world.makeChatd({ dataDirectory: world.chatd.dataDirectory });
    chatd.url = cutter.url;
    try {
      await chatd.start();
      const connections = await Promise.all([1, 2, 3].map(() => world.connect({ servers: cutter.url })));
      const load = await new Load(judge, connections, { random, width: 16, timeout: () => 200 + 1000 * random() }).start();
      const goal = judge.counts.acknowledged + CUTS;
      while (cutter.cuts < CUTS || judge.counts.acknowledged < goal) {
        await pause(20);
        load.ok();
      }
      t.diagnostic(`${cutter.cuts} cuts`);
      await load.stop();
      await chatd.stop();
      await world.chatd.start();
      await judge.checkAll(await world.client());
      t.diagnostic(String(judge));
    } finally {
      if (chatd.program.running) await chatd.program.stop('SIGKILL');
      await cutter.close();
    }
  });
});
