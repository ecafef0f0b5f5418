'use strict';
// Every row of the error table, in protobuf and in JSON; and after each refusal the next good
// request is answered. (503 and 507 have files of their own.)

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { randomUUID } = require('node:crypto');
const { after, before, describe, test } = require('node:test');
const { World } = require('./harness');
const { encode, METHODS, range, rawMessage } = require('./client');

const bytes = (...values) => Buffer.from(values);
const BAD_UTF8 = [bytes(0xff), bytes(0x61, 0xc3), bytes(0xc0, 0x80), bytes(0xed, 0xa0, 0x80), bytes(0xf4, 0x90, 0x80, 0x80)];
const CONTROL = ['a\nb', '\u0001', 'a\u007fb', 'tab\t', '\u0085'];
const NUL = 'a\u0000b';

describe('refusals', { timeout: 300000 }, () => {
  let world;
  let client;
  let chat;
  let good = 0;
  before(async () => {
    world = await World.start();
    client = await world.client();
    chat = await client.chat('ann', 'bob');
    await client.Send({ chat_id: chat, user_id: 'ann', client_id: 'taken', subject: 's', text: 't' });
  });
  after(() => world && world.close());

  // The chat works as before, and what was refused has left nothing behind.
  async function stillGood() {
    good++;
    const { message } = await client.Send({ chat_id: chat, user_id: 'ann', text: `good ${good}` });
    assert.equal(message.seq, good + 1);
    const page = await client.History({ chat_id: chat, limit: 1 }, { json: true });
    assert.equal(page.head_seq, good + 1);
  }

  const send = (more) => ({ chat_id: chat, user_id: 'ann', text: 'x', ...more });
  const users = (count) => range(1, count).map((i) => `user ${i}`);

  // [code, id, fields, options]
  const rows = () => [
    [400, 'chat.New.MissingUserIDs', {}],
    [400, 'chat.New.MissingUserIDs', { user_ids: [] }],
    [400, 'chat.New.InvalidUserID', { user_ids: [''] }],
    [400, 'chat.New.InvalidUserID', { user_ids: ['ann', ''] }],
    [400, 'chat.New.InvalidUserID', { user_ids: ['x'.repeat(129)] }],
    [400, 'chat.New.InvalidUserID', { user_ids: ['é'.repeat(65)] }],
    ...[...CONTROL, NUL].map((id) => [400, 'chat.New.InvalidUserID', { user_ids: ['ann', id] }]),
    [403, 'chat.New.NotAMember', { user_ids: ['ann', 'bob'] }, { user: 'eve' }],
    [413, 'chat.New.TooLarge', { user_ids: users(1001) }],
    [413, 'chat.New.TooLarge', { user_ids: Array(3000).fill('x'.repeat(100)) }],

    [400, 'chat.Send.MissingChatID', {}],
    [400, 'chat.Send.MissingChatID', { user_id: 'ann', text: 'x' }],
    [400, 'chat.Send.MissingUserID', send({ user_id: '' })],
    [400, 'chat.Send.MissingText', send({ text: '' })],
    [400, 'chat.Send.InvalidUserID', send({ user_id: 'x'.repeat(129) })],
    ...[...CONTROL, NUL].map((id) => [400, 'chat.Send.InvalidUserID', send({ user_id: id })]),
    [400, 'chat.Send.InvalidClientID', send({ client_id: 'x'.repeat(129) })],
    ...[...CONTROL, NUL].map((id) => [400, 'chat.Send.InvalidClientID', send({ client_id: id })]),
    [400, 'chat.Send.InvalidSubject', send({ subject: NUL })],
    [400, 'chat.Send.InvalidText', send({ text: NUL })],
    [403, 'chat.Send.WrongUser', send({ user_id: 'bob' }), { user: 'ann' }],
    [403, 'chat.Send.NotAMember', send({ user_id: 'eve' }), { user: 'eve' }],
    [404, 'chat.Send.InvalidChatID', send({ chat_id: randomUUID() })],
    [404, 'chat.Send.InvalidChatID', send({ chat_id: 'no uuid' })],
    [404, 'chat.Send.InvalidChatID', send({ chat_id: `${chat}0` })],
    [404, 'chat.Send.InvalidChatID', send({ chat_id: `{${chat}}` })],
    [404, 'chat.Send.InvalidChatID', send({ chat_id: chat.replaceAll('-', '') })],
    [404, 'chat.Send.InvalidChatID', send(), { ns: 'other' }],
    [409, 'chat.Send.ClientIDReused', send({ client_id: 'taken', text: 'other', subject: 's' })],
    [409, 'chat.Send.ClientIDReused', send({ client_id: 'taken', text: 't', subject: 'other' })],
    [413, 'chat.Send.TooLarge', send({ text: 'x'.repeat(64 * 1024 + 1) })],
    [413, 'chat.Send.TooLarge', send({ text: 'x'.repeat(300 * 1024) })],
    [413, 'chat.Send.TooLarge', send({ subject: 'x'.repeat(1025) })],
    [413, 'chat.Send.TooLarge', send({ subject: 'é'.repeat(513) })],

    [400, 'chat.History.MissingChatID', {}],
    [400, 'chat.History.MissingChatID', { limit: 5 }],
    [400, 'chat.History.InvalidRange', { chat_id: chat, from_seq: 2, before_seq: 1 }],
    [400, 'chat.History.InvalidRange', { chat_id: chat, from_seq: '18446744073709551615', before_seq: 100 }],
    [403, 'chat.History.NotAMember', { chat_id: chat }, { user: 'eve' }],
    [404, 'chat.History.InvalidChatID', { chat_id: randomUUID() }],
    [404, 'chat.History.InvalidChatID', { chat_id: 'no uuid' }],
    [404, 'chat.History.InvalidChatID', { chat_id: chat }, { ns: 'other' }],
  ];
  for (const json of [false, true]) {
    test(`the table, in ${json ? 'JSON' : 'protobuf'}`, async (t) => {
      for (const [code, id, fields, options] of rows()) {
        const what = JSON.stringify(fields).replaceAll(chat, '<chat>');
        await t.test(`${code} ${id} ${what.slice(0, 70)} ${JSON.stringify(options || '')}`, async () => {
          const method = id.split('.')[1];
          const reply = await client.call(method, fields, { ...options, json });
          const { detail } = reply.refused(code, id);
          assert.doesNotMatch(detail, /[\x00-\x1f\x7f]/, 'no control character gets into a header');
          assert.ok(detail.length < 1024);
          await stillGood();
        });
      }
    });
  }

  test('1001 users of which one is repeated are 1000', async () => {
    const made = await client.New({ user_ids: [...users(1000), 'user 1'] });
    assert.equal(made.created, true);
  });

  test('invalid UTF-8 is refused by field', async () => {
    const id = Buffer.from(chat);
    for (const bad of BAD_UTF8) {
      for (const [method, reason, fields] of [
        ['New', 'InvalidUserID', [[1, Buffer.from('ann')], [1, bad]]],
        ['Send', 'InvalidClientID', [[1, bad], [2, id], [3, Buffer.from('ann')], [5, Buffer.from('x')]]],
        ['Send', 'InvalidUserID', [[2, id], [3, bad], [5, Buffer.from('x')]]],
        ['Send', 'InvalidSubject', [[2, id], [3, Buffer.from('ann')], [4, bad], [5, Buffer.from('x')]]],
        ['Send', 'InvalidText', [[2, id], [3, Buffer.from('ann')], [5, bad]]],
      ]) {
        (await client.raw(method, rawMessage(fields))).refused(400, `chat.${method}.${reason}`);
      }
      (await client.raw('Send', rawMessage([[2, bad], [3, Buffer.from('ann')], [5, Buffer.from('x')]])))
        .refused(404, 'chat.Send.InvalidChatID');
      const text = Buffer.concat([Buffer.from(`{"chat_id":"${chat}","user_id":"ann","text":"`), bad, Buffer.from('"}')]);
      const reply = await client.raw('Send', text, { json: true });
      assert.equal(reply.error && reply.error.code, 400);
    }
    await stillGood();
  });

  test('what does not decode is Malformed', async () => {
    const cases = [
      bytes(0xff), bytes(0x0a), bytes(0x0a, 0x05, 0x61), bytes(0x80), bytes(0x00), bytes(0x07), bytes(0x0f),
      Buffer.alloc(11, 0xff), bytes(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f), bytes(0x0c), // An end of a group that never began.
      bytes(0x0b), Buffer.alloc(100000, 0x0b), // Groups that never end.
      Buffer.from('{"user_ids":["ann"]}'), // JSON without its header.
    ];
    for (const method of ['New', 'Send', 'History']) {
      for (const each of cases) {
        const reply = await client.raw(method, each);
        reply.refused(400, `chat.${method}.Malformed`);
      }
      (await client.raw(method, '{"', { json: true })).refused(400, `chat.${method}.Malformed`);
      await stillGood();
    }
  });

  test('unknown protobuf fields are ignored, as proto3 asks', async () => {
    const known = Buffer.from(encode(METHODS.History.request, { chat_id: chat, limit: 1 }));
    for (const unknown of [
      bytes(0x78, 0x01), // Field 15, a varint.
      bytes(0x7a, 0x03, 0x61, 0x62, 0x63), // Field 15, bytes.
      bytes(0x7d, 1, 2, 3, 4), bytes(0x79, 1, 2, 3, 4, 5, 6, 7, 8), // Fixed 32 and 64.
      bytes(0x7b, 0x08, 0x01, 0x7c), // A group.
      bytes(0xa2, 0x06, 0x00), // Field 100, empty.
    ]) {
      for (const request of [Buffer.concat([known, unknown]), Buffer.concat([unknown, known])]) {
        const reply = await client.raw('History', request);
        assert.ok(reply.value, JSON.stringify(reply.error));
        assert.equal(reply.value.messages.length, 1);
      }
    }
    const hundredThousand = Buffer.concat([known, ...Array(100000).fill(bytes(0x78, 0x01))]);
    const reply = await client.raw('History', hundredThousand);
    assert.ok(reply.value || reply.error.code < 500, JSON.stringify(reply.error));
    await stillGood();
  });

  test('a request of 256 KiB is read, one byte more is TooLarge before anything else', async () => {
    const limit = 256 * 1024;
    const filled = (size) => {
      const request = Buffer.from(encode(METHODS.History.request, { chat_id: chat, limit: 1 }));
      // Field 15 as filler: a tag, a length of three bytes.
      return rawConcat(request, size);
    };
    const rawConcat = (request, size) => {
      const length = size - request.length - 4;
      return Buffer.concat([request, bytes(0x7a, (length & 0x7f) | 0x80, ((length >> 7) & 0x7f) | 0x80, length >> 14), Buffer.alloc(length)]);
    };
    assert.equal(filled(limit).length, limit);
    assert.ok((await client.raw('History', filled(limit - 1))).value);
    assert.ok((await client.raw('History', filled(limit))).value);
    for (const method of ['New', 'Send', 'History']) {
      for (const json of [false, true]) {
        (await client.raw(method, Buffer.alloc(limit + 1, 0xff), { json })).refused(413, `chat.${method}.TooLarge`);
        const reply = await client.raw(method, Buffer.alloc(limit, 0xff), { json });
        reply.refused(400, `chat.${method}.Malformed`);
      }
    }
    const spaces = `{"chat_id":"${chat}"}`.padEnd(limit, ' ');
    assert.ok((await client.raw('History', spaces, { json: true })).value);
    await stillGood();
  });

  test('an unknown method is answered', async () => {
    for (const json of [false, true]) {
      for (const method of ['Foo', 'new', 'Delete', 'Edit_1']) {
        (await client.raw(method, '', { json })).refused(404, `chat.${method}.UnknownMethod`);
        (await client.raw(method, '', { json, ns: 'tenant' })).refused(404, `chat.${method}.UnknownMethod`);
      }
    }
    await stillGood();
  });

  test('damaged data is 500 Internal, and only for its chat', async () => {
    const marker = `marker ${randomUUID()}`;
    const damaged = await client.chat('damaged');
    await client.Send({ chat_id: damaged, user_id: 'u', text: marker });
    await world.chatd.stop();
    const file = databaseFile(world.chatd.dataDirectory);
    const stored = fs.readFileSync(file);
    let found = 0;
    for (let at = stored.indexOf(marker); at >= 0; at = stored.indexOf(marker, at + 1)) {
      stored[at] ^= 1;
      found++;
    }
    assert.ok(found > 0, 'the text is in the database');
    fs.writeFileSync(file, stored);
    await world.chatd.start();
    for (const json of [false, true]) {
      (await client.call('History', { chat_id: damaged }, { json })).refused(500, 'chat.History.Internal');
    }
    await stillGood();
  });
});

function databaseFile(directory) {
  const file = path.join(directory, 'chats.mdb');
  return fs.statSync(file).isDirectory() ? path.join(file, 'data.mdb') : file;
}
