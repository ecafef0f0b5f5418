'use strict';
// Past its limits the service says 503 at once, to each request; it never falls silent.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { describe, test } = require('node:test');
const { World, eventually, inParallel, scaled } = require('./harness');
const { range } = require('./client');

describe('a flood', { timeout: 300000 }, () => {
  for (const requests of [1, 16]) {
    test(`with --max-requests=${requests}: everything is answered, with a result or 503`, async () => {
      const world = await World.start({ args: [`--max-requests=${requests}`], broker: { write_deadline: '"60s"' } });
      try {
        const client = await world.client();
        const chat = await client.chat('flood');
        const clients = await inParallel(4, 4, () => world.client());
        const total = scaled(8000);
        await client.Send({ chat_id: chat, user_id: 'u', client_id: 'first', text: 'first' });
        // Stopped, it finds all of them at once when it goes on.
        world.chatd.signal('SIGSTOP');
        const asked = Promise.all(range(0, total - 1).map((i) => clients[i % 4].call('Send', {
          chat_id: chat, user_id: 'u', client_id: `${i}`, text: `${i}`,
        }, { json: i % 7 === 0, timeout: 60000 })));
        // One after the other, as a quiet caller reads: Sends take nothing of that.
        const reading = (async () => {
          for (let i = 0; i < 50; i++) assert.ok((await client.History({ chat_id: chat, limit: 1 }, { timeout: 60000 })).head_seq >= 1);
        })();
        await Promise.all(clients.map((each) => each.connection.flush()));
        world.chatd.signal('SIGCONT');
        const replies = await asked;
        await reading; // and none was refused
        const refused = range(0, total - 1).filter((i) => replies[i].error);
        for (const i of refused) replies[i].refused(503, 'chat.Send.Overloaded');
        assert.ok(refused.length > 0, 'some were refused');
        assert.ok(refused.length < total, 'some were taken');
        const taken = replies.filter((reply) => reply.value).map((reply) => reply.value.message);
        const messages = await eventually('the flood is over', () => client.readAll(chat));
        assert.deepEqual(messages.slice(1).map((message) => message.id), taken.sort((a, b) => a.seq - b.seq).map((message) => message.id));
        // Who retries gets in; nothing that was refused had been carried out.
        for (const i of refused.slice(0, 50)) {
          const again = await client.sendUntilAcknowledged({ chat_id: chat, user_id: 'u', client_id: `${i}`, text: `${i}` });
          assert.equal(again.duplicate, false);
        }
        assert.equal((await client.History({ chat_id: chat })).head_seq, 1 + taken.length + Math.min(50, refused.length));
      } finally {
        await world.close();
      }
    });
  }

  test('more at once than a subscription of the broker library holds: all answered', async () => {
    // The broker gives a stopped client ten seconds; this machine may need longer to ask.
    const world = await World.start({ broker: { write_deadline: '"60s"' } });
    try {
      const clients = await inParallel(4, 4, () => world.client());
      const chat = await clients[0].chat('more');
      // Stopped, the service finds all of it waiting when it goes on.
      const total = scaled(70000);
      world.chatd.signal('SIGSTOP');
      const asked = Promise.all(range(0, total - 1).map((i) => clients[i % 4].call('Send', {
        chat_id: chat, user_id: 'u', client_id: `${i}`, text: `${i}`,
      }, { timeout: 60000 })));
      await Promise.all(clients.map((client) => client.connection.flush()));
      world.chatd.signal('SIGCONT');
      const replies = await asked;
      let taken = 0;
      for (const reply of replies) {
        if (reply.value) taken++;
        else reply.refused(503, 'chat.Send.Overloaded');
      }
      assert.equal((await clients[0].History({ chat_id: chat, limit: 1 })).head_seq, taken);
    } finally {
      await world.close();
    }
  });

  test('of requests for pages: those that wait hold no pages', async () => {
    // Nothing settles but by stopping: half of the page is in the database, half is in memory.
    const world = await World.start({
      args: ['--settle-ms=3600000'], broker: { write_deadline: '"60s"', max_pending: 1 << 30 },
    });
    try {
      let client = await world.client();
      const chat = await client.chat('pages');
      const send = (from, to) => Promise.all(range(from, to).map((i) => client.Send({
        chat_id: chat, user_id: 'u', client_id: `${i}`, text: 'x'.repeat(60000),
      })));
      await send(1, 8);
      await world.chatd.stop();
      await world.chatd.start();
      client = await world.client();
      await send(9, 16);
      const { connection } = client;
      const total = 2500;
      let replies = 0;
      connection.subscribe('pages.reply', { callback: () => { replies++; } });
      const request = Buffer.concat([Buffer.from([0x0a, chat.length]), Buffer.from(chat), Buffer.from([0x20, 0x14])]);
      for (let i = 0; i < total; i++) connection.publish('chat.History', request, { reply: 'pages.reply' });
      await eventually('all are answered', () => replies === total, 200000);
      const status = fs.readFileSync(`/proc/${world.chatd.program.child.pid}/status`, 'utf8');
      const peak = Number(/^VmHWM:\s+(\d+) kB/m.exec(status)[1]) / 1024;
      // The pages alone would be 1,200 MiB; replies that wait for the broker may be 64 MiB.
      assert.ok(peak < 700, `at most ${peak} MiB were in memory`);
    } finally {
      await world.close();
    }
  });
});
