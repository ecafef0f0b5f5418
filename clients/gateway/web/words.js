// Dates, names and numbers as a person reads them.

const timeFormat = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const fullFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const oldDayFormat = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const relativeDay = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });

// The service gives nanoseconds; not every browser reads more than three digits.
export function dateOf(sentAt) {
  return new Date(String(sentAt).replace(/(\.\d{3})\d+/, '$1'));
}

export const timeOf = (date) => timeFormat.format(date);
export const fullTimeOf = (date) => fullFormat.format(date);

// The same for two moments of one day where the reader is.
export const dayKey = (date) => `${date.getFullYear()}-${date.getMonth()}-${date.getDate()}`;

export function dayOf(date, now = new Date()) {
  const midnight = (moment) => Date.UTC(moment.getFullYear(), moment.getMonth(), moment.getDate());
  const days = Math.round((midnight(now) - midnight(date)) / 86400000);
  if (days === 0 || days === 1) return capitalized(relativeDay.format(-days, 'day'));
  return (date.getFullYear() === now.getFullYear() ? dayFormat : oldDayFormat).format(date);
}

const capitalized = (text) => text.charAt(0).toLocaleUpperCase() + text.slice(1);

// "Ada", "Ada and Barry", "Ada, Barry and 3 others".
export function namesOf(users) {
  if (users.length <= 1) return users.join('');
  if (users.length <= 3) return `${users.slice(0, -1).join(', ')} and ${users[users.length - 1]}`;
  return `${users[0]}, ${users[1]} and ${users.length - 2} others`;
}

export function initialsOf(user) {
  const words = user.trim().split(/[\s._@-]+/u).filter(Boolean);
  const letters = words.slice(0, 2).map((word) => [...word][0]);
  return letters.join('').toLocaleUpperCase() || '?';
}

// A colour for each name, always the same one: the hue in degrees (FNV-1a of the name).
export function hueOf(user) {
  let hash = 2166136261;
  for (const letter of user) hash = Math.imul(hash ^ letter.codePointAt(0), 16777619);
  return (hash >>> 0) % 360;
}

export const bytesOf = (text) => new TextEncoder().encode(text).length;
export const plural = (count, one, many) => `${count.toLocaleString()} ${count === 1 ? one : many}`;

// What the gateway says of an error has no full stop, and may begin with the name of a field.
export function sentence(text) {
  const begun = /^[a-z]+\b(?!_)/.test(text) ? text[0].toUpperCase() + text.slice(1) : text;
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}
