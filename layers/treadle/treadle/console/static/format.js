// Values as people read them: times, durations, cursors, and the difference of two texts.
// Pure: knows nothing of the page.

const SECOND = 1000,
  MINUTE = 60 * SECOND,
  HOUR = 60 * MINUTE,
  DAY = 24 * HOUR;

const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});
const DATED = new Intl.DateTimeFormat(undefined, {
  day: 'numeric',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});

let ahead = 0;

/**
 * Note what time it is at the server, so that "ago" is right on a laptop whose clock is not.
 *
 * @param {number} now
 */
export function noteServerTime(now) {
  if (Number.isFinite(now)) ahead = now - Date.now();
}

/** The time at the server, in milliseconds. */
export function serverNow() {
  return Date.now() + ahead;
}

/**
 * The local time: the clock alone if it is of the last or next 20 hours.
 *
 * @param {number} at
 */
export function localTime(at) {
  return Math.abs(serverNow() - at) < 20 * HOUR ? CLOCK.format(at) : DATED.format(at);
}

/**
 * The exact time, UTC, to the millisecond.
 *
 * @param {number} at
 */
export function utc(at) {
  const time = new Date(at);
  return Number.isNaN(time.getTime()) ? String(at) : time.toISOString().replace('T', ' ').replace('Z', ' UTC');
}

/**
 * A time as a field of type "datetime-local" has it; "" if it is none.
 *
 * @param {string} text in any form that an address may have.
 */
export function localMinute(text) {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) return '';
  return new Date(time.getTime() - time.getTimezoneOffset() * MINUTE).toISOString().slice(0, 16);
}

/**
 * A duration, as short as possible: "850 ms", "4 s", "3 min 20 s", "2 h 5 min", "3 d".
 *
 * @param {number | null} [ms]
 */
export function duration(ms) {
  if (ms === null || ms === undefined) return '–';
  if (ms < SECOND) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 10 * SECOND) return `${(ms / SECOND).toFixed(1).replace('.0', '')} s`;
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s`;
  const [large, one, small, two] =
    ms < HOUR ? [MINUTE, 'min', SECOND, 's'] : ms < DAY ? [HOUR, 'h', MINUTE, 'min'] : [DAY, 'd', HOUR, 'h'];
  const rest = Math.floor((ms % large) / small);
  return `${Math.floor(ms / large)} ${one}` + (rest && ms < 10 * large ? ` ${rest} ${two}` : '');
}

/**
 * How long ago a time was, or in how long it will be.
 *
 * @param {number} at
 */
export function relative(at) {
  const away = at - serverNow();
  if (Math.abs(away) < 1500) return 'now';
  const text = duration(
    Math.abs(away) < MINUTE
      ? Math.round(Math.abs(away) / SECOND) * SECOND
      : Math.floor(Math.abs(away) / MINUTE) * MINUTE,
  );
  return away > 0 ? `in ${text}` : `${text} ago`;
}

/**
 * "1 run", "2 runs".
 *
 * @param {number} number
 * @param {string} one
 * @param {string} [many]
 */
export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

/**
 * The value of a JSON text; undefined if it is none.
 *
 * @param {string} text
 */
export function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * A JSON text, or a value, over several lines; another text as it is.
 *
 * @param {unknown} value
 */
export function pretty(value) {
  if (value === null || value === undefined) return '';
  if (typeof value !== 'string') return JSON.stringify(value, null, 2);
  const found = parseJson(value);
  return found !== null && typeof found === 'object' ? JSON.stringify(found, null, 2) : value;
}

/**
 * A cursor in one line: of a JSON object the values that are not empty, as `a=1, b=x`; another text as it is.
 *
 * @param {string | null} [cursor]
 */
export function minimalCursor(cursor) {
  if (cursor === null || cursor === undefined) return 'none';
  const found = parseJson(cursor);
  if (found === null || typeof found !== 'object' || Array.isArray(found))
    return cursor === '' ? '(empty text)' : cursor;
  const informative = Object.entries(found).filter(
    ([name, value]) => value !== null && value !== 0 && value !== '' && name !== '__class__',
  );
  if (informative.length === 0) return cursor;
  return informative
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(', ');
}

const MOST_LINES = 400;

/**
 * What changes from one text to another, line by line. Texts of very many lines are shown one after the other.
 *
 * @param {string} before
 * @param {string} after
 * @returns {{sign: ' ' | '-' | '+', text: string}[]}
 */
export function difference(before, after) {
  const [old, fresh] = [before, after].map((text) => (text === '' ? [] : text.split('\n')));
  if (old.length > MOST_LINES || fresh.length > MOST_LINES) {
    return [
      ...old.map((text) => ({sign: /** @type {const} */ ('-'), text})),
      ...fresh.map((text) => ({sign: /** @type {const} */ ('+'), text})),
    ];
  }
  const same = Array.from({length: old.length + 1}, () => new Uint16Array(fresh.length + 1));
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = fresh.length - 1; j >= 0; j--) {
      same[i][j] = old[i] === fresh[j] ? same[i + 1][j + 1] + 1 : Math.max(same[i + 1][j], same[i][j + 1]);
    }
  }
  /** @type {{sign: ' ' | '-' | '+', text: string}[]} */
  const lines = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < fresh.length) {
    if (i < old.length && j < fresh.length && old[i] === fresh[j]) {
      lines.push({sign: ' ', text: old[i]});
      [i, j] = [i + 1, j + 1];
    } else if (i < old.length && (j >= fresh.length || same[i + 1][j] >= same[i][j + 1])) {
      lines.push({sign: '-', text: old[i++]});
    } else {
      lines.push({sign: '+', text: fresh[j++]});
    }
  }
  return lines;
}
