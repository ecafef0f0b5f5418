'use strict';
// Past its limits the service says 503 at once, to each request; it never falls silent.

const assert = require('node:assert/strict');
const { describe, test } = require('node:test');
const { World, eventually, inParallel, scaled } = require('./harness');
const { range } = require('./client');

describe('a flood', { timeout: 90000 }, () => {
  for (const requests of [1, 16]) {
    test(`with --max-requests=${requests}: everything is answered, with a result or 503`, async () => {
      const world = await World.start({ args: [`--max-requests=${requests}`] });
      try {
        const client = await world.client();
        const chat = await client.chat('flood');
        const clients = await inParallel(4, 4, () => world.client());
        const total = scaled(8000);
        const replies = await Promise.all(range(0, total - 1).map((i) => clients[i % 4].call('Send', {
          chat_id: chat, user_id: 'u', client_id: `${i}`, text: `${i}`,
        }, { json: i % 7 === 0, timeout: 30000 })));
        const refused = range(0, total - 1).filter((i) => replies[i].error);
        for (const i of refused) replies[i].refused(503, 'chat.Send.Overloaded');
        assert.ok(refused.length > 0, 'some were refused');
        assert.ok(refused.length < total, 'some were taken');
        const taken = replies.filter((reply) => reply.value).map((reply) => reply.value.message);
        const messages = await eventually('the flood is over', () => client.readAll(chat));
        assert.deepEqual(messages.map((message) => message.id), taken.sort((a, b) => a.seq - b.seq).map((message) => message.id));
        // Who retries gets in; nothing that was refused had been carried out.
        for (const i of refused.slice(0, 50)) {
          const again = await client.sendUntilAcknowledged({ chat_id: chat, user_id: 'u', client_id: `${i}`, text: `${i}` });
          assert.equal(again.duplicate, false);
        }
        assert.equal((await client.History({ chat_id: chat })).head_seq, taken.length + Math.min(50, refused.length));
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
});
