'use strict';
// Load from careful clients: each message has a client id and is sent again, with the same id,
// until it is acknowledged. `check` then compares what was acknowledged with what is there.

const assert = require('node:assert/strict');
const { range, seqs } = require('./client');

class Load {
  constructor(chats) {
    this.chats = chats;
    this.acknowledged = [];
    this.stopping = false;
    this.waiters = new Set();
  }

  // `width` workers on each client, until stop(). Each sends one message after the other.
  start(clients, width) {
    const workers = clients.flatMap((client, c) => range(1, width).map((w) => this.#work(client, `${c}.${w}`)));
    this.working = Promise.all(workers);
    this.working.catch(() => {}); // stop() and reached() report it.
    return this;
  }

  async #work(client, name) {
    for (let i = 0; !this.stopping; i++) {
      const fields = {
        chat_id: this.chats[i % this.chats.length], user_id: name, client_id: `${name}/${i}`, text: `message ${i} of ${name}`,
      };
      const { message } = await client.sendUntilAcknowledged(fields);
      assert.equal(message.text, fields.text);
      this.acknowledged.push(message);
      for (const waiter of [...this.waiters]) waiter();
    }
  }

  // Resolves when `more` further messages have been acknowledged.
  async further(more) {
    const goal = this.acknowledged.length + more;
    let waiter;
    const reached = new Promise((resolve) => {
      waiter = () => this.acknowledged.length >= goal && resolve();
      this.waiters.add(waiter);
      waiter();
    });
    await Promise.race([reached, this.working]);
    this.waiters.delete(waiter);
  }

  async stop() {
    this.stopping = true;
    await this.working;
  }

  // Everything acknowledged is there once, as acknowledged and in order; and nothing else is there.
  async check(client) {
    const acknowledged = new Map(this.acknowledged.map((message) => [message.id, message]));
    assert.equal(acknowledged.size, this.acknowledged.length, 'no message was acknowledged under two client ids');
    let total = 0;
    for (const chat of this.chats) {
      const messages = await client.readAll(chat);
      assert.deepEqual(seqs(messages), range(1, messages.length));
      const last = new Map();
      for (const message of messages) {
        assert.deepEqual(message, acknowledged.get(message.id), `message ${message.seq}`);
        // A worker waits for each acknowledgement: its messages are in the order it sent them.
        const turn = Number(message.client_id.split('/')[1]);
        assert.ok(turn > (last.get(message.user_id) ?? -1), 'in the order in which they were sent, once each');
        last.set(message.user_id, turn);
      }
      total += messages.length;
    }
    assert.equal(total, this.acknowledged.length);
  }
}

module.exports = { Load };
