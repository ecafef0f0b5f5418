'use strict';
// Bytes to a port and what comes back, read as HTTP by a few lines that trust nothing.

const net = require('node:net');
const tls = require('node:tls');
const { eventually, within } = require('./harness');

// Splits what came into answers with a Content-Length; what is left over is `rest`.
function readAnswers(text, isHead = false) {
  const answers = [];
  let rest = text;
  for (;;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) break;
    const [line, ...fields] = rest.slice(0, end).split('\r\n');
    const match = /^HTTP\/1\.1 (\d{3}) /.exec(line);
    if (!match) break;
    const headers = Object.fromEntries(fields.map((field) => {
      const colon = field.indexOf(': ');
      return [field.slice(0, colon).toLowerCase(), field.slice(colon + 2)];
    }));
    const length = isHead ? 0 : Number(headers['content-length'] || 0);
    if (rest.length < end + 4 + length) break;
    const body = rest.slice(end + 4, end + 4 + length);
    answers.push({ code: Number(match[1]), headers, body });
    rest = rest.slice(end + 4 + length);
  }
  return { answers, rest };
}

class Raw {
  constructor(socket) {
    this.socket = socket;
    this.received = Buffer.alloc(0);
    this.ended = false;
    this.closed = new Promise((resolve) => { socket.once('close', () => resolve()); });
    socket.on('data', (data) => { this.received = Buffer.concat([this.received, data]); });
    socket.on('end', () => { this.ended = true; });
    socket.on('close', () => { this.ended = true; });
    socket.on('error', () => {});
  }

  static open(port, options = {}) {
    return new Raw(options.tls ? tls.connect({ port, host: '127.0.0.1', ...options.tls })
      : net.connect({ port, host: '127.0.0.1', allowHalfOpen: true }));
  }

  write(data) {
    this.socket.write(Buffer.from(data, 'latin1'));
    return this;
  }

  get text() {
    return this.received.toString('latin1');
  }

  answers(isHead) {
    return readAnswers(this.text, isHead).answers;
  }

  async untilAnswers(count, isHead) {
    await eventually(`${count} answers`, () => this.answers(isHead).length >= count);
    return this.answers(isHead);
  }

  untilEnd() {
    return eventually('the connection ends', () => this.ended);
  }

  async close() {
    this.socket.destroy();
    await within(this.closed, 'a socket closes');
  }
}

module.exports = { Raw, readAnswers };
