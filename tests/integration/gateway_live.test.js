'use strict';
// Watching chats through the gateway: history and what comes live, once each and in order, over
// everything that can end a connection.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const fs = require('node:fs');
const { World, eventually, inParallel, scaled, within } = require('./harness');
const { Gateway } = require('./gateway');
const { EventStream, connect, eventSubscriptions } = require('./live');
const { Raw } = require('./raw');

const IDLE = Number(process.env.CHAT_TEST_IDLE || scaled(500));
const SANITIZED = /SANITIZE=./.test(process.env.CHAT_MAKE_VARIABLES || '');
const NO_CHAT = '00000000-0000-4000-8000-000000000000';
const texts = (messages) => messages.map((message) => message.text);

describe('a chat through the gateway', () => {
  let world;
  let gateway;
  let client;
  let chats = 0;

  before(async () => {
    world = await World.start({ broker: { http_port: -1 } });
    gateway = await Gateway.start(world.broker.url);
    client = await world.client();
  });
  after(async () => {
    if (gateway) await gateway.stop();
    if (world) await world.close();
  });

  // A new chat with so many messages, "1", "2", ….
  async function makeChat(count = 0) {
    const chatId = await client.chat('John', 'Barry', `test ${++chats}`);
    await say(chatId, 1, count);
    return chatId;
  }

  async function say(chatId, first, last) {
    for (let i = first; i <= last; i++) {
      await client.Send({ chat_id: chatId, user_id: 'John', text: String(i) });
    }
  }

  test('shows history and then what comes', async () => {
    const chatId = await makeChat(5);
    const socket = await connect(gateway, { chat_id: chatId, user_id: 'John', from_seq: 1 });
    const events = await EventStream.open(gateway, { chat_id: chatId, from_seq: 1 });
    await socket.untilLive();
    await events.untilLive();
    assert.deepEqual(socket.frames, ['message', 'message', 'message', 'message', 'message', 'live']);
    await say(chatId, 6, 9);
    await socket.untilShown(9);
    await events.untilShown(9);
    const { messages } = await client.History({ chat_id: chatId, from_seq: 1 }, { json: true });
    assert.deepEqual(socket.messages, messages);
    assert.deepEqual(events.messages, messages);
    assert.deepEqual(socket.lives, [{ head_seq: 5 }]);
    assert.deepEqual(events.lives, [{ head_seq: 5 }]);
    assert.equal(events.headers.get('content-type'), 'text/event-stream');
    assert.equal(events.headers.get('cache-control'), 'no-store');
    assert.ok(events.retry > 0);
    assert.equal((await socket.end()).code, 1005);
    await events.end();
  });

  test('starts with what comes next when no seq is given', async () => {
    const chatId = await makeChat(3);
    const socket = await connect(gateway, { chat_id: chatId, user_id: 'John' });
    const zero = await connect(gateway, { chat_id: chatId, user_id: 'John', from_seq: 0 }, { from: 4 });
    const events = await EventStream.open(gateway, { chat_id: chatId });
    await Promise.all([socket.untilLive(), zero.untilLive(), events.untilLive()]);
    assert.equal(events.lastId, '3');
    await say(chatId, 4, 5);
    for (const watcher of [socket, zero, events]) {
      await watcher.untilShown(5);
      assert.deepEqual(texts(watcher.messages), ['4', '5']);
    }
    await Promise.all([socket.end(), zero.end(), events.end()]);
  });

  test('resumes from Last-Event-ID rather than from from_seq', async () => {
    const chatId = await makeChat(4);
    const events = await EventStream.open(gateway, { chat_id: chatId, from_seq: 1 }, {
      from: 3, headers: { 'last-event-id': '2' },
    });
    await events.untilShown(4);
    assert.deepEqual(texts(events.messages), ['3', '4']);
    await events.end();
  });

  test('a stream that was cut off before anything was said resumes from where it began', async () => {
    const chatId = await makeChat(2);
    const events = await EventStream.open(gateway, { chat_id: chatId });
    await events.until('there is an id', () => events.lastId !== undefined);
    await events.end();
    await say(chatId, 3, 3);
    const again = await EventStream.open(gateway, { chat_id: chatId }, {
      from: 3, headers: { 'last-event-id': events.lastId },
    });
    await again.untilShown(3);
    await again.end();
  });

  test('acknowledges what is sent and shows it to everybody, the sender included', async () => {
    const chatId = await makeChat();
    const john = await connect(gateway, { chat_id: chatId, user_id: 'John', from_seq: 1 });
    const barry = await connect(gateway, { chat_id: chatId, user_id: 'Barry', from_seq: 1 });
    john.send({ client_id: 'c1', subject: 'Hello', text: 'Hey Barry' });
    await barry.untilShown(1);
    barry.send({ text: 'Hey John' });
    await john.untilShown(2);
    john.send({ client_id: 'c1', subject: 'Hello', text: 'Hey Barry' });
    await john.until('it is acknowledged again', () => john.acks.length === 2);
    await barry.until('it is acknowledged', () => barry.acks.length === 1);
    assert.deepEqual(john.acks, [
      { client_id: 'c1', seq: 1, duplicate: false }, { client_id: 'c1', seq: 1, duplicate: true },
    ]);
    assert.equal(barry.acks[0].seq, 2);
    assert.equal(barry.acks[0].client_id, barry.messages[1].client_id);
    for (const socket of [john, barry]) {
      assert.deepEqual(socket.messages.map(({ user_id, subject, text }) => [user_id, subject, text]), [
        ['John', 'Hello', 'Hey Barry'], ['Barry', '', 'Hey John'],
      ]);
      assert.deepEqual(socket.errors, []);
      await socket.end();
    }
  });

  test('stores the messages of one connection in the order in which they were sent', async () => {
    const chatId = await makeChat();
    const socket = await connect(gateway, { chat_id: chatId, user_id: 'John', from_seq: 1 });
    const other = await connect(gateway, { chat_id: chatId, user_id: 'Barry', from_seq: 1 });
    for (let i = 0; i < 50; i++) {
      socket.send({ client_id: `s${i}`, text: `s${i}` });
      other.send({ client_id: `o${i}`, text: `o${i}` });
    }
    await socket.untilShown(100);
    await socket.until('all is acknowledged', () => socket.acks.length === 50);
    for (const [letter, sender] of [['s', socket], ['o', other]]) {
      const own = texts(socket.messages).filter((text) => text.startsWith(letter));
      assert.deepEqual(own, Array.from({ length: 50 }, (_, i) => `${letter}${i}`));
      await sender.until('all is acknowledged', () => sender.acks.length === 50);
      assert.deepEqual(sender.acks.map((ack) => ack.client_id), own);
      await sender.end();
    }
  });

  test('refuses what does not fit, says why, and goes on', async () => {
    const chatId = await makeChat();
    const socket = await connect(gateway, { chat_id: chatId, user_id: 'John', from_seq: 1 });
    const cases = [
      ['{"text":', 400, 'chat.Send.Malformed', undefined],
      ['[]', 400, 'chat.Send.Malformed', undefined],
      [{ text: 'a', txet: 'b' }, 400, 'chat.Send.Malformed', undefined, /^there is no field txet; there are client_id, subject, text$/],
      [{ client_id: 'k', text: 'a', txet: 'b' }, 400, 'chat.Send.Malformed', 'k', /txet/],
      [{ clientId: 'k', text: 5 }, 400, 'chat.Send.Malformed', 'k', /text/],
      [{ client_id: 5, text: 'a' }, 400, 'chat.Send.Malformed', undefined, /client_id/],
      ['{"client_id":"d","client_id":"e","text":"a"}', 400, 'chat.Send.Malformed', undefined],
      [{ client_id: 'u', text: 'a', user_id: 'Barry' }, 400, 'chat.Send.Malformed', 'u', /user_id/],
      [{ text: 'a', chatId }, 400, 'chat.Send.Malformed', undefined, /chat_id/],
      [{ client_id: 'n', text: 'a\u0000b' }, 400, 'chat.Send.InvalidText', 'n'],
      [{ client_id: 'm' }, 400, 'chat.Send.MissingText', 'm'],
      [{ client_id: 'x\u0007', text: 'a' }, 400, 'chat.Send.InvalidClientID', 'x\u0007'],
      [{ client_id: 'l', text: 'a'.repeat(70000) }, 413, 'chat.Send.TooLarge', 'l'],
      [{ client_id: 'r', text: 'first' }],
      [{ client_id: 'r', text: 'second' }, 409, 'chat.Send.ClientIDReused', 'r'],
    ];
    for (const [frame, code, id, clientId, detail] of cases) {
      socket.errors.length = 0;
      socket.acks.length = 0;
      socket.send(frame);
      await socket.until('there is an answer', () => socket.errors.length + socket.acks.length > 0);
      if (!code) continue;
      assert.deepEqual(socket.acks, [], JSON.stringify(frame).slice(0, 100));
      const [error] = socket.errors;
      assert.deepEqual([error.code, error.id, error.client_id], [code, id, clientId]);
      assert.ok(error.detail.length > 0 && error.status.length > 0);
      if (detail) assert.match(error.detail, detail);
    }
    await socket.end();
    const { messages } = await client.History({ chat_id: chatId });
    assert.deepEqual(texts(messages), ['first']);
  });

  test('closes with what RFC 6455 says for frames that are none of ours', async () => {
    const chatId = await makeChat();
    const cases = [
      [(socket) => socket.send(Buffer.from('{"text":"a"}')), 1003],
      [(socket) => socket.send(Buffer.from([0x22, 0xc3, 0x28, 0x22]), { binary: false }), 1007],
      [(socket) => socket.send(JSON.stringify({ text: 'a'.repeat(300 * 1024) })), 1009],
    ];
    for (const [send, code] of cases) {
      const socket = await connect(gateway, { chat_id: chatId, user_id: 'John', from_seq: 1 });
      await socket.untilLive();
      send(socket.socket);
      assert.equal((await within(socket.closed, `the end with ${code}`)).code, code);
    }
    const { messages } = await client.History({ chat_id: chatId });
    assert.deepEqual(messages, []);
  });

  test('refuses more messages under way than it holds, and loses none that it took', async () => {
    const chatId = await makeChat();
    const socket = await connect(gateway, { chat_id: chatId, user_id: 'John', from_seq: 1 });
    world.chatd.signal('SIGSTOP');
    try {
      for (let i = 0; i < 70; i++) socket.send({ client_id: `c${i}`, text: `c${i}` });
      await socket.until('some are refused', () => socket.errors.length === 6);
    } finally {
      world.chatd.signal('SIGCONT');
    }
    assert.deepEqual(socket.errors.map((error) => [error.code, error.id, error.client_id]),
      [64, 65, 66, 67, 68, 69].map((i) => [503, 'chat.Send.Overloaded', `c${i}`]));
    await socket.until('the others are acknowledged', () => socket.acks.length === 64);
    await socket.untilShown(64);
    assert.deepEqual(texts(socket.messages), Array.from({ length: 64 }, (_, i) => `c${i}`));
    await socket.end();
  });

  test('says what is wrong with a chat or a place in it', async () => {
    const chatId = await makeChat(2);
    const cases = [
      [{ chat_id: NO_CHAT }, 404, 'InvalidChatID'],
      [{ chat_id: 'none' }, 404, 'InvalidChatID'],
      [{ chat_id: chatId, from_seq: 4 }, 400, 'InvalidRange'],
    ];
    for (const [fields, code, reason] of cases) {
      const stream = await EventStream.open(gateway, fields);
      assert.deepEqual([stream.status, stream.error.code, stream.error.id],
        [code, code, `chat.Events.${reason}`]);
      const { status, body } = await gateway.connect({ user_id: 'John', ...fields });
      assert.deepEqual([status, body.code, body.id], [code, code, `chat.Connect.${reason}`]);
      assert.equal(body.detail, stream.error.detail);
    }
  });

  test('a page may ask by a call why a WebSocket would be refused', async () => {
    const chatId = await makeChat(2);
    for (const [fields, status, id] of [
      [{ chat_id: chatId, user_id: 'John' }, 426, 'gateway.BadHandshake'],
      [{ chat_id: chatId, user_id: 'John', from_seq: 4 }, 400, 'chat.Connect.InvalidRange'],
      [{ chat_id: NO_CHAT, user_id: 'John' }, 404, 'chat.Connect.InvalidChatID'],
      [{ chat_id: chatId }, 400, 'chat.Connect.MissingUserID'],
    ]) {
      const answer = await gateway.call('GET', `/chat/Connect?${new URLSearchParams(fields)}`);
      assert.deepEqual([answer.status, answer.body.id], [status, id]);
      assert.equal(answer.headers.get('upgrade'), status === 426 ? 'websocket' : null);
    }
  });

  // A handshake as bytes, so that more can follow it before there is an answer.
  const handshakeOf = (chatId) => `GET /chat/Connect?chat_id=${chatId}&user_id=John HTTP/1.1\r\nHost: a\r\n`
    + 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
  const masked = (text) => Buffer.concat([
    Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text),
  ]).toString('latin1');

  test('frames that come before the handshake is answered are read in their order', async () => {
    const chatId = await makeChat();
    world.chatd.signal('SIGSTOP');
    const raw = Raw.open(gateway.port);
    try {
      raw.write(handshakeOf(chatId) + masked('{"text":"1"}'));
      await eventually('the handshake is there', () => raw.socket.bytesWritten > 0);
      await fetch(gateway.url('/healthz'));
      raw.write(masked('{"text":"2"}'));
      raw.write(masked('{"text":"3"}'));
      assert.equal(raw.text, '');
    } finally {
      world.chatd.signal('SIGCONT');
    }
    await eventually('all are acknowledged', () => raw.text.split('"ack"').length === 4);
    assert.match(raw.text, /^HTTP\/1\.1 101 /);
    const { messages } = await client.History({ chat_id: chatId });
    assert.deepEqual(texts(messages), ['1', '2', '3']);
    await raw.close();
  });

  test('who leaves before the handshake is answered, or says that nothing more comes, is forgotten', async () => {
    const chatId = await makeChat();
    const connections = async () => Number(/^chat_gateway_connections\{kind="websocket"\} (\d+)$/m.exec(
      await (await fetch(gateway.url('/metrics'))).text(),
    )[1]);
    await eventually('there are none', async () => (await connections()) === 0);
    world.chatd.signal('SIGSTOP');
    const raws = Array.from({ length: 3 }, () => Raw.open(gateway.port).write(handshakeOf(chatId)));
    try {
      await Promise.all(raws.map((raw) => eventually('it is connected', () => raw.socket.bytesWritten > 0)));
      await fetch(gateway.url('/healthz'));
      await raws[0].close();
      raws[1].socket.end();
      await fetch(gateway.url('/healthz'));
    } finally {
      world.chatd.signal('SIGCONT');
    }
    await raws[2].untilAnswers(1);
    await raws[1].untilEnd();
    await eventually('one is left', async () => (await connections()) === 1);
    await raws[2].close();
  });

  test('refuses arguments that are none', async () => {
    const chatId = await makeChat();
    const cases = [
      [{}, 'MissingChatID'],
      [{ chat_id: chatId, from_seq: 'x' }, 'Malformed'],
      [{ chat_id: chatId, from_seq: '-1' }, 'Malformed'],
      [{ chat_id: chatId, from_seq: '18446744073709551616' }, 'Malformed'],
      [{ chat_id: chatId, before_seq: '1' }, 'Malformed'],
    ];
    for (const [fields, reason] of cases) {
      const stream = await EventStream.open(gateway, fields);
      assert.deepEqual([stream.status, stream.error.id], [400, `chat.Events.${reason}`]);
      const { status, body } = await gateway.connect({ user_id: 'John', ...fields });
      assert.deepEqual([status, body.id], [400, `chat.Connect.${reason}`]);
    }
    const { status, body } = await gateway.connect({ chat_id: chatId });
    assert.deepEqual([status, body.id], [400, 'chat.Connect.MissingUserID']);
    const stream = await EventStream.open(gateway, { chat_id: chatId }, {
      headers: { 'last-event-id': 'x' },
    });
    assert.deepEqual([stream.status, stream.error.id], [400, 'chat.Events.Malformed']);
  });

  test('keeps namespaces apart', async () => {
    const chatId = await makeChat(1);
    const other = await client.New({ user_ids: ['John'] }, { ns: 'other' });
    const stream = await EventStream.open(gateway, { chat_id: chatId, namespace: 'other' });
    assert.equal(stream.status, 404);
    const socket = await connect(gateway, {
      chat_id: other.chat_id, user_id: 'John', namespace: 'other', from_seq: 1,
    });
    socket.send({ client_id: 'c', text: 'there' });
    await socket.untilShown(1);
    const { messages } = await client.History({ chat_id: other.chat_id }, { ns: 'other' });
    assert.deepEqual(texts(messages), ['there']);
    await socket.end();
  });

  test('200 watchers of a chat are one subscription, which goes when they have left', async () => {
    const chatId = await makeChat(3);
    const subject = `chat.events.default.${chatId}`;
    const count = async () => (await eventSubscriptions(world.broker)).filter((s) => s === subject).length;
    const watchers = await inParallel(200, 20, (i) => (i % 4 === 0
      ? EventStream.open(gateway, { chat_id: chatId, from_seq: 1 + (i % 3) })
      : connect(gateway, { chat_id: chatId, user_id: `u${i}`, from_seq: 1 + (i % 3) })));
    await Promise.all(watchers.map((watcher) => watcher.untilLive()));
    assert.equal(await count(), 1);
    await say(chatId, 4, 10);
    await Promise.all(watchers.map((watcher) => watcher.untilShown(10)));
    await Promise.all(watchers.map((watcher) => watcher.end()));
    await eventually('the subscription is gone', async () => (await count()) === 0);
  });

  test('reads a long history at the pace of its reader, without a gap to what comes meanwhile', async () => {
    const chatId = await makeChat();
    const long = 'x'.repeat(2000);
    await inParallel(1500, 50, (i) => client.Send({
      chat_id: chatId, user_id: 'John', client_id: `c${i}`, text: `${i} ${long}`,
    }));
    const socket = await connect(gateway, { chat_id: chatId, user_id: 'John', from_seq: 1 });
    await socket.untilShown(10);
    socket.socket.pause();
    await say(chatId, 1501, 1520);
    socket.socket.resume();
    await socket.untilShown(1520);
    await socket.untilLive();
    await socket.end();
  });
});

describe('the gateway through thick and thin', () => {
  async function rig(args, broker) {
    const world = await World.start({ broker: broker || {} });
    const gateway = await Gateway.start(world.broker.url, args);
    const client = await world.client();
    const chatId = await client.chat('John', 'Barry');
    return { world, gateway, client, chatId };
  }

  // Sends until it is told to stop; what is acknowledged is counted.
  function sendOn(client, chatId) {
    const sender = { acknowledged: 0, going: true };
    sender.done = (async () => {
      for (let i = 0; sender.going; i++) {
        await client.sendUntilAcknowledged({
          chat_id: chatId, user_id: 'John', client_id: `c${i}`, text: `${i}`,
        });
        sender.acknowledged++;
      }
    })();
    sender.stop = async () => {
      sender.going = false;
      await sender.done;
      return sender.acknowledged;
    };
    return sender;
  }

  for (const who of ['chatd', 'broker']) {
    test(`goes on where it was after kill -9 of the ${who}`, async () => {
      const { world, gateway, client, chatId } = await rig();
      try {
        const socket = await connect(gateway, { chat_id: chatId, user_id: 'Barry', from_seq: 1 });
        const events = await EventStream.open(gateway, { chat_id: chatId, from_seq: 1 });
        await socket.untilLive();
        const sender = sendOn(client, chatId);
        for (let round = 1; round <= 2; round++) {
          const seen = socket.next;
          await socket.untilShown(seen + 20);
          if (who === 'chatd') {
            await world.chatd.kill();
            await world.chatd.start();
          } else {
            await world.broker.stop('SIGKILL');
            await world.broker.start();
          }
        }
        const seen = socket.next;
        await socket.untilShown(seen + 20, 60000);
        socket.send({ client_id: 'mine', text: 'mine' });
        await socket.until('it is acknowledged', () => socket.acks.length === 1, 60000);
        const count = (await sender.stop()) + 1;
        await socket.untilShown(count, 60000);
        await events.untilShown(count, 60000);
        await socket.end();
        await events.end();
      } finally {
        await gateway.stop();
        await world.close();
      }
    });
  }

  test('a client resumes after kill -9 of the gateway', async () => {
    const { world, gateway, client, chatId } = await rig();
    try {
      const sender = sendOn(client, chatId);
      let next = 1;
      let lastId;
      for (let round = 1; round <= 3; round++) {
        const socket = await connect(gateway, { chat_id: chatId, user_id: 'Barry', from_seq: next });
        const events = await EventStream.open(gateway, { chat_id: chatId, from_seq: 1 }, {
          from: lastId === undefined ? 1 : Number(lastId) + 1,
          headers: lastId === undefined ? {} : { 'last-event-id': lastId },
        });
        await socket.untilShown(next + 20);
        await events.untilShown(next + 20);
        await gateway.kill();
        await within(socket.closed, 'the end of the WebSocket');
        await within(events.done, 'the end of the stream');
        ({ next } = socket);
        ({ lastId } = events);
        socket.check();
        events.check();
        await gateway.start();
      }
      const count = await sender.stop();
      const socket = await connect(gateway, { chat_id: chatId, user_id: 'Barry', from_seq: next });
      await socket.untilShown(count);
      await socket.end();
    } finally {
      await gateway.stop();
      await world.close();
    }
  });

  test('a handshake while the service is away is answered with 504 and Retry-After, or when it is back', async () => {
    const { world, gateway, chatId } = await rig(['--timeout-ms', '1500']);
    try {
      const socket = await connect(gateway, { chat_id: chatId, user_id: 'Barry', from_seq: 1 });
      await socket.untilLive();
      await world.chatd.kill();
      const refused = await gateway.connect({ chat_id: chatId, user_id: 'John', from_seq: 1 });
      assert.deepEqual([refused.status, refused.body.id], [504, 'gateway.Timeout']);
      assert.ok(Number(refused.headers.get('retry-after')) > 0);
      assert.equal(socket.close_code, undefined, 'who is there stays');
      const [again] = await Promise.all([
        eventually('it opens', async () => {
          const answer = await gateway.connect({ chat_id: chatId, user_id: 'John', from_seq: 1 });
          return answer.status === 101 && answer;
        }),
        world.chatd.start(),
      ]);
      again.socket.terminate();
      await socket.end();
    } finally {
      await gateway.stop();
      await world.close();
    }
  });

  test('a handshake that waits when the gateway stops is told so', async () => {
    const { world, gateway, chatId } = await rig(['--drain-timeout-ms', '20000']);
    try {
      world.chatd.signal('SIGSTOP');
      const waiting = [gateway.connect({ chat_id: chatId, user_id: 'John' }), EventStream.open(gateway, { chat_id: chatId })];
      await eventually('they are there', async () => /^chat_gateway_watchers 2$/m.test(
        await (await fetch(gateway.url('/metrics'))).text(),
      ));
      const stopped = gateway.stop();
      await gateway.program.waitForLine('stopping', (line) => line.includes('event=stopping'));
      world.chatd.signal('SIGCONT');
      const [socket, events] = await Promise.all(waiting);
      assert.deepEqual([socket.status, socket.body.id], [503, 'gateway.Stopping']);
      assert.deepEqual([events.status, events.error.id], [503, 'gateway.Stopping']);
      assert.equal(events.headers.get('retry-after'), '1');
      await stopped;
    } finally {
      world.chatd.signal('SIGCONT');
      await world.close();
    }
  });

  test('says that it stops, and ends by itself', async () => {
    const { world, gateway, chatId } = await rig();
    try {
      const socket = await connect(gateway, { chat_id: chatId, user_id: 'John' });
      const events = await EventStream.open(gateway, { chat_id: chatId });
      await socket.untilLive();
      await events.untilLive();
      await gateway.stop();
      assert.equal((await within(socket.closed, 'the end of the WebSocket')).code, 1001);
      await within(events.done, 'the end of the stream');
      assert.equal(events.brokenBy, undefined);
    } finally {
      await world.close();
    }
  });

  test('a reader that does not read is closed with 1008, and resumes without a gap', async () => {
    const { world, gateway, client, chatId } = await rig(['--write-timeout-ms', '2000']);
    try {
      const slow = await connect(gateway, { chat_id: chatId, user_id: 'Barry', from_seq: 1 });
      const quick = await connect(gateway, { chat_id: chatId, user_id: 'John', from_seq: 1 });
      await slow.untilLive();
      slow.socket.pause();
      const text = 'x'.repeat(60000);
      let sent = 0;
      const stuck = () => gateway.program.lines.some((line) => line.includes('event=websocket.slow'));
      await eventually('the reader has been given up', async () => {
        await inParallel(10, 10, () => client.Send({ chat_id: chatId, user_id: 'John', text }));
        sent += 10;
        return stuck();
      }, 60000);
      await quick.untilShown(sent);
      slow.socket.resume();
      assert.equal((await within(slow.closed, 'the end of the slow one')).code, 1008);
      slow.check();
      assert.ok(slow.next <= sent, 'it has missed some');
      const again = await connect(gateway, { chat_id: chatId, user_id: 'Barry', from_seq: slow.next });
      await again.untilShown(sent);
      await again.end();
      await quick.end();
    } finally {
      await gateway.stop();
      await world.close();
    }
  });

  test('a peer that does not answer pings is closed, one that does is not', async () => {
    const { world, gateway, chatId } = await rig(['--ping-interval-ms', '1000']);
    try {
      const deaf = await connect(gateway, { chat_id: chatId, user_id: 'John' }, { autoPong: false });
      const alive = await connect(gateway, { chat_id: chatId, user_id: 'Barry' });
      let pings = 0;
      alive.socket.on('ping', () => pings++);
      await within(deaf.closed, 'the end of the deaf one');
      await alive.until('it is pinged on', () => pings > 3);
      assert.equal(alive.close_code, undefined);
      await alive.end();
    } finally {
      await gateway.stop();
      await world.close();
    }
  });

  test('comments keep a quiet stream open', async () => {
    const { world, gateway, chatId } = await rig(['--ping-interval-ms', '200']);
    try {
      const events = await EventStream.open(gateway, { chat_id: chatId });
      await events.until('there are comments', () => events.comments >= 3);
      await events.end();
    } finally {
      await gateway.stop();
      await world.close();
    }
  });

  const residentKib = (gateway) => Number(
    /VmRSS:\s+(\d+) kB/.exec(fs.readFileSync(`/proc/${gateway.program.child.pid}/status`, 'utf8'))[1],
  );

  test(`${IDLE} idle WebSockets take little memory, and all are told of what comes`, async () => {
    const { world, gateway, client } = await rig([
      '--max-connections-per-address', String(IDLE + 100), '--max-connections', String(IDLE + 100),
    ]);
    try {
      const chats = await inParallel(50, 10, (i) => client.chat('John', `idle ${i}`));
      const before = residentKib(gateway);
      const sockets = await inParallel(IDLE, 50, async (i) => {
        const socket = await connect(gateway, { chat_id: chats[i % 50], user_id: `u${i}`, from_seq: 1 });
        await socket.untilLive();
        return socket;
      });
      const taken = residentKib(gateway) - before;
      if (!SANITIZED) {
        assert.ok(taken / IDLE < 16, `${taken} KiB for ${IDLE}`);
        assert.ok(IDLE > 5000 || before + taken < 100 * 1024, `${before + taken} KiB in all`);
      }
      await inParallel(50, 10, (i) => client.Send({ chat_id: chats[i], user_id: 'John', text: 'up' }));
      await Promise.all(sockets.map((socket) => socket.untilShown(1)));
      for (const socket of sockets) socket.socket.terminate();
      await Promise.all(sockets.map((socket) => socket.closed));
    } finally {
      await gateway.stop();
      await world.close();
    }
  });
});
