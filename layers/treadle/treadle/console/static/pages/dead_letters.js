// Dead letters: what a redrive would do with each, and the redrive.

import {html, useState} from '../vendor/htm-preact.js';
import * as api from '../api.js';
import {useForbidden} from '../deployment.js';
import {count} from '../format.js';
import {useLive} from '../live.js';
import {replaceQuery} from '../router.js';
import {Badge, Choice, Loaded, Page, Problem, Table, notify} from '../components.js';
import {Dialog, useProgress} from '../dialogs.js';

/** @type {Record<string, string>} */
const DRY_RUN_LABELS = {SENT: 'Would be sent', DROPPED: 'Would be dropped', LEFT: 'Stays'};

/**
 * @param {Record<string, string>} labels
 * @param {((each: Api.DeadLetter) => Content) | null} [action]
 * @returns {Column<Api.DeadLetter>[]}
 */
const columnsOf = (labels, action = null) => [
  {
    name: 'Origin',
    kind: 'main',
    of: (each) =>
      html`
        <span class="strong">${each.origin}</span>
        ${each.project && html`<small class="faint"> of ${each.project}</small>`}
      `,
  },
  {
    name: 'Subject',
    of: (each) => html`<span class="mono clip wide" title=${each.subject ?? ''}>${each.subject ?? '–'}</span>`,
  },
  {name: 'Action', of: (each) => html`<${Badge} status=${each.action} label=${labels[each.action]} />`},
  {
    name: 'Reason',
    of: (each) =>
      html`
        <span class="message">${each.reason}</span>
        ${each.error && html`<small class="faint message"> Error: ${each.error}</small>`}
        ${action?.(each)}
      `,
  },
];

/** @param {{query: Query}} props */
export function DeadLetters({query}) {
  const deadLetters = useLive((signal) => api.deadLetters(signal), 0, ['dead letters']);
  const forbidden = useForbidden();
  const [isOpen, setIsOpen] = useState(false);
  const [doomed, setDoomed] = useState(/** @type {Api.DeadLetter | null} */ (null));
  const found = deadLetters.data?.dead_letters ?? [];
  const origins = [...new Set(found.map((each) => each.origin))].sort();
  const shown = found.filter((each) => !query.origin || each.origin === query.origin);
  const actions = html`
    <button onclick=${deadLetters.refresh}>Refresh</button>
    <button
      class="primary"
      disabled=${forbidden !== null || shown.length === 0}
      title=${forbidden ?? ''}
      onclick=${() => setIsOpen(true)}
    >
      Redrive ${count(shown.length, 'dead letter')} …
    </button>
  `;
  return html`<${Page} title="Dead letters" actions=${actions}>
    <p class="lead">
      Messages that could not be delivered or processed, with what a redrive would do with each. Reading them hides them
      in the queue for a while, so this list does not refresh itself.
    </p>
    ${
      origins.length > 1 &&
      html`<div class="toolbar">
        <${Choice}
          label="From"
          options=${[['', 'All'], ...origins.map((each) => [each, each])]}
          value=${query.origin ?? ''}
          onChange=${(origin) => replaceQuery(['dead-letters'], {origin})}
        />
      </div>`
    }
    <${Loaded} of=${deadLetters} what="dead letters">
      ${() => html`<${Table}
        caption="Dead letters"
        columns=${columnsOf(
          DRY_RUN_LABELS,
          (each) =>
            html` <button
              class="small quiet"
              disabled=${forbidden !== null}
              title=${forbidden ?? ''}
              onclick=${() => setDoomed(each)}
            >
              Delete …
            </button>`,
        )}
        rows=${shown}
        keyOf=${(each) => each.message_id}
        empty=${html`<p>No dead letters. All messages were processed.</p>`}
      />`}
    <//>
    ${
      isOpen &&
      html`<${RedriveDialog}
        number=${shown.length}
        origin=${query.origin}
        onClose=${() => setIsOpen(false)}
        done=${deadLetters.refresh}
      />`
    }
    ${
      doomed &&
      html`<${DeleteDialog} deadLetter=${doomed} onClose=${() => setDoomed(null)} done=${deadLetters.refresh} />`
    }
  <//>`;
}

/** @param {{deadLetter: Api.DeadLetter, onClose: () => void, done: () => void}} props */
function DeleteDialog({deadLetter, onClose, done}) {
  const {busy, error, run} = useProgress();
  const act = () =>
    run(async () => {
      const [result] = (await api.deleteDeadLetter(deadLetter.message_id)).results;
      if (result?.action === 'FAILED') throw new Error(result.reason);
      onClose();
      notify(result ? 'The dead letter is deleted.' : 'The dead letter was gone already.');
      done();
      return null;
    });
  return html`<${Dialog} title="Delete a dead letter" onClose=${onClose}>
    <p>
      Nothing sends it again: what it was about may never be processed. It is of ${deadLetter.origin}, about
      ${' '}<span class="mono">${deadLetter.subject ?? deadLetter.message_id}</span>.
    </p>
    ${error && html`<${Problem} error=${error} />`}
    <footer>
      <button onclick=${onClose}>Keep it</button>
      <button class="primary" disabled=${busy} onclick=${act}>${busy ? 'Deleting …' : 'Delete for good'}</button>
    </footer>
  <//>`;
}

/** @param {{number: number, origin?: string, onClose: () => void, done: () => void}} props */
function RedriveDialog({number, origin, onClose, done}) {
  const {busy, error, result, run} = useProgress(/** @type {Api.DeadLetter[] | null} */ (null));
  const act = () =>
    run(async () => {
      const {results} = await api.redrive(origin ? {origin} : {});
      done();
      return results;
    });
  if (result) {
    return html`<${Dialog} title="Redriven" onClose=${onClose} wide>
      <${Table}
        caption="Results"
        columns=${columnsOf({})}
        rows=${result}
        keyOf=${(each) => each.message_id}
        empty=${html`<p>No dead letter was left to send.</p>`}
      />
      <footer><button class="primary" onclick=${onClose}>Close</button></footer>
    <//>`;
  }
  return html`<${Dialog} title="Redrive dead letters" onClose=${onClose}>
    <p>
      ${count(number, 'dead letter')}
      ${origin ? ` of ${origin}` : ''} will be sent to their original destinations again. Obsolete ones are dropped,
      unknown ones stay. A message is deleted only after it was sent.
    </p>
    ${error && html`<${Problem} error=${error} />`}
    <footer>
      <button onclick=${onClose}>Keep as it is</button>
      <button class="primary" disabled=${busy} onclick=${act}>${busy ? 'Sending …' : 'Redrive'}</button>
    </footer>
  <//>`;
}
