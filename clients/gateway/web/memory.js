// What the browser remembers for this page.
//
// The access token lives in sessionStorage alone: it goes with the tab, and no other tab gets it. The
// name is the tab's, too, so that two tabs can be two people; a new tab begins with the last one used.
// Everything is optional: where storage is forbidden, it lasts as long as the page.

const RECENT_CHATS = 12;

class Shelf {
  #area;
  #fallback = new Map();

  constructor(open) {
    try {
      this.#area = open();
    } catch {
      this.#area = null;
    }
  }

  get(name, otherwise) {
    try {
      const text = this.#area.getItem(`chat.${name}`);
      return text === null ? otherwise : JSON.parse(text);
    } catch {
      return this.#fallback.has(name) ? this.#fallback.get(name) : otherwise;
    }
  }

  set(name, value) {
    this.#fallback.set(name, value);
    try {
      this.#area.setItem(`chat.${name}`, JSON.stringify(value));
    } catch {
      // Full or forbidden.
    }
  }

  remove(name) {
    this.#fallback.delete(name);
    try {
      this.#area.removeItem(`chat.${name}`);
    } catch {
      // Forbidden.
    }
  }
}

const tab = new Shelf(() => sessionStorage);
const browser = new Shelf(() => localStorage);

export const name = {
  get: () => tab.get('name') ?? browser.get('name', ''),
  set(value) {
    tab.set('name', value);
    browser.set('name', value);
  },
};

export const access = {
  get: () => ({ token: tab.get('token', ''), namespace: tab.get('namespace', '') }),
  set({ token, namespace }) {
    if (token) tab.set('token', token);
    else tab.remove('token');
    if (namespace) tab.set('namespace', namespace);
    else tab.remove('namespace');
  },
};

// Chats opened here, the latest first: { chatId, namespace, users, openedAt }. `users` are those it was
// made for, or who was seen writing in it.
export const recent = {
  get: () => browser.get('recent', []),
  note(chat) {
    const same = (other) => other.chatId === chat.chatId && other.namespace === chat.namespace;
    const known = recent.get().find(same);
    const users = [...new Set([...(known?.users ?? []), ...chat.users])].slice(0, 20);
    const others = recent.get().filter((other) => !same(other));
    browser.set('recent', [{ ...chat, users }, ...others].slice(0, RECENT_CHATS));
    return users;
  },
  forget: () => browser.remove('recent'),
};

// Where the outbox of a chat is kept: a reload of the page must neither lose nor double a message.
export function outboxStore(chatId, namespace, userId) {
  const key = `outbox.${JSON.stringify([namespace, chatId, userId])}`;
  return {
    load: () => tab.get(key, []),
    save: (list) => (list.length > 0 ? tab.set(key, list) : tab.remove(key)),
  };
}
