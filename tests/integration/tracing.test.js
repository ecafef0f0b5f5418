'use strict';
// The traceparent of a request (W3C Trace Context): in the event, and in the log when the request is
// slow or fails.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const nats = require('nats');
const { World, eventually } = require('./harness');
const { METHODS, Message, decode, encode } = require('./client');

const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

describe('tracing', { timeout: 60000 }, () => {
  let world;
  let client;
  let chat;
  let events;
  before(async () => {
    world = await World.start({ args: ['--slow-ms=1', '--log-level=debug'] });
    client = await world.client();
    chat = await client.chat('ann');
    events = [];
    client.connection.subscribe(`chat.events.default.${chat}`, { callback: (_, message) => events.push(message) });
    await client.connection.flush();
  });
  after(() => world && world.close());

  async function send(fields, values, name = 'traceparent') {
    const headers = nats.headers();
    for (const value of values) headers.append(name, value);
    const body = encode(METHODS.Send.request, { chat_id: chat, user_id: 'ann', ...fields });
    return client.connection.request('chat.Send', body, { headers, timeout: 20000 });
  }
  const logged = (event, trace = TRACE) => eventually(`${event} is logged`, () => world.chatd.log.find((line) => line.event === event && line.traceparent === trace));
  const event = (text) => eventually('the event', () => events.find((message) => decode(Message, message.data).text === text));

  test('is passed on in the event, whatever the case of its name', async () => {
    await send({ text: 'traced' }, [TRACE]);
    await send({ text: 'Traced' }, [TRACE], 'TraceParent');
    for (const text of ['traced', 'Traced']) {
      const { headers } = await event(text);
      assert.deepEqual(headers.keys(), ['traceparent']);
      assert.equal(headers.get('traceparent'), TRACE);
    }
  });

  test('is not there when it was not given, is no traceparent, or was given twice', async () => {
    await client.Send({ chat_id: chat, user_id: 'ann', text: 'plain' });
    await send({ text: 'wrong' }, ['00-x']);
    await send({ text: 'zero' }, [`00-${'0'.repeat(32)}-00f067aa0ba902b7-01`]);
    await send({ text: 'twice' }, [TRACE, TRACE]);
    for (const text of ['plain', 'wrong', 'zero', 'twice']) assert.equal((await event(text)).headers, undefined, text);
  });

  test('a retry has no second event', async () => {
    for (let i = 0; i < 2; i++) await send({ text: 'once', client_id: 'once' }, [TRACE]);
    await send({ text: 'last' }, []);
    await event('last');
    assert.equal(events.filter((message) => decode(Message, message.data).text === 'once').length, 1);
  });

  test('is in the log line of a slow request', async () => {
    const line = await eventually('a slow one', async () => {
      await send({ text: 'slow' }, [TRACE]);
      return world.chatd.log.find((one) => one.event === 'request.slow' && one.traceparent === TRACE);
    });
    assert.deepEqual([line.method, line.namespace], ['Send', 'default']);
    assert.ok(Number(line.took_ms) >= 1);
  });

  test('is in the log line of a refused one, early or late', async () => {
    const other = TRACE.replace('4bf', '5bf');
    await send({ text: '' }, [TRACE]);
    const early = await logged('request.refused');
    assert.deepEqual([early.method, early.code, early.reason], ['Send', '400', 'MissingText']);
    await send({ text: 'x', client_id: 'reused' }, []);
    await send({ text: 'y', client_id: 'reused' }, [other]);
    assert.equal((await logged('request.refused', other)).reason, 'ClientIDReused');
  });

  test('the command line and libchat send it, and refuse what is none', async () => {
    const trace = TRACE.replace('4bf', '6bf');
    const args = ['send', `--chat_id=${chat}`, '--user_id=ann', '--text=by hand'];
    assert.equal((await world.chat([...args, `--traceparent=${trace}`])).code, 0);
    assert.equal((await event('by hand')).headers.get('traceparent'), trace);
    const { code, stderr } = await world.chat([...args, '--traceparent=00-x']);
    assert.equal(code, 2);
    assert.match(stderr, /--traceparent/);
  });
});

describe('tracing of what is refused for want of space', { timeout: 60000 }, () => {
  test('is a warning with the trace', async () => {
    const world = await World.start({ args: ['--max-requests=1'] });
    try {
      const client = await world.client();
      const chat = await client.chat('ann');
      const headers = nats.headers();
      headers.set('traceparent', TRACE);
      const body = encode(METHODS.Send.request, { chat_id: chat, user_id: 'ann', text: 'x' });
      await eventually('an overload', async () => {
        await Promise.all(Array.from({ length: 50 }, () => client.connection.request('chat.Send', body, { headers, timeout: 20000 })));
        return world.chatd.log.find((line) => line.event === 'request.refused' && line.level === 'warn' && line.reason === 'Overloaded' && line.traceparent === TRACE);
      });
    } finally {
      await world.close();
    }
  });
});
