// Canceling the runs that a list shows, one after the other.

import {html, useState} from '../vendor/htm-preact.js';
import * as api from '../api.js';
import {useForbidden} from '../deployment.js';
import {count} from '../format.js';
import {Badge} from '../components.js';
import {Dialog} from '../dialogs.js';
import {ENDED} from './run_actions.js';

/** @typedef {{run: Api.RunOutline, ok: boolean, message: string}} Result */

/** @param {Api.RunOutline} run */
const isOpen = (run) => run.retry_at !== null || ![...ENDED, 'CANCELING'].includes(run.status);

/** @param {{runs: Api.RunOutline[], done: () => void}} props */
export function CancelShown({runs, done}) {
  const forbidden = useForbidden();
  const [chosen, setChosen] = useState(/** @type {Api.RunOutline[] | null} */ (null));
  const open = runs.filter(isOpen);
  return html`
    <button
      class="small"
      disabled=${forbidden !== null || open.length === 0}
      title=${forbidden ?? (open.length ? 'Cancel each run of this page that has not ended' : 'All of them have ended')}
      onclick=${() => setChosen(open)}
    >
      Cancel shown …
    </button>
    ${chosen && html`<${CancelDialog} runs=${chosen} done=${done} onClose=${() => setChosen(null)} />`}
  `;
}

/** @param {{runs: Api.RunOutline[], done: () => void, onClose: () => void}} props */
function CancelDialog({runs, done, onClose}) {
  const [busy, setBusy] = useState(false);
  const [results, setResults] = useState(/** @type {Result[]} */ ([]));
  const act = async () => {
    setBusy(true);
    for (const run of runs) {
      const result = await canceled(run);
      setResults((before) => [...before, result]);
    }
    setBusy(false);
    done();
  };
  const good = results.filter((each) => each.ok).length;
  const isDone = results.length === runs.length;
  return html`<${Dialog} title=${`Cancel ${count(runs.length, 'run')}`} onClose=${onClose}>
    <p>
      What they have done so far is not undone. Those that have been started receive the request to stop, and their
      targets report the end.
    </p>
    ${
      isDone &&
      html`<p role="status">
        ${good} of ${count(runs.length, 'run')} were canceled, or received the request to stop.
      </p>`
    }
    <ul class="results">
      ${runs.map((run, index) => {
        const result = results[index];
        const status = result ? (result.ok ? 'SUCCESS' : 'FAILURE') : run.status;
        return html`<li key=${run.run_id}>
          <${Badge} status=${status} label=${result && (result.ok ? 'Done' : 'Not done')} />
          <span class="mono">${run.run_id.slice(0, 8)}</span>
          <span class="faint">${result?.message ?? `${run.job} ${run.run_key ?? ''}`}</span>
        </li>`;
      })}
    </ul>
    <footer>
      ${
        isDone
          ? html`<button class="primary" onclick=${onClose}>Close</button>`
          : html`
              <button onclick=${onClose}>Keep as they are</button>
              <button class="primary" disabled=${busy} onclick=${act}>${busy ? 'Working …' : 'Cancel them'}</button>
            `
      }
    </footer>
  <//>`;
}

/**
 * Cancel a run; one that cannot be canceled does not keep the others from it.
 *
 * @param {Api.RunOutline} run
 * @returns {Promise<Result>}
 */
async function canceled(run) {
  try {
    const answer = await api.cancel(run.run_id, run.attempt);
    return {run, ok: true, message: answer?.reason ?? 'Done.'};
  } catch (error) {
    return {run, ok: false, message: error.message};
  }
}
