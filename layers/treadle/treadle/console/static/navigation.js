// The links to all pages, with how many things on them need attention, as far as that is known.

import {html} from './vendor/htm-preact.js';
import {isFailing, isLate, isUnchecked} from './deployment.js';
import {count, serverNow} from './format.js';
import {address} from './router.js';

const EXAMINED_FOR = 3_600_000;

/** @typedef {{at: number, wrong: number}} Examination when the deployment was examined, and how much was wrong. */
/** @typedef {{number: number, unknown: string}} Attention how much needs it; why that is not known, or "". */

/**
 * How much needs attention on each page that can tell.
 *
 * @param {import('./live.js').Live<Api.Overview>} overview
 * @param {Examination | null} examined
 * @returns {Record<string, Attention>}
 */
function attention({data, error}, examined) {
  if (!data && !error) return {};
  const sensors = data?.sensors ?? [];
  const unchecked = sensors.filter(isUnchecked).length;
  const outdated = error ? 'the last request failed' : '';
  const isRecent = examined !== null && serverNow() - examined.at < EXAMINED_FOR;
  return {
    sensors: {
      number: sensors.filter((each) => isFailing(each) || isLate(each)).length,
      unknown: outdated || (unchecked ? `${count(unchecked, 'sensor')} could not be checked` : ''),
    },
    'dead-letters': {
      number: data?.dead_letters ?? 0,
      unknown: outdated || (data?.dead_letters === null ? 'a queue did not respond or denied access' : ''),
    },
    doctor: {
      number: isRecent ? examined.wrong : 0,
      unknown: isRecent ? '' : 'not examined here in the last hour; open the page to examine the deployment',
    },
  };
}

/** @param {Attention} props */
function Mark({number, unknown}) {
  if (number) return html`<span class="count" aria-label=${`, ${number} to look at`}>${number}</span>`;
  if (!unknown) return null;
  return html`<span class="count unknown" aria-label=${`, unknown: ${unknown}`} title=${`Unknown: ${unknown}`}>
    ?
  </span>`;
}

/**
 * @param {object} props
 * @param {[place: string, name: string][]} props.pages
 * @param {string} props.place the one that is shown.
 * @param {import('./live.js').Live<Api.Overview>} props.overview
 * @param {Examination | null} props.examined
 */
export function Navigation({pages, place, overview, examined}) {
  const marks = attention(overview, examined);
  return html`<nav aria-label="Pages">
    ${pages.map(
      ([each, name]) =>
        html`<a key=${each} href=${address([each])} aria-current=${each === place ? 'page' : undefined}>
          ${name}
          ${marks[each] && html`<${Mark} ...${marks[each]} />`}
        </a>`,
    )}
  </nav>`;
}
