'use strict';
// Requests without a reply subject are carried out and not answered; replies never go where they
// could start a loop or speak for the service or the broker.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { World, eventually } = require('./harness');
const { encode, METHODS, range } = require('./client');

describe('reply subjects', { timeout: 300000 }, () => {
  let world;
  let client;
  let chat;
  const seen = [];
  before(async () => {
    world = await World.start();
    client = await world.client();
    chat = await client.chat('replies');
    const spy = await world.connect();
    spy.subscribe('>', {
      callback: (error, message) => seen.push({ subject: message.subject, reply: message.reply, data: Buffer.from(message.data) }),
    });
    await spy.flush();
  });
  after(() => world && world.close());

  const send = (n) => encode(METHODS.Send.request, { chat_id: chat, user_id: 'u', client_id: `${n}`, text: `text ${n}` });

  // What was published by the service while `work` ran, and until all before it was through.
  async function publishedDuring(work) {
    await mark();
    const start = seen.length;
    await work();
    // A request on the same connection: when it is answered, those before it have been read; when
    // it is a Send to the same chat, they have been carried out too.
    await client.Send({ chat_id: chat, user_id: 'marker', text: 'x' });
    const marker = await mark();
    return seen.slice(start).filter(({ subject }) => subject !== marker);
  }

  let marks = 0;
  async function mark() {
    const marker = `marker.${marks++}`;
    client.connection.publish(marker);
    await eventually('the spy has seen everything', () => seen.some(({ subject }) => subject === marker));
    return marker;
  }

  test('without one, requests are carried out and not answered', async () => {
    const before = (await client.History({ chat_id: chat })).head_seq;
    const published = await publishedDuring(async () => {
      for (const n of range(1, 20)) client.connection.publish('chat.Send', send(n));
      client.connection.publish('chat.New', encode(METHODS.New.request, { user_ids: ['silently made'] }));
      client.connection.publish('chat.History', encode(METHODS.History.request, { chat_id: chat }));
      client.connection.publish('chat.Send', 'malformed');
      client.connection.publish('chat.Send', Buffer.alloc(300 * 1024));
      client.connection.publish('chat.Nothing', '');
    });
    const page = await client.History({ chat_id: chat, from_seq: before + 1, limit: 1000 });
    assert.deepEqual(page.messages.map((message) => message.text).slice(0, 20), range(1, 20).map((n) => `text ${n}`));
    assert.equal(page.messages.length, 21);
    const subjects = published.map(({ subject }) => subject);
    const others = subjects.filter((subject) => !/^chat\.(Send|New|History|Nothing)$/.test(subject) && subject !== `chat.events.default.${chat}`);
    assert.equal(others.length, 1, `only the marker is answered: ${others}`);
    assert.equal((await client.New({ user_ids: ['silently made'] })).created, false);
  });

  const forbidden = [
    'chat.New', 'chat.Send', 'chat.Send.tenant', 'chat.History', 'chat.x', 'chat.events.default.x', '$SRV.PING', '$SRV.x.y',
    '$JS.API.INFO', '$JS.x', '$SYS.REQ.x',
  ];
  for (const reply of forbidden) {
    test(`a reply subject ${reply} is not answered`, async () => {
      const before = (await client.History({ chat_id: chat })).head_seq;
      const published = await publishedDuring(async () => {
        client.connection.publish('chat.Send', send(`to ${reply}`), { reply });
        client.connection.publish('chat.History', encode(METHODS.History.request, { chat_id: chat }), { reply });
        client.connection.publish('chat.New', 'malformed', { reply });
        client.connection.publish('chat.Nothing', '', { reply });
        for (const verb of ['PING', 'INFO', 'STATS']) client.connection.publish(`$SRV.${verb}`, '', { reply });
      });
      // Only requests as we sent them, events, the answer to the marker.
      const ours = new Set(['chat.Send', 'chat.History', 'chat.New', 'chat.Nothing', '$SRV.PING', '$SRV.INFO', '$SRV.STATS']);
      const strange = published.filter(({ subject, reply: to }) => !(ours.has(subject) && to !== '' && to !== undefined)
        && subject !== `chat.events.default.${chat}` && !subject.startsWith('_INBOX.'));
      assert.deepEqual(strange.map(({ subject }) => subject), []);
      assert.equal(published.filter(({ subject }) => subject.startsWith('_INBOX.')).length, 1);
      // The Send was carried out nevertheless.
      const page = await client.History({ chat_id: chat, from_seq: before + 1 });
      assert.equal(page.messages[0].client_id, `to ${reply}`);
    });
  }

  for (const reply of ['chatter.x', 'chats', 'answers.chat.Send', 'x.$SRV', 'srv.PING', 'my.inbox', 'é.ß']) {
    test(`a reply subject ${reply} is answered once`, async () => {
      const published = await publishedDuring(() => client.connection.publish('chat.Send', send(`for ${reply}`), { reply }));
      const answers = published.filter(({ subject }) => subject === reply);
      assert.equal(answers.length, 1);
      assert.equal(METHODS.Send.reply.decode(answers[0].data).message.client_id, `for ${reply}`);
    });
  }
});
