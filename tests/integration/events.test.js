'use strict';
// Live events: one for each committed Send, in seq order, exactly the stored bytes.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { World, eventually, inParallel } = require('./harness');
const { decode, encode, Message, METHODS, range, rawFields, seqs } = require('./client');

describe('events', { timeout: 300000 }, () => {
  let world;
  let client;
  let listener;
  before(async () => {
    world = await World.start();
    client = await world.client();
    listener = await world.connect();
  });
  after(() => world && world.close());

  async function listen(subject) {
    const events = [];
    const subscription = listener.subscribe(subject, {
      callback: (error, { subject: on, data, headers, reply }) => events.push({ on, data: Buffer.from(data), headers, reply }),
    });
    await listener.flush();
    return { events, stop: () => subscription.unsubscribe() };
  }

  test('are the bytes that the Send reply and History carry, in seq order, once each', async () => {
    for (const ns of [undefined, 'tenant-1']) {
      const chat = await client.with({ ns }).chat('bytes');
      const subject = `chat.events.${ns || 'default'}.${chat}`;
      const { events, stop } = await listen(subject);
      const total = 1000;
      const replies = await inParallel(total, 128, (i) => client.call('Send', {
        chat_id: chat, user_id: `u${i % 7}`, client_id: `${i}`, subject: i % 2 ? 'S' : '', text: `text ${i} é👍`,
      }, { ns }));
      await eventually('all events are there', () => events.length >= total);
      const stored = [];
      while (stored.length < total) {
        const page = await client.call('History', { chat_id: chat, from_seq: stored.length + 1, limit: 1000 }, { ns });
        stored.push(...rawFields(page.bytes, 1));
      }
      assert.deepEqual(events.map(({ data }) => data.toString('hex')), stored.map((bytes) => bytes.toString('hex')));
      assert.deepEqual(seqs(events.map(({ data }) => decode(Message, data))), range(1, total));
      const bySeq = new Map(replies.map((reply) => [reply.value.message.seq, rawFields(reply.bytes, 1)[0]]));
      for (const [i, { data, reply }] of events.entries()) {
        assert.ok(data.equals(bySeq.get(i + 1)), `the reply of ${i + 1}`);
        assert.ok(!reply, 'nobody is asked to answer an event');
      }
      stop();
    }
  });

  test('there is none for a duplicate, a refusal or a New', async () => {
    const { events, stop } = await listen('chat.events.>');
    const chat = await client.chat('no duplicates');
    const fields = (n) => ({ chat_id: chat, user_id: 'u', client_id: `${n}`, text: `${n}` });
    await Promise.all(range(1, 20).map(() => client.Send(fields(1))));
    await client.Send(fields(1), { json: true });
    (await client.call('Send', { ...fields(1), text: 'other' })).refused(409, 'chat.Send.ClientIDReused');
    (await client.call('Send', { ...fields(2), text: '' })).refused(400, 'chat.Send.MissingText');
    (await client.call('Send', { ...fields(2), user_id: 'eve' }, { user: 'eve' })).refused(403, 'chat.Send.NotAMember');
    // Events come in order: once the last one is here, so is whatever came before it.
    await client.Send(fields('last'), { json: true });
    await eventually('the last event', () => events.some(({ data }) => decode(Message, data).client_id === 'last'));
    assert.deepEqual(events.map(({ data }) => decode(Message, data).client_id), ['1', 'last']);
    stop();
  });

  test('there is none for a duplicate after a restart, and numbering goes on', async () => {
    const chat = await client.chat('restarted');
    const fields = (n) => ({ chat_id: chat, user_id: 'u', client_id: `${n}`, text: `${n}` });
    await Promise.all(range(1, 10).map((n) => client.Send(fields(n))));
    await world.chatd.kill();
    await world.chatd.start();
    const { events, stop } = await listen(`chat.events.default.${chat}`);
    await Promise.all(range(1, 10).map((n) => client.Send(fields(n))));
    await client.Send(fields('last'));
    await eventually('the last event', () => events.length > 0);
    assert.deepEqual(events.map(({ data }) => decode(Message, data).seq), [11]);
    stop();
  });

  test('a Send without a reply subject has its event too', async () => {
    const chat = await client.chat('silent');
    const { events, stop } = await listen(`chat.events.default.${chat}`);
    client.connection.publish('chat.Send', encode(METHODS.Send.request, { chat_id: chat, user_id: 'u', text: 'hush' }));
    await eventually('the event', () => events.length === 1);
    assert.equal(decode(Message, events[0].data).text, 'hush');
    stop();
  });

  test('whoever catches up by seq and follows live misses nothing and repeats nothing', async () => {
    const chat = await client.chat('resumed');
    const total = 3000;
    let sending = true;
    const work = inParallel(total, 64, (i) => client.Send({ chat_id: chat, user_id: 'u', client_id: `${i}`, text: `${i}` }))
      .finally(() => { sending = false; });
    const followers = await inParallel(5, 5, async (i) => {
      await eventually('a good part is there', async () => (await client.History({ chat_id: chat, limit: 1 })).head_seq >= i * 400);
      const { events, stop } = await listen(`chat.events.default.${chat}`);
      const seen = seqs(await client.readAll(chat, { limit: 100 }));
      return { seen, events, stop };
    });
    await work;
    assert.equal(sending, false);
    for (const { seen, events, stop } of followers) {
      const live = () => seqs(events.map(({ data }) => decode(Message, data))).filter((seq) => seq > seen.length);
      await eventually('the last event', () => seen.length + live().length >= total);
      assert.deepEqual([...seen, ...live()], range(1, total));
      stop();
    }
  });
});
