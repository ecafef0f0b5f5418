'use strict';
// Nothing valid is refused, and each limit holds at, below and above it.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { World } = require('./harness');
const { range } = require('./client');

const KIB = 1024;

describe('what is valid is kept as it is', { timeout: 300000 }, () => {
  let world;
  let client;
  let chat;
  before(async () => {
    world = await World.start();
    client = await world.client();
    chat = await client.chat('ann', 'bob');
  });
  after(() => world && world.close());

  async function roundTrip(fields, options) {
    const all = { chat_id: chat, user_id: 'ann', subject: '', text: 'x', ...fields };
    const { message } = await client.Send(all, options);
    for (const json of [false, true]) {
      const [read] = (await client.History({ chat_id: chat, limit: 1 }, { json })).messages;
      assert.equal(read.id, message.id);
      for (const [name, value] of Object.entries(all)) assert.ok(read[name] === value, `${name} in ${json ? 'JSON' : 'protobuf'}`);
    }
  }

  const texts = {
    emoji: '👍 👩‍👩‍👧‍👦 🏳️‍🌈 🇫🇷',
    newlines: 'one\ntwo\r\nthree\n\n\n',
    'right to left': 'שלום עולם \u202eمرحبا\u202c',
    'combining marks': 'e\u0301 Z̷̢͍a̴̛l̵͝g̷̈́o̶',
    'control characters': '\u0001\u0008\u001b[31m\u007f\u0085',
    'white space only': ' \t\n ',
    'byte order mark': '\ufeffx',
    'noncharacters and the last code point': '\ufffe\uffff\u{10ffff}',
    'what looks like something else': '"}],"x":{\\u0000 %s %n \' OR 1=1 -- <script> \r\nMSG x 1 0',
    '64 KiB': 'x'.repeat(64 * KIB),
    '64 KiB of emoji': '👍'.repeat(16 * KIB),
    '64 KiB of newlines': '\n'.repeat(64 * KIB),
    '64 KiB of quotes': '"'.repeat(64 * KIB),
    'one character': '.',
  };
  for (const [name, text] of Object.entries(texts)) {
    test(`text: ${name}`, async () => {
      await roundTrip({ text });
      await roundTrip({ text }, { json: true });
      if (text.length <= KIB) await roundTrip({ subject: text });
    });
  }

  test('64 KiB and a byte is refused, and takes no number', async () => {
    const { head_seq: before } = await client.History({ chat_id: chat, limit: 1 });
    for (const text of ['x'.repeat(64 * KIB + 1), `${'👍'.repeat(16 * KIB)}x`]) {
      for (const json of [false, true]) {
        (await client.call('Send', { chat_id: chat, user_id: 'ann', text }, { json })).refused(413, 'chat.Send.TooLarge');
      }
    }
    assert.equal((await client.History({ chat_id: chat, limit: 1 })).head_seq, before);
  });

  test('a subject of 1 KiB is taken, a byte more is not', async () => {
    await roundTrip({ subject: 's'.repeat(KIB - 1) });
    await roundTrip({ subject: 's'.repeat(KIB) });
    await roundTrip({ subject: 'é'.repeat(KIB / 2) });
    (await client.call('Send', { chat_id: chat, user_id: 'ann', text: 'x', subject: 's'.repeat(KIB + 1) })).refused(413, 'chat.Send.TooLarge');
  });

  const ids = ['a.b.c', 'two words', ' leading and trailing ', 'ann@example.com', '*', '>', 'a.>', '$SRV', 'é', '👩‍🚀', 'שרה', '"', '\\', '/', "'",
    '%00', '\u00a0', '-', '0', 'null', 'a'.repeat(128), 'é'.repeat(64), '👍'.repeat(32), '\u200b'];
  for (const id of ids) {
    test(`id ${JSON.stringify(id.slice(0, 20))} of ${Buffer.byteLength(id)} bytes`, async () => {
      await roundTrip({ user_id: id, client_id: id });
      await roundTrip({ user_id: id, client_id: `j${[...id].slice(1).join('')}` }, { json: true });
      const made = await client.New({ user_ids: [id, 'with'] });
      assert.equal(made.created, true);
      assert.deepEqual(await client.New({ user_ids: ['with', id] }, { json: true }), { ...made, created: false });
    });
  }

  test('ids of 129 bytes are refused', async () => {
    for (const id of ['a'.repeat(129), `${'é'.repeat(64)}x`]) {
      (await client.call('Send', { chat_id: chat, user_id: id, text: 'x' })).refused(400, 'chat.Send.InvalidUserID');
      (await client.call('Send', { chat_id: chat, user_id: 'ann', client_id: id, text: 'x' })).refused(400, 'chat.Send.InvalidClientID');
      (await client.call('New', { user_ids: [id] })).refused(400, 'chat.New.InvalidUserID');
    }
  });

  test('1 to 1000 users', async () => {
    const users = (count) => range(1, count).map((i) => `${i}`.padEnd(128, 'u'));
    for (const count of [1, 2, 999, 1000]) {
      const made = await client.New({ user_ids: users(count) });
      assert.equal(made.created, true);
      assert.deepEqual(await client.New({ user_ids: users(count).reverse() }), { ...made, created: false });
      await client.Send({ chat_id: made.chat_id, text: 'x' }, { user: users(count).at(-1) });
    }
    (await client.call('New', { user_ids: range(1, 1001).map(String) })).refused(413, 'chat.New.TooLarge');
  });

  test('all of it is there after a restart', async () => {
    const before = await client.readAll(chat);
    await world.chatd.kill();
    await world.chatd.start();
    assert.deepEqual(await client.readAll(chat), before);
    await world.chatd.stop();
    await world.chatd.start();
    assert.deepEqual(await client.readAll(chat, { backward: true }), before);
  });
});
