'use strict';
// `chat connect` as a child process that is read, typed to, held up, killed and resumed. It checks
// what it shows as that comes: each message of the chat once, in order.

const { once } = require('node:events');
const { eventually, spawnChat } = require('./harness');

class Session {
  // Follows from `fromSeq`; `keep` is how many messages are kept, the last ones.
  constructor(url, chat, { user = 'reader', fromSeq = 1, args = [], keep = Infinity } = {}) {
    Object.assign(this, { url, chat, user, args, keep, next: fromSeq, messages: [], errors: [], wrong: null, starts: 0 });
  }

  start() {
    this.starts++;
    this.child = spawnChat(['connect', `--chat_id=${this.chat}`, `--user_id=${this.user}`, `--from_seq=${this.next}`, ...this.args],
      { CHAT_NATS_URL: this.url });
    const child = this.child;
    this.#read(child.stdout, (line) => this.#take(line));
    this.#read(child.stderr, (line) => this.errors.push(line));
    this.ended = once(child, 'close').then(([code, signal]) => ({ code, signal, stderr: this.errors.join('\n') }));
    return this;
  }

  #read(stream, take) {
    let rest = '';
    stream.setEncoding('utf8');
    stream.on('data', (chunk) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop(); // What a kill cut off is no line.
      lines.forEach(take);
    });
  }

  #take(line) {
    const seq = Number(/"seq":(\d+)\}$/.exec(line)?.[1]);
    if (this.next === 0 && seq > 0) this.next = seq; // From now.
    if (seq !== this.next && !this.wrong) {
      this.wrong = new Error(`${seq} where ${this.next} was to come, in start ${this.starts}: ${line.slice(0, 300)}`);
    }
    this.next = seq + 1;
    if (this.keep > 0) this.messages.push(JSON.parse(line));
    if (this.messages.length > this.keep) this.messages.shift();
  }

  type(text) {
    this.child.stdin.write(text);
  }

  get live() {
    return this.errors.some((line) => line.includes(': live, '));
  }

  isLive() {
    return eventually('it is live', () => this.check() && this.live);
  }

  // Throws what went wrong so far.
  check() {
    if (this.wrong) throw this.wrong;
    return true;
  }

  hasShown(seq, patience) {
    return eventually(`message ${seq} is shown, ${this.next} is next after ${this.starts} starts: ${this.errors.slice(-3)}`,
      () => this.check() && this.next > seq, patience);
  }

  async kill() {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  // The end of input; resolves to { code, signal, stderr }.
  end(text = '') {
    this.child.stdin.end(text);
    return this.ended;
  }
}

module.exports = { Session };
