'use strict';
// The command line: flags, standard input, exit statuses, and retries that make no second message.

const assert = require('node:assert/strict');
const { after, before, describe, test } = require('node:test');
const { World, Broker, eventually, runChat, startChat, within } = require('./harness');
const { decode, METHODS, seqs } = require('./client');

describe('the command line', { timeout: 300000 }, () => {
  let world;
  let client;
  let chat;
  before(async () => {
    world = await World.start();
    client = await world.client();
    chat = await client.chat('ann', 'bob');
  });
  after(() => world && world.close());

  async function good(args, options) {
    const { code, stdout, stderr } = await world.chat(args, options);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' }, args.join(' '));
    assert.ok(stdout.endsWith('\n'), 'the output ends a line');
    return JSON.parse(stdout);
  }
  async function bad(status, args, options) {
    const { code, stdout, stderr } = await world.chat(args, options);
    assert.equal(code, status, `${args.join(' ')}: ${stderr}`);
    assert.equal(stdout, '', 'errors are on standard error');
    assert.notEqual(stderr.trim(), '');
    return stderr;
  }

  test('new takes several users, repeated or with commas', async () => {
    for (const users of [['--user_ids=ann', '--user_ids=bob'], ['--user_ids=bob,ann'], ['--user_ids', 'ann', '--user_ids', 'bob']]) {
      assert.deepEqual(await good(['new', ...users]), { chat_id: chat, created: false });
    }
    assert.equal((await good(['new', '--user_ids=cli only'])).created, true);
  });

  test('send and history carry every field', async () => {
    const sent = await good(['send', `--chat_id=${chat}`, '--user_id=ann', '--client_id=mine', '--subject=S ubject', '--text=--text with=signs']);
    assert.deepEqual([sent.message.client_id, sent.message.user_id, sent.message.subject, sent.message.text, sent.duplicate],
      ['mine', 'ann', 'S ubject', '--text with=signs', false]);
    const again = await good(['send', `--chat_id=${chat}`, '--user_id=ann', '--client_id=mine', '--subject=S ubject', '--text=--text with=signs']);
    assert.deepEqual(again, { ...sent, duplicate: true });
    for (let i = 0; i < 5; i++) await good(['send', '--chat_id', chat, '--user_id', 'bob', '--text', `${i}`]);
    const page = async (...args) => {
      const { messages, head_seq, more } = await good(['history', `--chat_id=${chat}`, ...args]);
      return { seqs: seqs(messages), head_seq, more };
    };
    assert.deepEqual(await page(), { seqs: [1, 2, 3, 4, 5, 6], head_seq: 6, more: false });
    assert.deepEqual(await page('--limit=2'), { seqs: [5, 6], head_seq: 6, more: true });
    assert.deepEqual(await page('--from_seq=2', '--limit=2'), { seqs: [2, 3], head_seq: 6, more: true });
    assert.deepEqual(await page('--before_seq=3'), { seqs: [1, 2], head_seq: 6, more: false });
    assert.deepEqual(await page('--from_seq=2', '--before_seq=4'), { seqs: [2, 3], head_seq: 6, more: false });
  });

  test('--namespace, or its environment variable, is another world', async () => {
    for (const [args, environment] of [[['--namespace=tenant'], {}], [[], { CHAT_NAMESPACE: 'tenant' }]]) {
      const made = await good(['new', '--user_ids=ann,bob', ...args], { environment });
      assert.notEqual(made.chat_id, chat);
      assert.deepEqual(await client.New({ user_ids: ['ann', 'bob'] }, { ns: 'tenant' }), { ...made, created: false });
      await bad(1, ['history', `--chat_id=${chat}`, ...args], { environment });
    }
    await bad(2, ['new', '--user_ids=ann', '--namespace=a.b']);
  });

  test('--text=- reads standard input, as it is', async () => {
    for (const input of ['from a pipe\nsecond line\n', 'no newline at the end', 'é👍\t"quoted"\n', 'x'.repeat(64 * 1024)]) {
      const { message } = await good(['send', `--chat_id=${chat}`, '--user_id=ann', '--text=-'], { input });
      assert.ok([input, input.replace(/\n$/, '')].includes(message.text), JSON.stringify(message.text.slice(0, 80)));
    }
    const stderr = await bad(1, ['send', `--chat_id=${chat}`, '--user_id=ann', '--text=-'], { input: 'x'.repeat(64 * 1024 + 1) });
    assert.match(stderr, /TooLarge|413|large/i);
    await bad(1, ['send', `--chat_id=${chat}`, '--user_id=ann', '--text=-'], { input: 'a\0b' });
  });

  test('a refusal is on standard error, with its id, and the exit status is 1', async () => {
    assert.match(await bad(1, ['send', '--chat_id=00000000-0000-4000-8000-000000000000', '--user_id=ann', '--text=x']), /chat\.Send\.InvalidChatID/);
    assert.match(await bad(1, ['history', '--chat_id=nonsense']), /chat\.History\.InvalidChatID/);
    assert.match(await bad(1, ['history', `--chat_id=${chat}`, '--from_seq=5', '--before_seq=2']), /InvalidRange/);
    assert.match(await bad(1, ['send', `--chat_id=${chat}`, '--user_id=ann', '--client_id=mine', '--text=other']), /ClientIDReused/);
  });

  test('wrong usage is exit status 2 and says what is wrong', async () => {
    assert.match(await bad(2, ['frobnicate']), /frobnicate/);
    assert.match(await bad(2, ['new', '--colour=red']), /colour/);
    assert.match(await bad(2, ['new', '--user_ids=ann', 'surplus']), /surplus/);
    assert.match(await bad(2, ['history', `--chat_id=${chat}`, '--limit=many']), /limit/);
    await bad(2, ['history', `--chat_id=${chat}`, '--limit=-1']);
    await bad(2, []);
    await bad(2, ['chat']);
  });

  test('--help and --version are on standard output, exit status 0', async () => {
    const { code, stdout, stderr } = await world.chat(['--help']);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    for (const word of ['new', 'send', 'history']) assert.match(stdout, new RegExp(`\\b${word}\\b`));
    for (const [command, ...flags] of [['new', 'user_ids'], ['send', 'chat_id', 'user_id', 'client_id', 'subject', 'text'],
      ['history', 'chat_id', 'from_seq', 'before_seq', 'limit']]) {
      const help = await world.chat([command, '--help']);
      assert.equal(help.code, 0);
      for (const flag of [...flags, 'nats-url', 'CHAT_NATS_URL']) assert.ok(help.stdout.includes(flag), `${command} --help tells of ${flag}`);
    }
    const version = await world.chat(['--version']);
    assert.equal(version.code, 0);
    assert.match(version.stdout, /\d+\.\d+\.\d+/);
  });

  test('the broker is named by flag or environment; without a broker it fails with status 1', async () => {
    const byFlag = await runChat(['new', '--user_ids=ann,bob', `--nats-url=${world.broker.url}`]);
    assert.equal(JSON.parse(byFlag.stdout).chat_id, chat);
    const broker = new Broker();
    await broker.start();
    try {
      const nobody = await runChat(['new', '--user_ids=x', `--nats-url=${broker.url}`, '--timeout-ms=1000']);
      assert.equal(nobody.code, 1, 'nobody answers there');
      assert.match(nobody.stderr, /no service answers on chat\.New/);
      const unsent = await runChat(['send', `--chat_id=${chat}`, '--user_id=ann', '--text=x', '--client_id=c', `--nats-url=${broker.url}`, '--timeout-ms=1000']);
      assert.match(unsent.stderr, /no service answers on chat\.Send[^]*was not sent/);
      await broker.stop();
      const gone = await runChat(['new', '--user_ids=x', `--nats-url=${broker.url}`, '--timeout-ms=1000']);
      assert.equal(gone.code, 1, 'nobody is there');
      assert.notEqual(gone.stderr.trim(), '');
    } finally {
      await broker.close();
    }
  });

  test('a reply that is lost is asked for again with the same client id: one message', async () => {
    const spy = await world.connect();
    const requests = [];
    spy.subscribe('chat.Send', { callback: (error, message) => requests.push(decode(METHODS.Send.request, message.data)) });
    await spy.flush();
    const { head_seq: before } = await client.History({ chat_id: chat, limit: 1 });

    world.chatd.signal('SIGSTOP');
    let finished;
    try {
      ({ finished } = startChat(['send', `--chat_id=${chat}`, '--user_id=ann', '--text=exactly once'],
        { environment: { CHAT_NATS_URL: world.broker.url } }));
      // It has given up waiting for the first reply when it asks for the second time.
      await eventually('the second attempt', () => requests.length >= 2, 60000);
    } finally {
      world.chatd.signal('SIGCONT');
    }
    const { code, stdout, stderr } = await within(finished, 'the end of chat send', 60000);
    assert.equal(code, 0, stderr);
    const { message } = JSON.parse(stdout);
    assert.equal(new Set(requests.map((request) => request.client_id)).size, 1);
    assert.equal(message.client_id, requests[0].client_id);
    assert.notEqual(message.client_id, '', 'it makes the client id itself');
    const page = await client.History({ chat_id: chat, from_seq: before + 1 });
    assert.deepEqual(page.messages.map(({ id, text }) => [id, text]), [[message.id, 'exactly once']]);
  });

  test('chatd restarting in between: one message', async () => {
    const { head_seq: before } = await client.History({ chat_id: chat, limit: 1 });
    const spy = await world.connect();
    let requests = 0;
    spy.subscribe('chat.Send', { callback: () => { requests++; } });
    await spy.flush();
    world.chatd.signal('SIGSTOP');
    const { finished } = startChat(['send', `--chat_id=${chat}`, '--user_id=ann', '--text=over a crash'],
      { environment: { CHAT_NATS_URL: world.broker.url } });
    await eventually('the first attempt', () => requests >= 1, 60000);
    await world.chatd.kill();
    await world.chatd.start();
    const { code, stderr } = await within(finished, 'the end of chat send', 60000);
    assert.equal(code, 0, stderr);
    const page = await client.History({ chat_id: chat, from_seq: before + 1 });
    assert.deepEqual(page.messages.map(({ text }) => text), ['over a crash']);
  });
});
