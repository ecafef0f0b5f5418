'use strict';
// A reporter for node --test: what failed, in the form that tests/common.sh describes.
//
// A test that fails only because one inside it does is left out. When a whole file fails, by
// crashing or by ending with a status, Node knows no more than that: the last lines that the file
// printed then say why.

const path = require('node:path');

const LINES = 40;
const KIND = process.env.CHAT_TEST_WHAT || ''; // Such as: integration tests of build/bin.

// The error with its causes, without the lines of the stack that lie in Node's own code.
function explain(error) {
  const lines = [];
  for (let cause = error; cause; cause = cause.cause) {
    const text = String(cause.stack || cause);
    lines.push(...text.split('\n').filter((line) => !/^\s+at .*\(?node:/.test(line)));
  }
  return lines;
}

function block(what, lines) {
  const why = lines.slice(0, LINES).map((line) => `    ${line.slice(0, 300)}\n`);
  return `FAILED ${what.replace(/\s+/g, ' ')}\n${why.join('')}`;
}

module.exports = async function* failures(source) {
  const printed = new Map();
  const parents = []; // The names of the tests around the one told of, the outermost first.
  for await (const { type, data } of source) {
    if (type === 'test:stderr' || type === 'test:stdout') {
      const lines = ((printed.get(data.file) || '') + data.message).split('\n');
      printed.set(data.file, lines.slice(-LINES).join('\n'));
    } else if (type === 'test:start') {
      parents.length = data.nesting;
      parents.push(data.name);
    } else if (type === 'test:fail' && data.todo === undefined) {
      const { failureType, cause, exitCode, signal } = data.details.error;
      if (failureType === 'subtestsFailed') continue;
      const file = path.relative('', data.file || '');
      const wholeFile = path.resolve(data.name) === data.file;
      const name = wholeFile ? [] : [...parents.slice(0, data.nesting), data.name];
      const why = wholeFile ?
        [`it ended with ${signal || `status ${exitCode}`}, after`, ...(printed.get(data.file) || '').trimEnd().split('\n')] :
        explain(cause || data.details.error);
      yield block([KIND, file, ...name].filter(Boolean).join(' > '), why);
    }
  }
};
