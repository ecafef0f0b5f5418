// The messages of one chat that this page holds: without gap, in the order of `seq`.
//
// Messages come from two sides. Live ones are added at the end, each exactly one after the last; what is
// there already is a repeat and changes nothing; what would leave a gap is refused, and the caller asks
// for what is missing. Older ones are put before the first, a page at a time.

export class Timeline {
  #messages = [];
  #end = 0; // The seq of the last message, also when none is held.
  hasOlder = false;

  get count() {
    return this.#messages.length;
  }

  get firstSeq() {
    return this.#end - this.#messages.length + 1;
  }

  get lastSeq() {
    return this.#end;
  }

  at(seq) {
    return this.#messages[seq - this.firstSeq];
  }

  // The newest page, as History gives it: what this begins with.
  begin({ messages, head_seq: headSeq, more }) {
    this.#messages = [...messages];
    this.#end = messages.length > 0 ? messages[messages.length - 1].seq : headSeq;
    this.hasOlder = more;
  }

  // 'added', 'repeat' or 'gap'.
  append(message) {
    if (message.seq <= this.#end) return 'repeat';
    if (message.seq !== this.#end + 1) return 'gap';
    this.#messages.push(message);
    this.#end = message.seq;
    return 'added';
  }

  // A page from before the first message; how many messages it brought.
  prepend({ messages, more }) {
    const first = this.firstSeq;
    const older = messages.filter((message) => message.seq < first);
    if (older.length > 0 && older[older.length - 1].seq !== first - 1) return 0;
    this.#messages.unshift(...older);
    this.hasOlder = more;
    return older.length;
  }

  // Forgets the oldest messages; they can be had from History again.
  keepNewest(count) {
    if (this.#messages.length <= count) return;
    this.#messages.splice(0, this.#messages.length - count);
    this.hasOlder = true;
  }
}
