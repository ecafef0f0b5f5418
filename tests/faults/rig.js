'use strict';
// What the fault tests share: short or long, the shim in front of libc, disks of their own, the
// checker of data directories.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { BIN } = require('../integration/harness');
const { randomFrom } = require('./judge');

const TOOLS = process.env.CHAT_FAULT_TOOLS || path.resolve(BIN, '..', 'tests', 'faults');
const LONG = process.env.CHAT_FAULTS === 'long';

// How many rounds: CHAT_FAULT_ROUNDS decides for all tests, if it is set.
const rounds = (short, long) => Number(process.env.CHAT_FAULT_ROUNDS) || (LONG ? long : short);

// The choices of a test follow from its seed; what the machine does meanwhile does not.
function seeded(t) {
  const seed = Number(process.env.CHAT_FAULT_SEED) || Date.now() % 1e9;
  t.diagnostic(`CHAT_FAULT_SEED=${seed}`);
  const random = randomFrom(seed);
  random.upTo = (limit) => Math.floor(random() * limit);
  random.pick = (array) => array[random.upTo(array.length)];
  return random;
}

function run(command, ...args) {
  const done = spawnSync(command, args, { encoding: 'utf8' });
  if (done.error || done.status !== 0) {
    throw new Error(`${command} ${args.join(' ')}: ${done.error || done.stderr || done.signal || done.status}`);
  }
  return done.stdout;
}

// Reads a whole data directory that nobody has open, with the program that is made for it.
function verify(dataDirectory) {
  run(path.join(BIN, 'chat-store'), 'verify', '--data-dir', dataDirectory);
}

// What the same program says of it.
function stats(dataDirectory) {
  return JSON.parse(run(path.join(BIN, 'chat-store'), 'stats', '--json', '--data-dir', dataDirectory));
}

// What a running one says of its Sends; the figures of its inside are in `data`.
async function sendEndpoint(client) {
  const reply = await client.connection.request('$SRV.STATS.chat', '', { timeout: 30000 });
  return reply.json().endpoints.find(({ name }) => name === 'Send');
}

module.exports = {
  LONG, TOOLS, assert, rounds, run, seeded, sendEndpoint, stats, verify, fs, path,
};
