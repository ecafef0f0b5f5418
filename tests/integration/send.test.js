'use strict';
// Send: a retry with the same client id gets the original message, now and much later.

const assert = require('node:assert/strict');
const { randomUUID } = require('node:crypto');
const { after, before, describe, test } = require('node:test');
const { World, inParallel, scaled } = require('./harness');
const { range } = require('./client');

const FURTHER = scaled(100000);

describe('Send', { timeout: 300000 }, () => {
  let world;
  let client;
  before(async () => {
    world = await World.start();
    client = await world.client();
  });
  after(() => world && world.close());

  const fresh = () => client.chat(randomUUID());
  const fieldsFor = (chat, more = {}) => ({
    client_id: randomUUID(), chat_id: chat, user_id: 'john', subject: 'Hello', text: 'Hey', ...more,
  });

  test('a message without client_id gets a fresh one each time', async () => {
    const chat = await fresh();
    const sent = await Promise.all(range(1, 20).map(() => client.Send({ chat_id: chat, user_id: 'u', text: 'same' })));
    assert.ok(sent.every((reply) => reply.duplicate === false));
    assert.equal(new Set(sent.map((reply) => reply.message.client_id)).size, 20);
    for (const { message } of sent) assert.match(message.client_id, /^[0-9a-f-]{36}$/);
    assert.equal(new Set(sent.map((reply) => reply.message.id)).size, 20);
  });

  test('a retry gets the same message', async () => {
    const fields = fieldsFor(await fresh());
    const first = await client.Send(fields);
    assert.equal(first.duplicate, false);
    for (const json of [false, false, true]) {
      const again = await client.Send(fields, { json });
      assert.equal(again.duplicate, true);
      if (!json) assert.deepEqual(again.message, first.message);
      else assert.deepEqual([again.message.id, again.message.seq], [first.message.id, first.message.seq]);
    }
    assert.equal((await client.History({ chat_id: fields.chat_id })).head_seq, 1);
  });

  test('a retry while the first is in flight gets the same message', async () => {
    for (const _ of range(1, 20)) {
      const fields = fieldsFor(await fresh());
      const replies = await Promise.all(range(1, 50).map(() => client.Send(fields)));
      assert.equal(replies.filter((reply) => !reply.duplicate).length, 1);
      for (const reply of replies) assert.deepEqual(reply.message, replies[0].message);
      assert.equal((await client.History({ chat_id: fields.chat_id })).head_seq, 1);
    }
  });

  test('another text or subject under the same client id is refused, in flight and later', async () => {
    const fields = fieldsFor(await fresh());
    const others = [{ text: 'Other' }, { subject: 'Other' }, { subject: '' }, { subject: 'Hey', text: 'Hello' }];
    const racing = await Promise.all([fields, ...others.map((other) => ({ ...fields, ...other }))]
      .map((each) => client.call('Send', each)));
    assert.equal(racing.filter((reply) => reply.value).length, 1, 'one of them wins');
    for (const reply of racing.filter((each) => each.error)) reply.refused(409, 'chat.Send.ClientIDReused');
    const [winner] = (await client.History({ chat_id: fields.chat_id })).messages;
    const wins = { ...fields, subject: winner.subject, text: winner.text };
    assert.deepEqual((await client.Send(wins)).message, winner);
    for (const json of [false, true]) {
      (await client.call('Send', { ...wins, text: `${wins.text}!` }, { json })).refused(409, 'chat.Send.ClientIDReused');
      (await client.call('Send', { ...wins, subject: `${wins.subject}!` }, { json })).refused(409, 'chat.Send.ClientIDReused');
    }
    assert.equal((await client.History({ chat_id: fields.chat_id })).head_seq, 1);
  });

  test('the same client id of another user, or in another chat, is a new message', async () => {
    const chat = await fresh();
    const fields = fieldsFor(chat, { user_id: 'ab', client_id: 'c' });
    const first = await client.Send(fields);
    const others = [
      { ...fields, user_id: 'other' },
      { ...fields, user_id: 'a', client_id: 'bc' }, // The same letters, cut elsewhere.
      { ...fields, user_id: 'abc', client_id: 'x' },
      { ...fields, chat_id: await fresh() },
    ];
    for (const other of others) {
      const sent = await client.Send(other);
      assert.equal(sent.duplicate, false);
      assert.notEqual(sent.message.id, first.message.id);
    }
    assert.equal((await client.History({ chat_id: chat })).head_seq, 4);
  });

  test('a sender need not be among the users of the chat', async () => {
    const chat = await client.chat('only me');
    assert.equal((await client.Send({ chat_id: chat, user_id: 'a stranger', text: 'x' })).message.user_id, 'a stranger');
  });

  test('a chat id in capital letters, if it is taken at all, is the same chat', async () => {
    const chat = await fresh();
    const reply = await client.call('Send', { chat_id: chat.toUpperCase(), user_id: 'u', text: 'x' });
    if (reply.error) reply.refused(404, 'chat.Send.InvalidChatID');
    else assert.equal(reply.value.message.chat_id, chat);
  });

  test('sent_at never goes back within what one caller sends', async () => {
    const chat = await fresh();
    let last = 0;
    for (const _ of range(1, 50)) {
      const { message } = await client.Send({ chat_id: chat, user_id: 'u', text: 'x' });
      const now = message.sent_at.seconds + message.sent_at.nanos / 1e9;
      assert.ok(now >= last - 1 && Math.abs(now - Date.now() / 1000) < 60);
      last = now;
    }
  });

  test('retries get their message after restarts, and after many further messages', async (t) => {
    const chat = await fresh();
    const chats = [chat, ...await Promise.all(range(1, 20).map(fresh))];
    const early = await Promise.all(range(1, 60).map(async (i) => {
      const fields = fieldsFor(chats[i % chats.length], { text: `early ${i}` });
      return { fields, first: await client.Send(fields) };
    }));
    const checkEarly = async () => {
      for (const { fields, first } of early) {
        assert.deepEqual(await client.Send(fields), { message: first.message, duplicate: true });
      }
      (await client.call('Send', { ...early[0].fields, text: 'other' })).refused(409, 'chat.Send.ClientIDReused');
    };

    await t.test('after kill -9', async () => {
      await world.chatd.kill();
      await world.chatd.start();
      await checkEarly();
    });
    await t.test('after SIGTERM', async () => {
      await world.chatd.stop();
      await world.chatd.start();
      await checkEarly();
    });
    await t.test(`while ${FURTHER} further messages settle`, async () => {
      const senders = await inParallel(4, 4, () => world.client());
      let sending = true;
      const checks = (async () => {
        while (sending) await checkEarly();
      })();
      await inParallel(FURTHER, 1024, (i) => senders[i % 4].Send({
        chat_id: chats[i % chats.length], user_id: 'u', text: `further ${i}`,
      }));
      sending = false;
      await checks;
      await checkEarly();
      const heads = await Promise.all(chats.map(async (id) => (await client.History({ chat_id: id, limit: 1 })).head_seq));
      assert.equal(heads.reduce((sum, head) => sum + head, 0), FURTHER + early.length);
    });
    await t.test('and after kill -9 and SIGTERM once more', async () => {
      await world.chatd.kill();
      await world.chatd.start();
      await checkEarly();
      await world.chatd.stop();
      await world.chatd.start();
      await checkEarly();
    });
  });
});
