'use strict';
// What operators and their tools get from the gateway: figures that a parser of others understands,
// readiness, and a description of all routes that is one.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { after, before, describe, test } = require('node:test');
const parsePrometheus = require('parse-prometheus-text-format');
const { ROOT, World, eventually, makeDirectory, removeDirectory } = require('./harness');
const { DESCRIPTION, Gateway, sha256 } = require('./gateway');

let world;
let gateway;

before(async () => {
  world = await World.start();
  gateway = await Gateway.start(world.broker.url);
});
after(async () => {
  if (gateway) await gateway.stop();
  if (world) await world.close();
});

// { name: { type, help, metrics } }; what the parser does not understand it leaves out, so that the
// count of names is compared with the text's own.
function parse(text) {
  const families = Object.fromEntries(parsePrometheus(text).map((family) => [family.name, family]));
  assert.deepEqual(Object.keys(families).sort(), [...text.matchAll(/^# TYPE (\S+) /gm)].map((match) => match[1]).sort());
  // Of histograms with labels the parser keeps the last only: all samples as they stand.
  const samples = [...text.matchAll(/^([^#].*) (\S+)$/gm)];
  Object.defineProperty(families, 'samples', {
    value: { name: 'samples', metrics: samples.map(([, sample, number]) => ({ labels: { sample }, value: number })) },
  });
  return families;
}

const value = (family, labels = {}) => {
  const found = family.metrics.filter((metric) => Object.entries(labels).every(([name, wanted]) => metric.labels?.[name] === wanted));
  assert.equal(found.length, 1, `${family.name} ${JSON.stringify(labels)}: ${JSON.stringify(family.metrics)}`);
  return Number(found[0].value);
};

describe('metrics', () => {
  test('are what a parser of the format reads, each with its help', async () => {
    await gateway.post('New', { user_ids: ['John'] });
    await gateway.call('GET', '/nowhere');
    const { status, headers, text } = await gateway.call('GET', '/metrics');
    assert.equal(status, 200);
    assert.equal(headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
    const families = parse(text);
    for (const { name, type, help } of Object.values(families)) {
      assert.match(help, /\.$/, name);
      assert.equal(type === 'COUNTER', /_total$/.test(name), `${name} is a ${type}`);
      assert.match(name, /^(chat_gateway|chatd|process)_[a-z_]+$/);
    }
    for (const line of text.split('\n')) {
      assert.match(line, /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z_]+="[^"\n]*"(,[a-z_]+="[^"\n]*")*\})? [-+0-9.eE]+(Inf)?|)$/);
    }
  });

  test('count what was done here and in each chatd', async () => {
    const read = async () => parse((await gateway.call('GET', '/metrics')).text);
    const families = await eventually('the figures of a chatd', async () => {
      const found = await read();
      return found.chatd_up.metrics?.length === 1 && found;
    });
    const { id } = families.chatd_up.metrics[0].labels;
    const done = (f) => value(f.chat_gateway_http_requests_total, { route: 'New', code: '200' });
    const taken = (f) => value(f.chatd_requests_total, { id, method: 'New' });
    const before = await read();
    for (let i = 0; i < 5; i++) assert.equal((await gateway.post('New', { user_ids: ['John'] })).status, 200);
    assert.equal((await gateway.post('Send', { chat_id: 'none', user_id: 'John', text: 'x' })).status, 404);
    const now = await eventually('new figures', async () => {
      const found = await read();
      return taken(found) >= taken(before) + 5 && found;
    });
    assert.equal(done(now), done(before) + 5);
    assert.equal(value(now.chat_gateway_http_requests_total, { route: 'Send', code: '404' }), 1);
    assert.ok(value(now.chat_gateway_http_errors_total, { code: '404' }) >= 1);
    const duration = (what) => value(now.samples, { sample: `chat_gateway_http_request_duration_seconds_${what}` });
    assert.equal(duration('count{route="New"}'), done(now));
    assert.equal(duration('bucket{route="New",le="+Inf"}'), done(now));
    assert.ok(duration('sum{route="New"}') > 0);
    assert.ok(value(now.process_resident_memory_bytes) > 1e6);
    assert.equal(value(now.chat_gateway_broker_connected), 1);
    assert.ok(value(now.chatd_start_time_seconds, { id }) > 1.6e9);
    assert.ok(value(now.chatd_journal_commands_total, { id }) >= 1);
  });

  test('are for tokens of any namespace and any user, or open', async () => {
    const directory = makeDirectory();
    const tokens = path.join(directory, 'tokens');
    fs.writeFileSync(tokens, `${sha256('operator')} * *\n${sha256('tenant')} acme *\n${sha256('user')} * John\n`);
    const closed = await Gateway.start(world.broker.url, ['--auth-tokens', tokens]);
    const open = await Gateway.start(world.broker.url, ['--auth-tokens', tokens, '--open-metrics']);
    try {
      assert.equal((await closed.call('GET', '/metrics')).status, 401);
      assert.equal((await closed.call('GET', '/metrics', { bearer: 'tenant' })).status, 403);
      assert.equal((await closed.call('GET', '/metrics', { bearer: 'user' })).status, 403);
      const { status, text } = await closed.call('GET', '/metrics', { bearer: 'operator' });
      assert.equal(status, 200);
      assert.equal(value(parse(text).chat_gateway_refused_total, { reason: 'credentials' }), 1);
      assert.equal((await open.call('GET', '/metrics')).status, 200);
    } finally {
      await closed.stop();
      await open.stop();
      removeDirectory(directory);
    }
  });

  test('many who ask at once all get them', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => gateway.call('GET', '/metrics')));
    for (const { status, text } of answers) {
      assert.equal(status, 200);
      parse(text);
    }
  });
});

describe('readiness', () => {
  test('needs broker and service, and being alive neither', async () => {
    const own = await World.start();
    const at = await Gateway.start(own.broker.url);
    const becomes = (status, detail) => eventually(`/readyz is ${status}`, async () => {
      const answer = await at.call('GET', '/readyz');
      if (answer.status !== status) return false;
      if (status === 200) assert.deepEqual(answer.body, { status: 'ready' });
      else assert.equal(answer.body.id, 'gateway.NotReady');
      return status === 200 || detail.test(answer.body.detail);
    });
    try {
      await becomes(200);
      await own.chatd.stop();
      await becomes(503, /no chatd answers/);
      await own.chatd.start();
      await becomes(200);
      await own.chatd.kill();
      await own.broker.stop();
      await becomes(503, /broker/);
      assert.equal((await at.call('GET', '/healthz')).status, 200);
      assert.equal((await at.call('GET', '/metrics')).status, 200);
      await own.broker.start();
      await own.chatd.start();
      await becomes(200);
    } finally {
      await at.stop();
      await own.close();
    }
  });
});

describe('the description', () => {
  test('is OpenAPI 3.1', async () => {
    const { Validator } = await import('@seriousme/openapi-schema-validator');
    const validator = new Validator();
    const { valid, errors } = await validator.validate(DESCRIPTION);
    assert.ok(valid, JSON.stringify(errors));
    assert.equal(validator.version, '3.1');
    const served = await gateway.call('GET', '/openapi.json');
    assert.deepEqual(served.body, DESCRIPTION);
  });

  test('has every route, and none that there is not', async () => {
    const table = fs.readFileSync(path.join(ROOT, 'clients', 'gateway', 'routes.c'), 'utf8');
    const routes = [...table.matchAll(/^ {4}\{"([A-Z]+)",\s*"([^"]+)"/gm)].map(([, method, where]) => `${method} ${where}`);
    const described = Object.entries(DESCRIPTION.paths).flatMap(([where, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${where}`));
    assert.ok(routes.length >= 7, table);
    assert.deepEqual(described.filter((route) => !route.endsWith('/openapi.json')).sort(), [...routes].sort());
    for (const [where, methods] of Object.entries(DESCRIPTION.paths)) {
      const answer = await gateway.call('PUT', where);
      assert.equal(answer.status, 405, where);
      for (const method of Object.keys(methods)) assert.match(answer.headers.get('allow'), new RegExp(`\\b${method.toUpperCase()}\\b`), where);
    }
  });
});
