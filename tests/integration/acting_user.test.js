'use strict';
// Chat-User: a request on behalf of a user is checked; without the header the caller is trusted.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const nats = require('nats');
const { World } = require('./harness');
const { encode, METHODS } = require('./client');

describe('Chat-User', { timeout: 300000 }, () => {
  let world;
  let plain;
  before(async () => {
    world = await World.start();
    plain = await world.client();
  });
  after(() => world && world.close());

  for (const json of [false, true]) {
    describe(json ? 'in JSON' : 'in protobuf', () => {
      const name = json ? 'json ann' : 'ann';
      let client;
      let chat;
      before(async () => {
        client = plain.with({ json });
        chat = await client.chat(name, 'bob');
      });
      const as = (user) => client.with({ user });

      test('New must include the user', async () => {
        assert.deepEqual(await as(name).New({ user_ids: ['bob', name] }), { chat_id: chat, created: false });
        assert.equal((await as(`${name} 2`).New({ user_ids: ['bob', `${name} 2`] })).created, true);
        for (const users of [['bob'], [`${name}x`], ['bob', name.toUpperCase()]]) {
          (await as(name).call('New', { user_ids: users })).refused(403, 'chat.New.NotAMember');
        }
        (await as(name).call('New', {})).refused(400, 'chat.New.MissingUserIDs');
        // Refused means not made.
        assert.equal((await client.New({ user_ids: [`only ${json}`, 'x'] }, { user: 'x' })).created, true);
        (await client.call('New', { user_ids: [`refused ${json}`] }, { user: 'x' })).refused(403, 'chat.New.NotAMember');
        assert.equal((await client.New({ user_ids: [`refused ${json}`] })).created, true);
      });

      test("Send's user_id must be that user, and is filled in when empty", async () => {
        const filled = await as(name).Send({ chat_id: chat, text: 'filled in', client_id: 'f' });
        assert.equal(filled.message.user_id, name);
        const given = await as('bob').Send({ chat_id: chat, user_id: 'bob', text: 'given' });
        assert.equal(given.message.user_id, 'bob');
        (await as(name).call('Send', { chat_id: chat, user_id: 'bob', text: 'forged' })).refused(403, 'chat.Send.WrongUser');
        // The key of a retry is the user, named or filled in.
        const again = await client.Send({ chat_id: chat, user_id: name, text: 'filled in', client_id: 'f' });
        assert.deepEqual(again, { ...filled, duplicate: true });
        assert.equal((await client.History({ chat_id: chat })).head_seq, 2);
      });

      test('Send and History need one of the users of the chat', async () => {
        for (const user of ['eve', 'b', 'bobby', 'BOB']) {
          (await as(user).call('Send', { chat_id: chat, user_id: user, text: 'x' })).refused(403, 'chat.Send.NotAMember');
          (await as(user).call('Send', { chat_id: chat, text: 'x' })).refused(403, 'chat.Send.NotAMember');
          (await as(user).call('History', { chat_id: chat })).refused(403, 'chat.History.NotAMember');
        }
        assert.equal((await as('bob').History({ chat_id: chat })).head_seq, 2);
        assert.equal((await as(name).History({ chat_id: chat })).head_seq, 2);
        assert.equal((await client.History({ chat_id: chat })).head_seq, 2);
      });

      test('a retry of somebody who is no member tells nothing', async () => {
        await client.Send({ chat_id: chat, user_id: 'eve', client_id: 'trusted', text: 'by a trusted service' });
        (await as('eve').call('Send', { chat_id: chat, user_id: 'eve', client_id: 'trusted', text: 'by a trusted service' }))
          .refused(403, 'chat.Send.NotAMember');
        (await as('eve').call('Send', { chat_id: chat, user_id: 'eve', client_id: 'trusted', text: 'other' }))
          .refused(403, 'chat.Send.NotAMember');
      });

      test('no such chat is 404 for whoever asks', async () => {
        const none = '00000000-0000-4000-8000-000000000000';
        (await as(name).call('Send', { chat_id: none, text: 'x' })).refused(404, 'chat.Send.InvalidChatID');
        (await as(name).call('History', { chat_id: none })).refused(404, 'chat.History.InvalidChatID');
        (await as(name).call('History', { chat_id: chat }, { ns: 'elsewhere' })).refused(404, 'chat.History.InvalidChatID');
      });

      test('a header that is no user id is refused, not ignored', async () => {
        for (const user of ['x'.repeat(129), 'a\u0001b', '\u0085']) {
          for (const [method, fields] of [
            ['New', { user_ids: ['bob', name] }],
            ['Send', { chat_id: chat, user_id: name, text: 'x' }],
            ['History', { chat_id: chat }],
          ]) {
            (await as(user).call(method, fields)).refused(400, `chat.${method}.InvalidUserID`);
          }
        }
      });

      test('users with other alphabets and signs', async () => {
        const users = ['ann@example.com', 'Ω mega', 'שרה', '👩‍🚀', 'a.b.*.>'];
        const many = await client.chat(...users);
        for (const user of users) {
          assert.equal((await as(user).Send({ chat_id: many, text: 'x' })).message.user_id, user);
          await as(user).History({ chat_id: many });
        }
      });

      test('members are remembered over restarts', async () => {
        await world.chatd.kill();
        await world.chatd.start();
        (await as('eve').call('History', { chat_id: chat })).refused(403, 'chat.History.NotAMember');
        await as('bob').History({ chat_id: chat });
        await world.chatd.stop();
        await world.chatd.start();
        (await as('eve').call('Send', { chat_id: chat, text: 'x' })).refused(403, 'chat.Send.NotAMember');
        await as(name).Send({ chat_id: chat, text: 'x' });
      });
    });
  }

  // A request with exactly these header lines, in this order.
  async function ask(lines, method, body) {
    const headers = nats.headers();
    for (const [name, value] of lines) headers.append(name, value);
    const reply = await plain.connection.request(`chat.${method}`, body, { headers, timeout: 5000 });
    return { code: reply.headers ? Number(reply.headers.get('Nats-Service-Error-Code')) : 0, data: reply.data, json: () => reply.json() };
  }
  const history = (chat) => JSON.stringify({ chat_id: chat });

  test('media types are compared without case, and parameters do not matter', async () => {
    const chat = await plain.chat('case');
    for (const type of ['application/json', 'application/json; charset=utf-8', 'Application/JSON', 'application/json;x=y']) {
      assert.equal((await ask([['Content-Type', type]], 'History', history(chat))).json().head_seq, 0, type);
    }
    for (const type of ['application/jsonp', 'text/json', 'application/x-protobuf']) {
      assert.equal((await ask([['Content-Type', type]], 'History', history(chat))).code, 400, type);
    }
  });

  const JSON_TYPE = ['Content-Type', 'application/json'];
  const EVE = ['Chat-User', 'eve'];
  for (const [what, lines] of [
    ['first', [EVE, JSON_TYPE]],
    ['last', [JSON_TYPE, EVE]],
    ['behind a header without a value', [['Traceparent', ''], EVE, JSON_TYPE]],
    ['behind several of them', [JSON_TYPE, ['A', ''], ['B', ''], EVE]],
    ['behind a white one', [JSON_TYPE, ['A', '  '], EVE]],
    ['behind a Content-Type without a value', [['Content-Type', ''], EVE, ['content-type', 'application/json']]],
    ['in small letters', [JSON_TYPE, ['A', ''], ['chat-user', 'eve']]],
    ['twice', [JSON_TYPE, ['Chat-User', 'ann'], EVE]],
    ['twice, in two spellings', [JSON_TYPE, ['Chat-User', 'ann'], ['chat-user', 'eve']]],
    ['twice, the second behind a header without a value', [JSON_TYPE, ['Chat-User', 'ann'], ['A', ''], EVE]],
  ]) {
    test(`no other header hides a Chat-User that is given ${what}`, async () => {
      const chat = await plain.chat('ann', 'hidden');
      for (const [method, body] of [
        ['New', JSON.stringify({ user_ids: ['ann', 'hidden'] })],
        ['Send', JSON.stringify({ chat_id: chat, user_id: 'ann', text: 'forged' })],
        ['History', history(chat)],
      ]) {
        const { code } = await ask(lines, method, body);
        assert.ok(code === 403 || code === 400, `${method}: ${code || 'carried out'}`);
      }
      assert.equal((await plain.History({ chat_id: chat })).head_seq, 0);
    });
  }

  test('a Chat-User without a value is nobody, not a trusted service', async () => {
    const chat = await plain.chat('ann', 'nobody');
    const body = Buffer.from(encode(METHODS.History.request, { chat_id: chat }));
    for (const lines of [[['Chat-User', '']], [['Chat-User', ''], ['A', 'b']], [['A', 'b'], ['Chat-User', ' ']]]) {
      const { code } = await ask(lines, 'History', body);
      assert.ok(code === 400 || code === 403, `${code || 'carried out'}`);
    }
    for (const lines of [[['Chat-User', ''], JSON_TYPE], [JSON_TYPE, ['Chat-User', '']]]) {
      const { code } = await ask(lines, 'History', history(chat));
      assert.ok(code === 400 || code === 403, `${code || 'carried out'}`);
    }
  });

  test('headers without a value do not hide the Content-Type', async () => {
    const chat = await plain.chat('empty header');
    for (const lines of [[['A', ''], JSON_TYPE], [['A', ''], ['B', ''], JSON_TYPE], [['A', ' '], JSON_TYPE, ['B', 'c']]]) {
      assert.equal((await ask(lines, 'History', history(chat))).json().head_seq, 0);
    }
  });
});
