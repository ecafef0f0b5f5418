'use strict';
// New: the same set of users is the same chat; namespaces are worlds apart.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { World, inParallel } = require('./harness');
const { range } = require('./client');

describe('New', { timeout: 300000 }, () => {
  let world;
  let client;
  before(async () => {
    world = await World.start();
    client = await world.client();
  });
  after(() => world && world.close());

  test('the order of the users and repeats do not matter', async () => {
    const first = await client.New({ user_ids: ['john', 'barry', 'ann'] });
    assert.equal(first.created, true);
    for (const users of [
      ['john', 'barry', 'ann'], ['ann', 'barry', 'john'], ['barry', 'john', 'ann', 'john', 'barry'],
    ]) {
      assert.deepEqual(await client.New({ user_ids: users }), { chat_id: first.chat_id, created: false });
      assert.deepEqual(await client.New({ user_ids: users }, { json: true }), { chat_id: first.chat_id, created: false });
    }
  });

  test('other sets of users are other chats', async () => {
    const sets = [
      ['a', 'b_c'], ['a_b', 'c'], ['a', 'b', 'c'], ['a_b_c'], ['a,b', 'c'], ['a', 'b,c'], ['a b', 'c'],
      ['a', 'b c'], ['ab', 'c'], ['a', 'bc'], ['abc'], ['A', 'b_c'], ['a'], ['a', 'b'], ['é'], ['e\u0301'],
      ['a', 'b_c', 'd'],
    ];
    const made = [];
    for (const users of sets) made.push(await client.New({ user_ids: users }));
    assert.ok(made.every((reply) => reply.created));
    assert.equal(new Set(made.map((reply) => reply.chat_id)).size, sets.length);
    for (const [i, users] of sets.entries()) {
      assert.deepEqual(await client.New({ user_ids: users }), { chat_id: made[i].chat_id, created: false });
    }
  });

  test('100 callers at once make one chat', async () => {
    const clients = await inParallel(10, 10, () => world.client());
    for (const round of range(1, 5)) {
      const replies = await Promise.all(range(0, 99).map((i) => clients[i % 10].New({
        user_ids: i % 2 ? [`at once ${round}`, 'x'] : ['x', `at once ${round}`],
      }, { json: i % 3 === 0 })));
      assert.equal(new Set(replies.map((reply) => reply.chat_id)).size, 1);
      assert.equal(replies.filter((reply) => reply.created).length, 1);
    }
  });

  test('namespaces do not see each other', async () => {
    const names = [undefined, 'one', 'two', 'One', '0', '-', '_', 'x'.repeat(64)];
    const chats = [];
    for (const ns of names) {
      const reply = await client.New({ user_ids: ['ns user'] }, { ns });
      assert.equal(reply.created, true, `the chat is new in ${ns}`);
      chats.push(reply.chat_id);
      const sent = await client.Send({ chat_id: reply.chat_id, user_id: 'u', client_id: 'same', text: `in ${ns}` }, { ns });
      assert.equal(sent.duplicate, false, 'a client id of another namespace is not known here');
      assert.equal(sent.message.seq, 1);
    }
    assert.equal(new Set(chats).size, names.length);
    for (const [i, ns] of names.entries()) {
      for (const [j, other] of names.entries()) {
        const read = await client.call('History', { chat_id: chats[j] }, { ns });
        if (i === j) assert.equal(read.value.messages[0].text, `in ${ns}`);
        else read.refused(404, 'chat.History.InvalidChatID');
        if (i !== j) {
          (await client.call('Send', { chat_id: chats[j], user_id: 'u', text: `from ${other}` }, { ns }))
            .refused(404, 'chat.Send.InvalidChatID');
        }
      }
    }
  });

  test('no namespace is the namespace "default"', async () => {
    const made = await client.New({ user_ids: ['default user'] });
    assert.deepEqual(await client.New({ user_ids: ['default user'] }, { ns: 'default' }), { ...made, created: false });
    await client.Send({ chat_id: made.chat_id, user_id: 'u', text: 'x' }, { ns: 'default' });
    assert.equal((await client.History({ chat_id: made.chat_id })).head_seq, 1);
  });

  test('what is no namespace is refused, and answered', async () => {
    for (const ns of ['x'.repeat(65), 'a!', 'é', 'a:b', 'a=b', 'a%20b', 'a.b', 'a.b.c', '*', 'a.*', '>']) {
      for (const json of [false, true]) {
        for (const [method, fields] of [['New', { user_ids: ['u'] }], ['Send', {}], ['History', {}]]) {
          (await client.call(method, fields, { ns, json })).refused(400, `chat.${method}.Malformed`);
        }
      }
    }
  });

  test('chats are there after a restart, settled or not', async () => {
    const sets = range(1, 50).map((i) => [`restart ${i}`, 'x']);
    const made = await Promise.all(sets.map((users) => client.New({ user_ids: users })));
    await world.chatd.kill();
    await world.chatd.start();
    for (const [i, users] of sets.entries()) {
      assert.deepEqual(await client.New({ user_ids: users }), { chat_id: made[i].chat_id, created: false });
    }
    await world.chatd.stop();
    await world.chatd.start();
    for (const [i, users] of sets.entries()) {
      assert.deepEqual(await client.New({ user_ids: users.reverse() }), { chat_id: made[i].chat_id, created: false });
    }
  });
});
