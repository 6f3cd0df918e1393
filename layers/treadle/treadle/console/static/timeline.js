// Ticks over time, as a picture: one lane for each outcome, so that color is never all that distinguishes them.

import {html, useEffect, useMemo, useRef, useState} from './vendor/htm-preact.js';
import {count, duration, localTime, serverNow, utc} from './format.js';
import {navigate} from './router.js';

const LANES = [
  ['SUCCESS', 'Requested'],
  ['SKIPPED', 'Skipped'],
  ['FAILURE', 'Failed'],
];
const LEFT = 78,
  RIGHT = 14,
  TOP = 8,
  LANE = 26,
  AXIS = 22;
const HEIGHT = TOP + LANES.length * LANE + AXIS;
const NEAR = 13,
  WIDEST = 34,
  PAD = 5;

/** @type {Record<string, number>} */
export const WINDOWS = {
  '15m': 15 * 60_000,
  '1h': 3_600_000,
  '6h': 6 * 3_600_000,
  '24h': 86_400_000,
  '7d': 7 * 86_400_000,
};

/** @typedef {[from: number, to: number]} Range */
/** @typedef {Partial<Omit<Api.TickOutline & Api.Tick, 'rejected'>> & {rejected?: number | unknown[]}} AnyTick */

/**
 * @typedef {object} Mark
 * @property {number} lane
 * @property {number} x
 * @property {number} end
 * @property {number} left
 * @property {number} right
 * @property {Api.TickOutline[]} ticks
 * @property {string} status
 */

/**
 * How many requests of a tick were rejected; of a tick in a list or of one in full.
 *
 * @param {{rejected?: number | unknown[]}} tick
 */
const rejectionsOf = ({rejected = 0}) => (Array.isArray(rejected) ? rejected.length : rejected);

/**
 * The state of a tick: its trouble, or else its status.
 *
 * @param {{trouble?: string | null, status: string}} tick
 * @returns {string}
 */
export const stateOf = (tick) => tick.trouble ?? tick.status;

/** With these words Dagster begins the message of an evaluation's error; a list may cut it off. */
const BEGINNING = /^Error occurred during the execution of evaluation_fn for sensor [^\s:]+: /;

/**
 * What a tick did; of a tick in a list or of one in full.
 *
 * @param {AnyTick} tick
 */
export function tickSummary(tick) {
  if (tick.status === 'FAILURE') {
    const {type, message} = tick.error ?? {type: tick.error_type, message: tick.error_message};
    const words = (message ?? '').replace(BEGINNING, '');
    return words.includes(`${type}: `) ? words : `${type ?? 'Error'}: ${words}`;
  }
  const {started = 0, existing = tick.existing_keys?.length ?? 0, refused = 0} = tick.dispatched ?? {};
  if (tick.status === 'SUCCESS') {
    if (tick.held) return `Waits for its dispatch: ${tick.held}`;
    if (tick.is_pending) return 'Its requests are about to be dispatched';
    const rejected = rejectionsOf(tick);
    const parts = [
      started && `${count(started, 'run')} started`,
      existing && `${existing} existed already`,
      refused && `${refused} refused`,
      rejected && `${rejected} rejected`,
    ];
    return parts.filter(Boolean).join(', ') || tick.reason || 'Done, no run requested';
  }
  if (tick.skips !== undefined && tick.skips > 1)
    return `${count(tick.skips, 'tick')} skipped: ${tick.reason ?? 'no reason given'}`;
  if (!tick.reason && existing)
    return `${count(existing, 'run')} requested, but skipped because the runs already exist for those requested keys`;
  return tick.reason ?? '0 runs requested';
}

/**
 * Ticks as marks: those of one lane that lie too close together are one mark with a number.
 *
 * @param {Api.TickOutline[]} ticks
 * @param {Range} range
 * @param {number} width
 */
export function marksOf(ticks, [from, to], width) {
  const place = (/** @type {number} */ at) => LEFT + ((at - from) / (to - from)) * (width - LEFT - RIGHT);
  /** @type {Mark[]} */
  const marks = [];
  const add = (/** @type {Mark} */ mark, /** @type {Mark | null} */ before) => {
    // Bars side by side keep a gap between them.
    const overlap = before?.lane === mark.lane ? before.right + 2 - mark.left : 0;
    if (before && overlap > 0) {
      before.right -= overlap / 2;
      mark.left += overlap / 2;
    }
    marks.push(mark);
    return mark;
  };
  for (const [lane, [status]] of LANES.entries()) {
    /** @type {Mark | null} */
    let last = null;
    const ofLane = ticks.filter(
      (tick) => tick.status === status && (tick.last_time ?? tick.time) >= from && tick.time <= to,
    );
    for (const tick of ofLane.sort((one, other) => one.time - other.time)) {
      const [x, end] = [Math.max(LEFT, place(tick.time)), Math.min(width - RIGHT, place(tick.last_time ?? tick.time))];
      // What is not well is no part of a mark of those that are.
      if (last && last.status === stateOf(tick) && x - last.end < NEAR && (end - last.x < WIDEST || end <= last.end)) {
        last.ticks.push(tick);
        last.end = Math.max(last.end, end);
        last.right = last.end + PAD;
      } else {
        last = add({lane, x, end, left: x - PAD, right: end + PAD, ticks: [tick], status: stateOf(tick)}, last);
      }
    }
  }
  return marks.sort((one, other) => one.x - other.x || one.lane - other.lane);
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080].map((minutes) => minutes * 60_000);

/**
 * @param {Range} range
 * @param {number} width
 */
function axisOf([from, to], width) {
  const most = Math.max(2, Math.floor((width - LEFT) / 76));
  const step = STEPS.find((each) => (to - from) / each <= most) ?? (to - from) / most;
  const offset = new Date(from).getTimezoneOffset() * 60_000;
  const first = Math.ceil((from - offset) / step) * step + offset;
  return Array.from({length: Math.max(0, Math.floor((to - first) / step) + 1)}, (_, index) => first + index * step);
}

const SHORT = new Intl.DateTimeFormat(undefined, {hour: '2-digit', minute: '2-digit', hourCycle: 'h23'});
const DAYS = new Intl.DateTimeFormat(undefined, {day: 'numeric', month: 'short'});

/**
 * The time of a line of the axis; of midnight, the day.
 *
 * @param {number} time
 */
function axisLabel(time) {
  const at = new Date(time);
  return at.getHours() || at.getMinutes() ? SHORT.format(at) : DAYS.format(at);
}

/** @param {number} initial */
function useWidth(initial) {
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  const [width, setWidth] = useState(initial);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.max(280, Math.floor(entry.contentRect.width))));
    observer.observe(/** @type {HTMLElement} */ (box.current));
    return () => observer.disconnect();
  }, []);
  return /** @type {const} */ ([box, width]);
}

/** @param {Mark} mark */
const markName = ({ticks, status}) => {
  const [first, last] = [ticks[0], ticks[ticks.length - 1]];
  const when = ticks.length === 1 ? utc(first.time) : `${utc(first.time)} to ${utc(last.last_time ?? last.time)}`;
  const what = ticks.length === 1 ? tickSummary(first) : count(ticks.length, 'tick');
  return `${status}, ${when}: ${what}`;
};

/** @param {{mark: Mark, isCurrent: boolean, events: Record<string, unknown>}} props */
function Mark({mark, isCurrent, events}) {
  const y = TOP + mark.lane * LANE + LANE / 2;
  const many = mark.ticks.length > 1;
  const middle = (mark.x + mark.end) / 2;
  const attributes = {
    ...events,
    tabindex: isCurrent ? 0 : -1,
    role: 'button',
    'aria-label': markName(mark),
    class: `mark ${mark.status}`,
  };
  if (mark.end - mark.x > 10 || (mark.status === 'SKIPPED' && (many || mark.ticks[0].skips > 1))) {
    const [x, length] = [mark.left, Math.max(6, mark.right - mark.left)];
    return html`<g ...${attributes}>
      <rect x=${x} y=${y - 6} width=${length} height="12" rx="6" class="bar" />
      ${many && length > 18 && html`<text x=${x + length / 2} y=${y + 4} class="in-mark">${mark.ticks.length}</text>`}
    </g>`;
  }
  if (many)
    return html`<g ...${attributes}>
      <circle cx=${middle} cy=${y} r="9" class="dot" />
      <text x=${middle} y=${y + 3.5} class="in-mark">${mark.ticks.length}</text>
    </g>`;
  if (mark.status === 'FAILURE')
    return html`<g ...${attributes}><path d=${`M${mark.x} ${y - 7}l7 7-7 7-7-7z`} class="dot" /></g>`;
  return html`<g ...${attributes}>
    <circle cx=${mark.x} cy=${y} r=${mark.status === 'SKIPPED' ? 4 : 5.5} class="dot" />
  </g>`;
}

/**
 * The picture. Arrow keys move from mark to mark, Enter opens a tick or looks closer at several.
 *
 * @param {object} props
 * @param {Api.TickOutline[]} props.ticks newest first.
 * @param {Range | null} props.shown the part of the time to show; null for `length` up to now.
 * @param {number} props.length in milliseconds.
 * @param {(range: Range) => void} props.onLook shows a part of the time.
 */
export function Timeline({ticks, shown, length, onLook}) {
  const [box, width] = useWidth(900);
  const picture = useRef(/** @type {SVGSVGElement | null} */ (null));
  const [current, setCurrent] = useState(/** @type {string | null} */ (null));
  const [pointed, setPointed] = useState(/** @type {Mark | null} */ (null));
  const now = serverNow();
  /** @type {Range} */
  const range = shown ?? [now - length, now + length / 60];
  const marks = useMemo(() => marksOf(ticks, range, width), [ticks, range[0], range[1], width]);
  const keyOf = (/** @type {Mark} */ mark) => mark.ticks[0].tick_id;
  const found = marks.findIndex((mark) => keyOf(mark) === current);
  const at = found === -1 ? Math.max(0, marks.length - 1) : found;

  const open = (/** @type {Mark} */ mark) => {
    const [first, last] = [mark.ticks[0], mark.ticks[mark.ticks.length - 1]];
    const spread = (last.last_time ?? last.time) - first.time;
    if (mark.ticks.length === 1 || spread < 1000) return navigate(['sensors', last.sensor, 'ticks', last.tick_id]);
    setPointed(null);
    return onLook([first.time - spread * 0.08, (last.last_time ?? last.time) + spread * 0.08]);
  };
  const move = (/** @type {number} */ to) => {
    setCurrent(keyOf(marks[to]));
    requestAnimationFrame(() =>
      /** @type {NodeListOf<SVGElement> | undefined} */ (picture.current?.querySelectorAll('.mark'))?.[to]?.focus(),
    );
  };
  const pressed = (/** @type {KeyboardEvent} */ event, /** @type {Mark} */ mark) => {
    const to = {ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: marks.length - 1}[event.key];
    if (to !== undefined && marks[to]) move(to);
    if (event.key === 'Enter' || event.key === ' ') open(mark);
    if (to !== undefined || event.key === ' ') event.preventDefault();
  };

  const eventsOf = (/** @type {Mark} */ mark) => ({
    onclick: () => open(mark),
    onkeydown: (/** @type {KeyboardEvent} */ event) => pressed(event, mark),
    onmouseenter: () => setPointed(mark),
    onmouseleave: () => setPointed(null),
    onfocus: () => {
      setCurrent(keyOf(mark));
      setPointed(mark);
    },
    onblur: () => setPointed(null),
  });

  const xOf = (/** @type {number} */ time) =>
    LEFT + ((time - range[0]) / (range[1] - range[0])) * (width - LEFT - RIGHT);
  return html`<div class="timeline" ref=${box}>
    <svg ref=${picture} width=${width} height=${HEIGHT} role="group" aria-label="Ticks over time">
      ${LANES.map(
        ([status, name], lane) => html`<g key=${status} aria-hidden="true">
          <text x="0" y=${TOP + lane * LANE + LANE / 2 + 4} class="lane-name">${name}</text>
          <line
            x1=${LEFT}
            x2=${width - RIGHT}
            y1=${TOP + lane * LANE + LANE / 2}
            y2=${TOP + lane * LANE + LANE / 2}
            class="lane"
          />
        </g>`,
      )}
      ${axisOf(range, width).map(
        (time) => html`<g key=${time} aria-hidden="true">
          <line x1=${xOf(time)} x2=${xOf(time)} y1=${TOP} y2=${HEIGHT - AXIS + 2} class="grid" />
          ${xOf(time) < width - 20 && html`<text x=${xOf(time)} y=${HEIGHT - 5} class="axis">${axisLabel(time)}</text>`}
        </g>`,
      )}
      ${
        now <= range[1] &&
        now >= range[0] &&
        html`<line x1=${xOf(now)} x2=${xOf(now)} y1=${TOP - 4} y2=${HEIGHT - AXIS + 4} class="now" />`
      }
      ${marks.map(
        (mark, index) =>
          html`<${Mark}
            key=${`${mark.status} ${keyOf(mark)}`}
            mark=${mark}
            isCurrent=${index === at}
            events=${eventsOf(mark)}
          />`,
      )}
    </svg>
    ${marks.length === 0 && html`<p class="timeline-none faint">No tick in this time.</p>`}
    ${pointed && html`<${Tooltip} mark=${pointed} width=${width} />`}
  </div>`;
}

/** @param {{mark: Mark, width: number}} props */
function Tooltip({mark, width}) {
  const x = Math.min(Math.max((mark.x + mark.end) / 2, 130), width - 130);
  const [first, last] = [mark.ticks[0], mark.ticks[mark.ticks.length - 1]];
  const until = last.last_time ?? last.time;
  return html`<div class="tooltip" role="tooltip" style=${{left: `${x}px`, top: `${TOP + (mark.lane + 1) * LANE}px`}}>
    <strong>${mark.ticks.length > 1 ? count(mark.ticks.length, 'tick') : localTime(first.time)}</strong>
    <span class="faint">
      ${
        mark.ticks.length > 1 || until > first.time
          ? ` ${localTime(first.time)} – ${localTime(until)}`
          : ` took ${duration(first.ended_at - first.started_at)}`
      }
    </span>
    <p>${tickSummary(last)}</p>
  </div>`;
}

const SPARK_LABELS = {
  SUCCESS: 'requested',
  SKIPPED: 'skipped',
  FAILURE: 'failed',
  HELD: 'held',
  REFUSED: 'refused',
  REJECTED: 'rejected',
};

/**
 * The last outcomes in miniature: what was requested above the line, what failed below it, skips on it.
 *
 * @param {{recent: Api.RecentTick[]}} props
 */
export function Sparkline({recent}) {
  const shown = (recent ?? []).slice(0, 30).reverse();
  const text = Object.entries(SPARK_LABELS)
    .map(([status, label]) => {
      const number = shown
        .filter((each) => stateOf(each) === status)
        .reduce((sum, each) => sum + (status === 'SKIPPED' ? each.count : 1), 0);
      return number ? `${number} ${label}` : null;
    })
    .filter(Boolean)
    .join(', ');
  if (shown.length === 0) return html`<span class="faint">no ticks</span>`;
  const bars = Object.fromEntries(Object.keys(SPARK_LABELS).map((status) => [status, '']));
  shown.forEach((each, index) => {
    const status = stateOf(each);
    const x = (100 - (shown.length - index) * 3.3).toFixed(1);
    const [y, height] = {SKIPPED: [10.5, 3], FAILURE: [12, 10]}[status] ?? [2, 10];
    bars[status] += `M${x} ${y}h2.5v${height}h-2.5z`;
  });
  return html`<svg class="spark" width="100" height="24" role="img" aria-label=${`Last ticks: ${text}`}>
    <title>${text}</title>
    <path d="M0 12h100" class="lane" />
    ${Object.entries(bars).map(([status, path]) => html`<path key=${status} d=${path} class=${status} />`)}
  </svg>`;
}
