'use strict';
// The service's calls over HTTP: as documented, with curl and fetch, and as the service answers itself.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { after, before, describe, test } = require('node:test');
const { promisify } = require('node:util');
const nats = require('nats');
const { ErrorType, encode } = require('./client');
const { World, eventually, parseLogLine } = require('./harness');
const { Gateway } = require('./gateway');
const { Raw } = require('./raw');

const run = promisify(execFile);
const NO_CHAT = '00000000-0000-4000-8000-000000000000';
const ORIGIN = 'https://chat.example';

describe('calls over HTTP', () => {
  let world;
  let gateway;
  let client;

  before(async () => {
    world = await World.start();
    gateway = await Gateway.start(world.broker.url, ['--cors-origin', ORIGIN, '--timeout-ms', '4000',
      '--trusted-proxies', '127.0.0.1', '--head-timeout-ms', '20000']);
    client = await world.client();
  });
  after(async () => {
    if (gateway) await gateway.stop();
    if (world) await world.close();
  });

  async function call(target, { body, method = body === undefined ? 'GET' : 'POST', headers = {} } = {}) {
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    const response = await fetch(gateway.url(target), { method, headers, body: text });
    const answer = await response.text();
    return { code: response.status, headers: response.headers, text: answer, json: answer && JSON.parse(answer) };
  }

  async function refused(code, id, detail, target, options) {
    const answer = await call(target, options);
    assert.deepEqual([answer.code, answer.json.code, answer.json.id], [code, code, id], answer.text);
    assert.match(answer.json.detail, detail);
    assert.match(answer.headers.get('content-type'), /^application\/json/);
    assert.ok(answer.json.status.length > 0);
    return answer;
  }

  const newChat = async (...users) => (await call('/chat/New', { body: { user_ids: users } })).json.chat_id;

  test('the cURL commands of the earlier service work', async () => {
    const curl = async (method, body) => {
      const { stdout } = await run('curl', ['-sS', '-X', 'POST', gateway.url(`/chat/${method}`),
        '-H', 'micro-namespace: curl', '-H', 'authorization: Bearer token', '-d', JSON.stringify(body)]);
      return JSON.parse(stdout);
    };
    const made = await curl('New', { user_ids: ['JohnBarry'] });
    assert.equal(made.created, true);
    const sent = await curl('Send', {
      client_id: 'c1', chat_id: made.chat_id, user_id: 'John', subject: 'Hello', text: 'Hey Barry',
    });
    assert.equal(sent.message.seq, 1);
    const page = await curl('History', { chat_id: made.chat_id });
    assert.deepEqual(page, { messages: [sent.message], head_seq: 1, more: false });
    // The namespace was the header's: nobody else sees the chat.
    await refused(404, 'chat.History.InvalidChatID', /chat/, '/chat/History', { body: { chat_id: made.chat_id } });
  });

  test('answers are those of the service in JSON, field by field', async () => {
    const chatId = await newChat('Ann', 'Bob');
    const direct = async (method, body) => client[method](body, { json: true });
    const text = 'emoji 🎉, "quotes", \\ and \n lines, \u202eright to left';
    for (const [method, body] of [
      ['New', { user_ids: ['Bob', 'Ann'] }],
      ['Send', { chat_id: chatId, user_id: 'Ann', client_id: 'x', subject: 'ä', text }],
      ['History', { chat_id: chatId }],
      ['History', { chatId, fromSeq: '1', limit: 1 }],
    ]) {
      const expected = await direct(method, body);
      const { code, json } = await call(`/chat/${method}`, { body });
      assert.equal(code, 200);
      if (method === 'Send') expected.duplicate = true;
      assert.deepEqual(json, expected);
    }
  });

  test('History takes arguments, and refuses those it has not', async () => {
    const chatId = await newChat('history');
    for (let i = 1; i <= 5; i++) await call('/chat/Send', { body: { chat_id: chatId, user_id: 'a', text: `${i}` } });
    const seqs = async (query) => (await call(`/chat/History?chat_id=${chatId}${query}`)).json.messages.map((m) => m.seq);
    assert.deepEqual(await seqs(''), [1, 2, 3, 4, 5]);
    assert.deepEqual(await seqs('&from_seq=2&limit=2'), [2, 3]);
    assert.deepEqual(await seqs('&before_seq=4&limit=2'), [2, 3]);
    assert.deepEqual(await seqs('&from_seq=2&before_seq=%34'), [2, 3]);
    const malformed = 'chat.History.Malformed';
    await refused(400, malformed, /no argument from_sec/, `/chat/History?chat_id=${chatId}&from_sec=1`);
    await refused(400, malformed, /from_seq/, `/chat/History?chat_id=${chatId}&from_seq=-1`);
    await refused(400, malformed, /limit/, `/chat/History?chat_id=${chatId}&limit=many`);
    await refused(400, 'chat.History.InvalidRange', /./, `/chat/History?chat_id=${chatId}&from_seq=3&before_seq=2`);
    await refused(400, 'chat.History.MissingChatID', /./, '/chat/History');
    for (const query of ['chat_id=%zz', 'chat_id=%00', 'chat_id=%ff', 'chat_id=%4', 'limit=1&limit=1']) {
      await refused(400, 'gateway.MalformedQuery', /./, `/chat/History?${query}`);
    }
  });

  test('refusals say what is wrong, each with its status', async () => {
    const chatId = await newChat('errors');
    const send = { chat_id: chatId, user_id: 'a', text: 'x', client_id: 'same' };
    await call('/chat/Send', { body: send });
    const cases = [
      [400, 'chat.New.MissingUserIDs', { user_ids: [] }],
      [400, 'chat.New.Malformed', '{"user_ids":'],
      [400, 'chat.New.Malformed', ''],
      [400, 'chat.New.Malformed', '[]'],
      [400, 'chat.New.Malformed', { users: ['a'] }, /users/],
      [400, 'chat.New.InvalidUserID', { user_ids: ['a\nb'] }],
      [400, 'chat.Send.MissingChatID', {}],
      [400, 'chat.Send.MissingText', { ...send, text: '' }],
      [400, 'chat.Send.InvalidText', { ...send, text: 'a\0b' }],
      [404, 'chat.Send.InvalidChatID', { ...send, chat_id: NO_CHAT }],
      [404, 'chat.Send.InvalidChatID', { ...send, chat_id: 'x' }],
      [409, 'chat.Send.ClientIDReused', { ...send, text: 'y' }],
      [413, 'chat.Send.TooLarge', { ...send, client_id: 'large', text: 'x'.repeat(70000) }],
      [413, 'gateway.TooLarge', { ...send, text: 'x'.repeat(300000) }],
      [404, 'chat.History.InvalidChatID', { chat_id: NO_CHAT }],
    ];
    for (const [code, id, body, detail = /./] of cases) {
      const method = id.startsWith('gateway') ? 'Send' : id.split('.')[1];
      await refused(code, id, detail, `/chat/${method}`, { body });
    }
    const headers = { 'micro-namespace': 'a.b' };
    await refused(400, 'gateway.InvalidNamespace', /A-Z/, '/chat/New', { body: { user_ids: ['a'] }, headers });
    await refused(400, 'gateway.InvalidNamespace', /differ/, '/chat/New?namespace=c',
      { body: { user_ids: ['a'] }, headers: { 'micro-namespace': 'b' } });
    await refused(404, 'gateway.NotFound', /chat\/Send/, '/chat/Nothing', { body: {} });
    await refused(415, 'gateway.UnsupportedEncoding', /Content-Encoding/, '/chat/New',
      { body: 'x', headers: { 'content-encoding': 'gzip' } });
    const wrong = await refused(405, 'gateway.MethodNotAllowed', /POST/, '/chat/Send', { method: 'PUT', body: {} });
    assert.equal(wrong.headers.get('allow'), 'POST, OPTIONS');
  });

  test('Idempotency-Key is the client_id of a Send without one', async () => {
    const chatId = await newChat('keys');
    const body = { chat_id: chatId, user_id: 'a', text: 'once' };
    const send = (key, extra = {}) => call('/chat/Send', { body: { ...body, ...extra }, headers: { 'idempotency-key': key } });
    const first = await send('k-1');
    assert.deepEqual([first.json.message.client_id, first.json.duplicate], ['k-1', false]);
    assert.equal((await send('"k-1"')).json.duplicate, true);
    assert.equal((await send('k-1', { client_id: 'own' })).json.message.client_id, 'own');
    await refused(400, 'chat.Send.InvalidClientID', /Idempotency-Key/, '/chat/Send',
      { body, headers: { 'idempotency-key': 'x'.repeat(129) } });
    // Two keys, even the same ones, are not one.
    const bytes = JSON.stringify({ ...body, text: 'twice' });
    for (const keys of ['k-2\r\nIdempotency-Key: k-2', 'k-2\r\nIdempotency-Key: k-3']) {
      const raw = Raw.open(gateway.port).write(`POST /chat/Send HTTP/1.1\r\nHost: a\r\nIdempotency-Key: ${keys}\r\n`
        + `Content-Length: ${bytes.length}\r\n\r\n${bytes}`);
      const [answer] = await raw.untilAnswers(1);
      await raw.close();
      const error = JSON.parse(answer.body);
      assert.deepEqual([answer.code, error.id], [400, 'chat.Send.InvalidClientID']);
      assert.match(error.detail, /^Idempotency-Key is given twice/);
    }
    const { json } = await call(`/chat/History?chat_id=${chatId}`);
    assert.deepEqual(json.messages.map((message) => message.client_id), ['k-1', 'own']);
  });

  test('Prefer: return=minimal leaves out what the sender knows', async () => {
    const chatId = await newChat('minimal');
    const headers = { prefer: 'respond-async, return=minimal' };
    for (const prefer of [headers.prefer, 'return="minimal"', 'wait=10, return = minimal; a="b, c"']) {
      const answer = await call('/chat/Send', { body: { chat_id: chatId, user_id: 'a', text: 'x' }, headers: { prefer } });
      assert.deepEqual([answer.code, answer.text], [200, '{}'], prefer);
      assert.equal(answer.headers.get('preference-applied'), 'return=minimal');
    }
    const all = await call('/chat/Send', { body: { chat_id: chatId, user_id: 'a', text: 'x' }, headers: { prefer: 'return=representation, return=minimal' } });
    assert.equal(all.json.message.text, 'x');
    assert.equal(all.headers.get('preference-applied'), null);
    await refused(400, 'chat.Send.MissingText', /text/, '/chat/Send', { body: { chat_id: chatId, user_id: 'a' }, headers });
  });

  test('HEAD is GET without its body, OPTIONS says what there is', async () => {
    const chatId = await newChat('head');
    const target = `/chat/History?chat_id=${chatId}`;
    const full = await call(target);
    const raw = Raw.open(gateway.port);
    raw.write(`HEAD ${target} HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    await raw.untilEnd();
    const [head, next] = raw.text.split('\r\n\r\n');
    assert.match(head, new RegExp(`^HTTP/1.1 200 [^]*Content-Length: ${full.text.length}`));
    assert.match(next, /^HTTP\/1.1 200 /);
    await raw.close();
    const options = await call('/chat/History', { method: 'OPTIONS' });
    assert.deepEqual([options.code, options.headers.get('allow')], [204, 'GET, HEAD, POST, OPTIONS']);
    assert.equal(options.headers.get('access-control-allow-methods'), null);
  });

  test('pages of the listed origins may call, and no others', async () => {
    const headers = { origin: ORIGIN, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' };
    const preflight = await call('/chat/Send', { method: 'OPTIONS', headers });
    assert.equal(preflight.code, 204);
    assert.equal(preflight.headers.get('access-control-allow-origin'), ORIGIN);
    assert.match(preflight.headers.get('access-control-allow-methods'), /POST/);
    assert.match(preflight.headers.get('access-control-allow-headers'), /authorization/);
    const failed = await call('/chat/Send', { body: {}, headers: { origin: ORIGIN } });
    assert.equal(failed.headers.get('access-control-allow-origin'), ORIGIN);
    for (const origin of ['https://chat.example.evil', 'https://chat.example:444', 'http://chat.example', 'null', '*']) {
      const other = await call('/chat/Send', { method: 'OPTIONS', headers: { ...headers, origin } });
      assert.equal(other.headers.get('access-control-allow-origin'), null);
      assert.equal(other.headers.get('access-control-allow-methods'), null);
      assert.match(other.headers.get('vary'), /Origin/);
    }
  });

  test('every answer forbids what it need not allow', async () => {
    for (const target of ['/healthz', '/nothing', '/']) {
      const response = await fetch(gateway.url(target));
      await response.text();
      assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
      assert.match(response.headers.get('content-security-policy'), /default-src 'none'/);
      assert.doesNotMatch(response.headers.get('content-security-policy'), /unsafe|\*/);
      assert.match(response.headers.get('content-security-policy'), /frame-ancestors 'none'/);
      assert.equal(response.headers.get('server'), null);
    }
  });

  test('the page is in the program, and is not sent twice', async () => {
    const page = await fetch(gateway.url('/'));
    assert.match(page.headers.get('content-type'), /^text\/html/);
    assert.match(await page.text(), /<!doctype html>/i);
    const etag = page.headers.get('etag');
    const again = await fetch(gateway.url('/'), { headers: { 'if-none-match': `"x", ${etag}` } });
    assert.equal(again.status, 304);
    assert.equal(again.headers.get('etag'), etag);
    assert.equal((await fetch(gateway.url('/..%2fgateway.h'))).status, 404);
    assert.equal((await fetch(gateway.url('/index.html'))).status, 404);
  });

  test('no secret and no forged line gets into the log', async () => {
    const before = gateway.program.lines.length;
    await call('/chat/History?access_token=hunter2secret&chat_id=x', { headers: { authorization: 'Bearer hunter2secret' } });
    await call('/forged%0atime=1%20level=error', { headers: { 'user-agent': 'x" event=forged level=error y="' } });
    const raw = Raw.open(gateway.port);
    raw.write('GET /"event=forged HTTP/1.1\r\nHost: a\r\n\r\nGET /=a"b HTTP/1.1\r\nHost: a\r\nUser-Agent: \x80\x9b1m\r\n\r\n');
    await raw.untilEnd();
    await raw.close();
    await eventually('all are logged', () => gateway.program.lines.length >= before + 3);
    assert.deepEqual([...new Set(gateway.program.lines.slice(before).map((line) => parseLogLine(line)?.event))], ['http.request']);
    const lines = gateway.program.lines.slice(before).join('\n');
    assert.doesNotMatch(lines, /hunter2/);
    assert.match(lines, /event=http\.request .*path=\/chat\/History/);
    assert.ok(/^[\x20-\x7e\n]*$/.test(lines), lines);
  });

  test('the address is what the trusted proxy says last', async () => {
    const logged = async (forwarded) => {
      const marker = `/address/${Math.random()}`;
      await call(marker, { headers: { 'x-forwarded-for': forwarded } });
      const line = await gateway.program.waitForLine('the request', (text) => text.includes(marker) && text);
      return /address=(\S+)/.exec(line)[1];
    };
    assert.equal(await logged('10.9.9.9, 192.0.2.7'), '192.0.2.7');
    assert.equal(await logged('2001:db8::7'), '2001:db8::7');
    assert.equal(await logged('192.0.2.7, evil" level=error'), '127.0.0.1');
  });

  test('without an answer of the service a Send gets 504 and may be repeated', async () => {
    const chatId = await newChat('late');
    const body = { chat_id: chatId, user_id: 'a', text: 'late', client_id: 'late-1' };
    const nameless = { ...body, client_id: undefined };
    world.chatd.signal('SIGSTOP');
    try {
      const [answer, unnamed] = await Promise.all([
        refused(504, 'gateway.Timeout', /safe .* same client_id$/, '/chat/Send', { body }),
        refused(504, 'gateway.Timeout', /safe .* client_id [0-9a-f-]{36}$/, '/chat/Send', { body: nameless }),
      ]);
      assert.equal(answer.headers.get('retry-after'), '1');
      nameless.client_id = unnamed.json.detail.slice(-36);
    } finally {
      world.chatd.signal('SIGCONT');
    }
    const again = await eventually('it is answered', async () => {
      const answer = await call('/chat/Send', { body });
      return answer.code === 200 && answer;
    });
    assert.equal(again.json.message.client_id, 'late-1');
    // Who gave no client_id is told the one to come back with.
    assert.equal((await call('/chat/Send', { body: nameless })).code, 200);
    const { json } = await call(`/chat/History?chat_id=${chatId}`);
    assert.equal(json.messages.length, 2);
  });

  test('a client that leaves before its answer harms nobody', async () => {
    const chatId = await newChat('leaver');
    world.chatd.signal('SIGSTOP');
    const body = JSON.stringify({ chat_id: chatId, user_id: 'a', text: 'left', client_id: 'left' });
    const leavers = Array.from({ length: 20 }, () => Raw.open(gateway.port).write(
      `POST /chat/Send HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    ));
    await Promise.all(leavers.map((raw) => new Promise((resolve) => { raw.socket.once('connect', resolve); })));
    for (const raw of leavers) raw.socket.resetAndDestroy();
    world.chatd.signal('SIGCONT');
    const page = await eventually('the message is there', async () => {
      const { json } = await call(`/chat/History?chat_id=${chatId}`);
      return json.messages && json.messages.length > 0 && json;
    }).catch(() => ({ messages: [] }));
    assert.ok(page.messages.length <= 1);
    assert.equal((await call('/healthz')).code, 200);
  });
});

describe('what the service refuses for now', () => {
  let world;
  let gateway;
  let attempts;

  // In the service's place, with one answer to all.
  before(async () => {
    world = await World.start({ chatd: false });
    const { connection } = await world.client();
    for (const subject of ['chat.*', 'chat.*.default']) {
      connection.subscribe(subject, {
        callback(_, message) {
          const [, method] = message.subject.split('.');
          const { code, reason } = attempts;
          attempts.seen.push(method);
          const headers = nats.headers();
          headers.set('Nats-Service-Error-Code', String(code));
          headers.set('Nats-Service-Error', 'not now');
          message.respond(encode(ErrorType, { id: `chat.${method}.${reason}`, code, detail: 'not now', status: 'Later' }), { headers });
        },
      });
    }
    await connection.flush();
    gateway = await Gateway.start(world.broker.url);
    await eventually('the gateway has found the broker', async () => (
      /^chat_gateway_broker_connected 1$/m.test(await (await fetch(gateway.url('/metrics'))).text())));
  });
  after(async () => {
    if (gateway) await gateway.stop();
    if (world) await world.close();
  });

  for (const [code, reason] of [[503, 'Overloaded'], [507, 'StorageFull']]) {
    test(`${code} is passed on at once, with Retry-After: who called decides whether to try again`, async () => {
      const bodies = {
        New: { user_ids: ['a'] },
        Send: { chat_id: NO_CHAT, user_id: 'a', text: 'x' },
        ...(code === 503 && { History: { chat_id: NO_CHAT } }),
      };
      for (const [method, body] of Object.entries(bodies)) {
        attempts = { code, reason, seen: [] };
        const answer = await gateway.post(method, body);
        assert.deepEqual([answer.status, answer.body.code, answer.body.id, answer.body.detail],
          [code, code, `chat.${method}.${reason}`, 'not now']);
        assert.equal(answer.headers.get('retry-after'), '1');
        assert.deepEqual(attempts.seen, [method], 'the service was asked once');
      }
    });
  }
});

describe('the life of the gateway', () => {
  test('waits for a broker that is not there yet, and stops while it waits', async () => {
    const world = await World.start({ chatd: false });
    try {
      await world.broker.stop();
      const gateway = await Gateway.start(world.broker.url, ['--timeout-ms', '300']);
      const late = await fetch(gateway.url('/chat/New'), { method: 'POST', body: '{"user_ids":["a"]}' });
      assert.equal(late.status, 504);
      assert.match((await late.json()).detail, /broker/);
      await gateway.stop();
    } finally {
      await world.close();
    }
  });

  test('SIGTERM lets what is under way end, and takes nothing new', async () => {
    const world = await World.start();
    try {
      const gateway = await Gateway.start(world.broker.url, ['--drain-timeout-ms', '20000']);
      const idle = Raw.open(gateway.port).write('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
      await idle.untilAnswers(1);
      const events = await fetch(gateway.url('/chat/New'), { method: 'POST', body: '{"user_ids":["a"]}' })
        .then((response) => response.json())
        .then(({ chat_id: id }) => fetch(gateway.url(`/chat/Events?chat_id=${id}`)));
      world.chatd.signal('SIGSTOP');
      const body = '{"user_ids":["b"]}';
      const busy = Raw.open(gateway.port).write(`POST /chat/New HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      const slow = Raw.open(gateway.port).write('POST /chat/New HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n');
      // Whoever comes after them is answered after they have been read.
      await Promise.all([busy, slow].map((raw) => eventually('it is connected', () => !raw.socket.connecting && raw.socket.bytesWritten > 0)));
      const last = Raw.open(gateway.port).write('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n');
      await last.untilAnswers(1);
      await last.close();
      const stopped = gateway.stop();
      await gateway.program.waitForLine('stopping', (line) => line.includes('event=stopping'));
      await idle.untilEnd();
      await idle.close();
      await assert.rejects(fetch(gateway.url('/healthz')));
      slow.write('{}');
      const [refusal] = await slow.untilAnswers(1);
      assert.deepEqual([refusal.code, refusal.headers.connection], [400, 'close']);
      await slow.close();
      world.chatd.signal('SIGCONT');
      const [answer] = await busy.untilAnswers(1);
      assert.deepEqual([answer.code, answer.headers.connection], [200, 'close']);
      await busy.close();
      await events.text();
      await stopped;
    } finally {
      world.chatd.signal('SIGCONT');
      await world.close();
    }
  });
});
