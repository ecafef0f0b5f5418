'use strict';
// chat connect: what is typed is sent, in order and once; the end is clean, or says what is missing.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { after, afterEach, before, describe, test } = require('node:test');
const { World, eventually, scaled, spawnChat, within } = require('./harness');
const { decode, METHODS, range } = require('./client');
const { Session } = require('./session');

describe('chat connect', { timeout: 300000 }, () => {
  let world;
  let client;
  let sessions = [];
  before(async () => {
    world = await World.start();
    client = await world.client();
  });
  after(() => world && world.close());
  afterEach(async () => {
    await Promise.all(sessions.map((session) => session.kill()));
    sessions = [];
  });

  function connect(chat, options) {
    const session = new Session(world.broker.url, chat, options).start();
    sessions.push(session);
    return session;
  }
  const texts = async (chat) => (await client.readAll(chat)).map(({ text }) => text);

  test('shows history, then what comes, and sends each line that is typed', async () => {
    const chat = await client.chat('conversation');
    await client.Send({ chat_id: chat, user_id: 'bob', subject: 'S', text: 'before' });
    const ann = connect(chat, { user: 'ann' });
    const bob = connect(chat, { user: 'bob' });
    await Promise.all([ann.hasShown(1), bob.hasShown(1)]);
    ann.type('hello bob\n');
    await bob.hasShown(2);
    bob.type('hello ann\n');
    await ann.hasShown(3);
    ann.type('é👍\t"quoted" --not=an-option\n\n\nafter two empty ones\n');
    await Promise.all([ann.hasShown(5), bob.hasShown(5)]);
    for (const session of [ann, bob]) {
      assert.deepEqual(session.messages.map(({ user_id: user, text }) => [user, text]), [['bob', 'before'], ['ann', 'hello bob'],
        ['bob', 'hello ann'], ['ann', 'é👍\t"quoted" --not=an-option'], ['ann', 'after two empty ones']]);
      assert.deepEqual(session.messages, (await client.with({ json: true }).History({ chat_id: chat })).messages);
      const { code, stderr } = await within(session.end(), 'the end');
      assert.equal(code, 0, stderr);
    }
  });

  test('in a pipe, all lines are sent in order and shown before it ends', async () => {
    const chat = await client.chat('pipe');
    const lines = range(1, scaled(2000)).map((i) => `line ${i}`);
    const session = connect(chat, { user: 'pipe', fromSeq: 0 });
    const { code, stderr } = await within(session.end(lines.join('\n')), 'the end');
    session.check();
    assert.equal(code, 0, stderr);
    assert.deepEqual(session.messages.map(({ text }) => text), lines);
    assert.deepEqual(await texts(chat), lines);
  });

  test('chatd killed and the broker restarted while lines are sent: each is there once, in order', async () => {
    const chat = await client.chat('restarts');
    const lines = range(1, scaled(3000)).map((i) => `line ${i}`);
    const session = connect(chat, { user: 'pipe' });
    session.type(`${lines.slice(0, lines.length / 3).join('\n')}\n`);
    await session.hasShown(lines.length / 10);
    session.type(`${lines.slice(lines.length / 3).join('\n')}\n`);
    const ended = session.end();
    await world.chatd.kill();
    await world.chatd.start();
    await session.hasShown(lines.length / 2);
    await world.broker.stop('SIGKILL');
    await world.broker.start();
    const { code, stderr } = await within(ended, 'the end', 60000);
    session.check();
    assert.equal(code, 0, stderr);
    assert.deepEqual(await texts(chat), lines);
    assert.deepEqual(session.messages.map(({ text }) => text), lines);
  });

  test('a line that is refused is named, the others are sent', async () => {
    const chat = await client.chat('refused');
    const session = connect(chat);
    const { code, stderr } = await within(session.end(`one\n${'x'.repeat(70000)}\nthree\n${'y'.repeat(300000)}\na\0b\nsix`), 'the end');
    assert.equal(code, 1);
    assert.match(stderr, /line 2 was not sent: 413 chat\.Send\.TooLarge/);
    assert.match(stderr, /line 4 was not sent: .*256 KiB/);
    assert.match(stderr, /line 5 was not sent: .*NUL/);
    assert.deepEqual(await texts(chat), ['one', 'three', 'six']);
  });

  test('a line that is no UTF-8 is named, the others are sent', async () => {
    const chat = await client.chat('bytes');
    const session = connect(chat);
    const { code, stderr } = await within(session.end(Buffer.from('one\n\xff\xfe\nthree\n\xc3', 'latin1')), 'the end');
    assert.equal(code, 1);
    assert.match(stderr, /line 2 was not sent: 400 chat\.Send\.InvalidText: .*UTF-8/);
    assert.match(stderr, /line 4 was not sent: 400 chat\.Send\.InvalidText/);
    assert.deepEqual(await texts(chat), ['one', 'three']);
  });

  test('without an answer, a line is named with its client_id, and those after it as not sent', async () => {
    const chat = await client.chat('unanswered');
    const requests = [];
    const spy = await world.connect();
    spy.subscribe('chat.Send', { callback: (error, { data }) => requests.push(decode(METHODS.Send.request, data)) });
    await spy.flush();
    const session = connect(chat, { args: ['--timeout-ms=700'] });
    await session.isLive();
    world.chatd.signal('SIGSTOP');
    let result;
    try {
      result = await within(session.end('one\ntwo\nthree\n'), 'the end');
    } finally {
      world.chatd.signal('SIGCONT');
    }
    assert.equal(result.code, 1);
    assert.match(result.stderr, /the outcome of line 1 is unknown: no reply on chat\.Send/);
    assert.ok(result.stderr.includes(`--client_id=${requests[0].client_id}`), result.stderr);
    assert.match(result.stderr, /lines 2 to 3 were not sent/);
    assert.deepEqual([...new Set(requests.map(({ text }) => text))], ['one']);
  });

  for (const signal of ['SIGINT', 'SIGTERM']) {
    test(`${signal} ends it when what was typed is acknowledged`, async () => {
      const chat = await client.chat(signal);
      const session = connect(chat);
      await session.isLive();
      world.chatd.signal('SIGSTOP');
      session.type('one\ntwo\n');
      // They have been read when the first is on its way.
      const spy = await world.connect();
      let requests = 0;
      spy.subscribe('chat.Send', { callback: () => { requests++; } });
      await spy.flush();
      await eventually('the second attempt', () => requests >= 1, 20000);
      session.child.kill(signal);
      world.chatd.signal('SIGCONT');
      const { code, stderr } = await within(session.ended, 'the end');
      assert.equal(code, 0, stderr);
      assert.deepEqual(await texts(chat), ['one', 'two']);
    });
  }

  test('a second signal does not wait, and names what is not acknowledged', async () => {
    const chat = await client.chat('impatient');
    const spy = await world.connect();
    let requests = 0;
    spy.subscribe('chat.Send', { callback: () => { requests++; } });
    await spy.flush();
    const session = connect(chat);
    await session.isLive();
    world.chatd.signal('SIGSTOP');
    try {
      session.type('one\ntwo\n');
      await eventually('it is sent', () => requests >= 1);
      session.child.kill('SIGINT');
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.equal(session.child.exitCode, null, 'it waits');
      session.child.kill('SIGINT');
      const { code, stderr } = await within(session.ended, 'the end');
      assert.equal(code, 1);
      assert.match(stderr, /waiting for 2 lines to be acknowledged/);
      assert.match(stderr, /the outcome of line 1 is unknown.*--client_id=/);
      assert.match(stderr, /line 2 was not sent/);
    } finally {
      world.chatd.signal('SIGCONT');
    }
  });

  test('a reader that goes away ends it with status 1', async () => {
    const chat = await client.chat('head');
    const session = connect(chat);
    await session.isLive();
    session.child.stdout.destroy();
    await client.Send({ chat_id: chat, user_id: 'u', text: 'nobody reads this' });
    const { code, stderr } = await within(session.ended, 'the end');
    assert.equal(code, 1);
    assert.match(stderr, /standard output cannot be written/);
  });

  test('wrong usage is exit status 2, and help tells its options', async () => {
    for (const args of [['connect'], ['connect', '--chat_id=x'], ['connect', '--user_id=u'], ['connect', '--chat_id=x', '--user_id=u', '--from_seq=a']]) {
      assert.equal((await world.chat(args)).code, 2, args.join(' '));
    }
    assert.equal((await world.chat(['connect', '--chat_id=x', '--user_id=u'])).code, 1);
    const { stdout } = await world.chat(['connect', '--help']);
    for (const flag of ['chat_id', 'user_id', 'from_seq', 'CHAT_FROM_SEQ', 'nats-url']) assert.ok(stdout.includes(flag), flag);
  });
});

describe('a broker that does not permit everything', { timeout: 300000 }, () => {
  let world;
  let client;
  before(async () => {
    const users = [
      '{ user: all, password: p }',
      '{ user: deaf, password: p, permissions: { publish: ">", subscribe: "_INBOX.>" } }',
      '{ user: mute, password: p, permissions: { publish: "chat.History", subscribe: ">" } }',
      '{ user: unanswered, password: p, permissions: { publish: ">", subscribe: "chat.events.>" } }',
    ];
    world = await World.start({ broker: { authorization: `{ users: [${users.join(', ')}] }`, no_auth_user: 'all' } });
    client = await world.client();
  });
  after(() => world && world.close());

  const as = (user) => [`--user=${user}`, '--password=p'];

  test('is told by name, at once', async () => {
    const chat = await client.chat('permissions');
    const words = [`--chat_id=${chat}`, '--user_id=u'];
    const patient = '--timeout-ms=600000'; // Whoever waits for that does not end in time.
    for (const [args, reason] of [
      [['connect', ...words, ...as('deaf')], /does not permit to hear the chat's events: .*chat\.events\.default/i],
      [['connect', ...words, ...as('unanswered')], /does not permit it: .*subscribe to _INBOX\./i],
      [['send', ...words, '--text=x', ...as('mute')], /does not permit it: .*publish on chat\.Send/is],
      [['history', `--chat_id=${chat}`, ...as('unanswered')], /does not permit it: .*subscribe to _INBOX\./i],
      [['history', `--chat_id=${chat}`, '--user=all', '--password=wrong'], /does not let us in .*--password/is],
    ]) {
      // The input stays open: its end must not be the reason.
      const child = spawnChat([...args, patient], { CHAT_NATS_URL: world.broker.url });
      const errors = [];
      child.stderr.on('data', (chunk) => errors.push(chunk));
      child.stdout.resume();
      const [code] = await within(once(child, 'close'), 'the end');
      assert.equal(code, 1, args.join(' '));
      assert.match(Buffer.concat(errors).toString(), reason);
    }
    assert.deepEqual((await client.History({ chat_id: chat })).messages, []);
    // Who may only read can do that.
    assert.equal((await world.chat(['history', `--chat_id=${chat}`, ...as('mute')])).code, 0);
    assert.equal((await world.chat(['connect', ...words, ...as('mute')])).code, 0);
  });
});
