// Why something did or did not run: the summary, and the steps that led there.

import {html} from '../vendor/htm-preact.js';
import {Shape, Time} from '../components.js';

/** @param {{explanation: Api.Explanation}} props */
export function Explanation({explanation}) {
  return html`<div class="explanation">
    <p class="summary">${explanation.summary}</p>
    <ol class="steps">
      ${(explanation.steps ?? []).map(
        (step, index) => html`<li key=${index} class=${step.ok === false ? 'stopped' : ''}>
          <${Shape} status=${step.ok === false ? 'FAILURE' : step.ok ? 'SUCCESS' : 'QUEUED'} />
          <div>
            <p>
              <span class="unseen">${step.ok === false ? 'Stopped here: ' : ''}</span>
              <b>${step.kind}</b> <small class="faint">${step.at ? html`<${Time} at=${step.at} />` : ''}</small>
            </p>
            ${step.detail && html`<p class="message">${step.detail}</p>`}
          </div>
        </li>`,
      )}
    </ol>
  </div>`;
}
