// What is wrong with the deployment, and what to do about it.

import {html, useState} from '../vendor/htm-preact.js';
import * as api from '../api.js';
import {count, serverNow} from '../format.js';
import {useLive} from '../live.js';
import {Badge, Empty, Loaded, Page} from '../components.js';

/** @type {Record<Api.Finding['severity'], number>} */
const ORDER = {problem: 0, warning: 1, ok: 2};

/** @param {{noteExamination: (examined: import('../navigation.js').Examination) => void}} props */
export function Doctor({noteExamination}) {
  const findings = useLive(
    async (signal) => {
      const found = await api.doctor(signal);
      const wrong = found.findings.filter((each) => each.severity !== 'ok').length;
      noteExamination({at: serverNow(), wrong});
      return found;
    },
    0,
    ['doctor'],
  );
  return html`<${Page} title="Doctor" actions=${html`<button onclick=${findings.refresh}>Examine again</button>`}>
    <${Loaded} of=${findings} what="the deployment: configuration, permissions, queues, schedules">
      ${({findings: found}) => html`<${Findings} findings=${found} />`}
    <//>
  <//>`;
}

/** @param {{findings: Api.Finding[]}} props */
function Findings({findings}) {
  const [showsAll, setShowsAll] = useState(false);
  const sorted = [...findings].sort((one, other) => ORDER[one.severity] - ORDER[other.severity]);
  const [wrong, fine] = [
    sorted.filter((each) => each.severity !== 'ok'),
    sorted.filter((each) => each.severity === 'ok'),
  ];
  return html`
    ${
      wrong.length === 0
        ? html`<${Empty}>
          <p><${Badge} status="ok" label="Nothing is wrong" /></p>
          <p>${fine.length ? `${count(fine.length, 'check')} made, all in order.` : 'All checks are in order.'}</p>
        <//>`
        : html`<ul class="findings">
          ${wrong.map((each, index) => html`<${Finding} key=${index} finding=${each} />`)}
        </ul>`
    }
    ${
      fine.length > 0 &&
      html`<p>
        <button class="quiet" aria-expanded=${String(showsAll)} onclick=${() => setShowsAll(!showsAll)}>
          ${showsAll ? 'Hide' : 'Show'} ${fine.length} in order
        </button>
      </p>`
    }
    ${
      showsAll &&
      html`<ul class="findings">${fine.map((each, index) => html`<${Finding} key=${index} finding=${each} />`)}</ul>`
    }
  `;
}

/** @param {{finding: Api.Finding}} props */
function Finding({finding}) {
  return html`<li class=${`finding ${finding.severity}`}>
    <${Badge} status=${finding.severity} />
    <div>
      <p class="strong">${finding.message}</p>
      ${finding.advice && html`<p>${finding.advice}</p>`}
      <p class="faint"><span class="mono">${finding.subject}</span> · ${finding.check}</p>
    </div>
  </li>`;
}
