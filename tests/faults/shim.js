'use strict';
// The tests' side of shim.c: turns its knobs and reads its counters while the program runs.

const fs = require('node:fs');
const path = require('node:path');
const { TOOLS } = require('./rig');
const { makeDirectory, removeDirectory } = require('../integration/harness');

// In the order of struct shim_control in shim.h.
const FIELDS = [
  'calls', 'failAt', 'failCount', 'failError', 'counted', 'failed', 'dropSyncs', 'syncDelayUs', 'syncs',
  'syncsDone', 'clockOffsetNs', 'allocationsWatched', 'allocations', 'allocationFailAt',
  'allocationFailCount', 'allocationsFailed', 'noDirect',
];
const CALLS = {
  write: 1, fdatasync: 2, fsync: 4, fallocate: 8, rename: 16, open: 32, truncate: 64,
};
const ERRORS = { EIO: 5, ENOSPC: 28 };

class Shim {
  constructor(directory) {
    this.own = makeDirectory();
    const control = path.join(this.own, 'control');
    fs.writeFileSync(control, Buffer.alloc(FIELDS.length * 8));
    this.file = fs.openSync(control, 'r+');
    this.environment = {
      LD_PRELOAD: path.join(TOOLS, 'shim.so'),
      CHAT_SHIM_DIRECTORY: directory,
      CHAT_SHIM_CONTROL: control,
    };
  }

  set(values) {
    for (const [name, value] of Object.entries(values)) {
      const at = FIELDS.indexOf(name);
      if (at < 0) throw new Error(`the shim has no ${name}`);
      const bytes = Buffer.alloc(8);
      bytes.writeBigInt64LE(BigInt(value));
      fs.writeSync(this.file, bytes, 0, 8, at * 8);
    }
  }

  get(name) {
    const bytes = Buffer.alloc(8);
    fs.readSync(this.file, bytes, 0, 8, FIELDS.indexOf(name) * 8);
    return Number(bytes.readBigInt64LE());
  }

  reset() {
    this.set(Object.fromEntries(FIELDS.map((name) => [name, 0])));
  }

  // From now on the Nth of these calls fails, and `count - 1` more behind it.
  fail(call, at, error, count = 1) {
    this.set({ counted: 0, failed: 0, failError: ERRORS[error], failCount: count, failAt: at, calls: CALLS[call] });
  }

  close() {
    fs.closeSync(this.file);
    removeDirectory(this.own);
  }
}

module.exports = { CALLS, Shim };
