'use strict';
// A disk of its own: an ext4 file system in a file, mounted through a loop device. It is unmounted
// and removed when the test ends, however it ends. Needs root, mkfs.ext4 and loop devices, and
// fails loudly without: the tests that need a disk must not pass without one.

const fs = require('node:fs');
const path = require('node:path');
const { spawnSync } = require('node:child_process');
const { makeDirectory, removeDirectory } = require('../integration/harness');
const { run } = require('./rig');

const disks = new Set();

// After the harness has killed the programs that hold it.
process.on('exit', () => {
  for (const disk of disks) disk.abandon();
});

// Both are false when there is no space.
function allocate(file, size) {
  const { size: offset } = fs.statSync(file);
  return spawnSync('fallocate', ['-o', String(offset), '-l', String(size), file]).status === 0;
}


function write(handle, piece) {
  try {
    return fs.writeSync(handle, piece) === piece.length;
  } catch (error) {
    if (error.code !== 'ENOSPC') throw error;
    return false;
  }
}

class Disk {
  constructor(size) {
    this.own = makeDirectory();
    this.image = path.join(this.own, 'image');
    this.directory = path.join(this.own, 'disk');
    fs.mkdirSync(this.directory);
    disks.add(this);
    try {
      run('truncate', '-s', size, this.image);
      run('mkfs.ext4', '-q', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0', this.image);
      this.mount();
    } catch (error) {
      this.close();
      throw new Error(`this test has to mount an ext4 image through a loop device (run it as root, with e2fsprogs and /dev/loop-control): ${error.message}`);
    }
  }

  // The loop device goes with the mount.
  mount() {
    run('mount', '-t', 'ext4', '-o', 'loop', this.image, this.directory);
    this.mounted = true;
  }

  unmount() {
    run('umount', this.directory);
    this.mounted = false;
  }

  abandon() {
    if (this.mounted) spawnSync('umount', ['-l', this.directory]);
    this.mounted = false;
    fs.rmSync(this.own, { recursive: true, force: true });
    disks.delete(this);
  }

  close() {
    if (this.mounted) this.unmount();
    removeDirectory(this.own);
    disks.delete(this);
  }

  // --- filling it up ---

  get #ballast() {
    return path.join(this.directory, 'ballast');
  }

  get free() {
    const { bavail, bsize } = fs.statfsSync(this.directory);
    return bavail * bsize;
  }

  // Takes all the space there is: most of it at once, the rest by the page.
  fill() {
    const handle = fs.openSync(this.#ballast, 'a');
    const page = Buffer.alloc(4096, 1);
    try {
      while (this.free > 1 << 20 && allocate(this.#ballast, this.free - (1 << 19))) { /* again */ }
      while (write(handle, page)) { /* until it does not fit */ }
    } finally {
      fs.closeSync(handle);
    }
  }

  empty() {
    fs.rmSync(this.#ballast, { force: true });
  }
}

module.exports = { Disk };
