'use strict';
// The gateway for tests: the program, calls over HTTP that are checked against its own description,
// and tokens of all kinds.

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const Ajv = require('ajv/dist/2020');
const addFormats = require('ajv-formats');
const { WebSocket } = require('ws');
const { BIN, Program, ROOT, cleanEnvironment, eventually, parseLogLine, within } = require('./harness');

const DESCRIPTION = JSON.parse(fs.readFileSync(path.join(ROOT, 'clients', 'gateway', 'openapi.json'), 'utf8'));

class Gateway {
  constructor(natsUrl, args = [], environment = {}) {
    Object.assign(this, { natsUrl, args, environment, port: 0 });
  }

  static async start(natsUrl, args, environment) {
    const gateway = new Gateway(natsUrl, args, environment);
    await gateway.start();
    return gateway;
  }

  // On the port that it had before, when it is not the first time.
  async start() {
    this.spawn();
    this.port = Number((await this.event('ready')).port);
  }

  spawn() {
    this.program = new Program('chat-gateway', path.join(BIN, 'chat-gateway'), [
      '--nats-url', this.natsUrl, '--listen', `127.0.0.1:${this.port}`, ...this.args,
    ], { env: cleanEnvironment(this.environment) });
  }

  url(target, scheme = 'http') {
    return `${scheme}://127.0.0.1:${this.port}${target}`;
  }

  // The fields of the first log line with this event, of those that came after `from` lines.
  event(event, from = 0) {
    let seen = 0;
    return this.program.waitForLine(`event ${event}`, (line) => {
      const fields = seen++ < from ? null : parseLogLine(line);
      return fields && fields.event === event && fields;
    });
  }

  // Reads its files again; the fields of the line that says what came of it.
  async reload(event) {
    const from = this.program.lines.length;
    this.program.child.kill('SIGHUP');
    return this.event(event, from);
  }

  async kill() {
    await this.program.stop('SIGKILL');
  }

  // Whatever is no log line comes from a sanitizer, an assertion or a library that prints.
  async stop() {
    const { code, signal } = await this.program.stop('SIGTERM');
    assert.deepEqual({ code, signal }, { code: 0, signal: null }, this.program.tail());
    assert.deepEqual(this.program.lines.filter((line) => !parseLogLine(line)), []);
  }

  // The answer to a handshake that is refused, or the open WebSocket.
  connect(query, headers = {}) {
    const socket = new WebSocket(this.url(`/chat/Connect?${new URLSearchParams(query)}`, 'ws'), { headers });
    // Frames may come with the very bytes that open it.
    socket.frames = [];
    socket.on('message', (data) => socket.frames.push(JSON.parse(data)));
    socket.ended = new Promise((resolve) => { socket.once('close', resolve); });
    const opened = new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.once('open', () => resolve({ status: 101, socket }));
      socket.once('unexpected-response', (request, response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('end', () => {
          const body = JSON.parse(Buffer.concat(chunks).toString());
          const headers = new Headers(response.headers);
          assert.ok(response.statusCode >= 400, `${response.statusCode}`);
          check('/chat/Connect', 'get', { status: response.statusCode, headers, body });
          resolve({ status: response.statusCode, body, headers });
        });
      });
    });
    return within(opened, 'an answer to a handshake');
  }

  // { status, headers, body }, checked against the description; with `text` as it came.
  async call(method, target, { body, headers = {}, bearer, signal } = {}) {
    const response = await fetch(this.url(target), {
      method,
      headers: { ...headers, ...(bearer && { authorization: `Bearer ${bearer}` }) },
      body: body === undefined || typeof body === 'string' ? body : JSON.stringify(body),
      signal: signal || AbortSignal.timeout(30000),
    });
    const type = response.headers.get('content-type') || '';
    const where = target.split('?')[0];
    if (type.startsWith('text/event-stream')) return { status: response.status, headers: response.headers, response };
    const text = await response.text();
    const parsed = type.startsWith('application/json') ? JSON.parse(text) : undefined;
    const answer = { status: response.status, headers: response.headers, text, body: parsed };
    check(where, method.toLowerCase(), answer, body);
    return answer;
  }

  post(name, body, bearer, headers) {
    return this.call('POST', `/chat/${name}`, { body, bearer, headers });
  }
}

/* The description. */

const ajv = new Ajv({ strict: false, allErrors: true });
addFormats(ajv);
ajv.addSchema(DESCRIPTION, 'api');

const pointer = (...names) => names.map((name) => name.replace(/~/g, '~0').replace(/\//g, '~1')).join('/');

function assertValid(where, value) {
  const validate = ajv.getSchema(`api#/${where}`);
  assert.ok(validate, `no schema at ${where}`);
  assert.ok(validate(value), `${where}: ${JSON.stringify(value)} ${ajv.errorsText(validate.errors)}`);
}

// An answer must be one that is described; a request that was accepted must have been one, too.
function check(where, method, { status, headers, body }, request) {
  const operation = DESCRIPTION.paths[where]?.[method];
  if (!operation) {
    if (status !== 200) assertValid('components/schemas/Error', body);
    return;
  }
  const described = operation.responses[status];
  assert.ok(described, `${method} ${where} answers ${status}, which is not described: ${JSON.stringify(body)}`);
  const response = described.$ref ? DESCRIPTION.components.responses[described.$ref.split('/').pop()] : described;
  for (const name of Object.keys(response.headers ?? {})) {
    assert.ok(headers.has(name), `${method} ${where} answers ${status} without ${name}`);
  }
  if (body !== undefined) {
    const place = described.$ref ? described.$ref.slice(2) : pointer('paths', where, method, 'responses', String(status));
    assertValid(`${place}/content/application~1json/schema`, body);
  }
  if (status === 200 && operation.requestBody && typeof request === 'object') {
    assertValid(`${pointer('paths', where, method)}/requestBody/content/application~1json/schema`, request);
  }
}

/* Tokens. */

const base64url = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const sha256 = (text) => crypto.createHash('sha256').update(text).digest('hex');

// A JSON Web Token; `key` is a secret or a private key.
function jwt(algorithm, key, claims, header = {}) {
  const signed = `${base64url({ alg: algorithm, typ: 'JWT', ...header })}.${base64url(claims)}`;
  const signature = algorithm === 'HS256'
    ? crypto.createHmac('sha256', key).update(signed).digest()
    : crypto.sign(algorithm === 'EdDSA' ? null : 'sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}

module.exports = { DESCRIPTION, Gateway, assertValid, eventually, jwt, sha256 };
