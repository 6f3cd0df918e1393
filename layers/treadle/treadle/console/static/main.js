// The frame around every page: sign-in, deployment, and the route to each page.

import {html, render, useEffect, useErrorBoundary, useRef, useState} from './vendor/htm-preact.js';
import * as api from './api.js';
import * as auth from './auth.js';
import {Deployment} from './deployment.js';
import {noteServerTime} from './format.js';
import {useLive} from './live.js';
import {Badge, Empty, Loaded, Loading, Page, Problem, Toast} from './components.js';
import {Navigation} from './navigation.js';
import {address, useRoute} from './router.js';
import {Shortcuts} from './shortcuts.js';
import {Theme} from './theme.js';
import {Assets} from './pages/assets.js';
import {Backfill, Backfills} from './pages/backfills.js';
import {Doctor} from './pages/doctor.js';
import {SendEvent} from './pages/send_event.js';
import {DeadLetters} from './pages/dead_letters.js';
import {SensorMap} from './pages/map.js';
import {Overview} from './pages/overview.js';
import {Pool, Pools} from './pages/pools.js';
import {Runs} from './pages/run_list.js';
import {Run} from './pages/runs.js';
import {Sensor} from './pages/sensor.js';
import {Tick} from './pages/ticks.js';
import {Search, SearchBox} from './pages/search.js';
import {Why} from './pages/why.js';

const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;
const MARK = new URL('mark.svg', import.meta.url).href;

/** @type {[place: string, name: string][]} */
const PAGES = [
  ['sensors', 'Sensors'],
  ['runs', 'Runs'],
  ['backfills', 'Backfills'],
  ['pools', 'Pools'],
  ['assets', 'Assets'],
  ['map', 'Map'],
  ['why', 'Why?'],
  ['dead-letters', 'Dead letters'],
  ['doctor', 'Doctor'],
];

/** @type {[place: string, name: string]} */
const SEND_EVENT = ['send-event', 'Send an event'];

/**
 * @param {import('./router.js').Route} route
 * @param {import('./live.js').Live<Api.Overview>} overview
 * @param {(examined: import('./navigation.js').Examination) => void} noteExamination
 */
function pageFor({parts: [place = 'sensors', name, below, last], query}, overview, noteExamination) {
  if (place === 'sensors' && name && below === 'ticks' && last)
    return html`<${Tick} key=${last} sensor=${name} tickId=${last} />`;
  if (place === 'sensors' && name) return html`<${Sensor} key=${name} name=${name} query=${query} />`;
  if (place === 'runs' && name) return html`<${Run} key=${name} runId=${name} />`;
  if (place === 'backfills' && name) return html`<${Backfill} key=${name} name=${name} query=${query} />`;
  if (place === 'pools' && name)
    return html`<${Pool} key=${`${name}=${query.value ?? ''}`} name=${name} value=${query.value} />`;
  /** @type {Record<string, () => Content>} */
  const pages = {
    sensors: () => html`<${Overview} live=${overview} overview=${overview.data} query=${query} />`,
    runs: () => html`<${Runs} query=${query} />`,
    backfills: () => html`<${Backfills} query=${query} />`,
    pools: () => html`<${Pools} />`,
    assets: () => html`<${Assets} query=${query} />`,
    map: () => html`<${SensorMap} />`,
    search: () => html`<${Search} query=${query} />`,
    why: () => html`<${Why} query=${query} />`,
    'dead-letters': () => html`<${DeadLetters} query=${query} />`,
    doctor: () => html`<${Doctor} noteExamination=${noteExamination} />`,
    ...(auth.takesTestEvents() && {'send-event': () => html`<${SendEvent} />`}),
  };
  return pages[place]
    ? pages[place]()
    : html`<${Page} title="No such page">
      <${Empty}><p>Nothing is shown at this address. <a href=${address(['sensors'])}>All sensors</a></p><//>
    <//>`;
}

/** @param {{children?: Content}} props */
function ErrorBoundary({children}) {
  const [error, reset] = useErrorBoundary();
  if (error)
    return html`<${Problem} error=${{message: `This page could not be drawn: ${error.message}`}} retry=${reset} />`;
  return children;
}

/** @param {{signOut: (() => void) | null}} props */
function Shell({signOut}) {
  const route = useRoute();
  const place = route.parts[0] ?? 'sensors';
  const isOverview = place === 'sensors' && !route.parts[1];
  const overview = useLive(
    async (signal) => {
      const answer = await api.overview(signal);
      noteServerTime(answer.now);
      return answer;
    },
    isOverview ? 4000 : 30_000,
    ['overview'],
  );
  const [examined, setExamined] = useState(/** @type {import('./navigation.js').Examination | null} */ (null));
  const main = useRef(/** @type {HTMLElement | null} */ (null));
  const path = route.parts.join('/');
  const before = useRef(path);
  useEffect(() => {
    if (before.current === path) return;
    before.current = path;
    scrollTo(0, 0);
    main.current?.querySelector('h1')?.focus({preventScroll: true});
  }, [path]);
  useEffect(() => {
    if (isOverview) overview.refresh();
  }, [isOverview]);
  const skip = (/** @type {Event} */ event) => {
    event.preventDefault();
    main.current?.focus();
  };
  const {stack = '', role = 'viewer', sensors = []} = overview.data ?? {};
  return html`<${Deployment.Provider} value=${{stack, role, sensors}}>
    <a class="skip" href="#main" onclick=${skip}>Skip to the content</a>
    <div class="frame">
      <header class="side">
        <a class="brand" href=${address(['sensors'])}>
          <img src=${MARK} width="28" height="28" alt="" />
          <span>Treadle<small>${stack || ' '}</small></span>
        </a>
        <${Navigation}
          pages=${[...PAGES, ...(auth.takesTestEvents() ? [SEND_EVENT] : [])]}
          place=${place}
          overview=${overview}
          examined=${examined}
        />
        <div class="side-foot">
          ${
            overview.data &&
            role !== 'operator' &&
            html`<p class="viewer">
              <${Badge} status="CANCELED" label="Read only" />
              <small>Your role is ${role}.</small>
            </p>`
          }
          <${Theme} />
          ${signOut && html`<button class="small quiet" onclick=${signOut}>Sign out</button>`}
        </div>
      </header>
      <div class="body">
        <div class="topbar"><${SearchBox} /></div>
        <main id="main" tabindex="-1" ref=${main}>
          <${ErrorBoundary} key=${path}>
            ${
              isOverview || !overview.data
                ? html`<${Loaded} of=${overview} what="the sensors">${() => pageFor(route, overview, setExamined)}<//>`
                : pageFor(route, overview, setExamined)
            }
          <//>
        </main>
        <p class="foot">Times are in ${ZONE}.</p>
      </div>
    </div>
    <${Toast} />
    <${Shortcuts} pages=${PAGES} />
  <//>`;
}

/** @param {{error: Error | null}} props */
function SignIn({error}) {
  const [failed, setFailed] = useState(error);
  const [busy, setBusy] = useState(false);
  const begin = () => {
    setBusy(true);
    auth.signIn().catch((problem) => {
      setBusy(false);
      setFailed(problem);
    });
  };
  return html`<main class="sign-in">
    <img src=${MARK} width="48" height="48" alt="" />
    <h1>Treadle</h1>
    ${failed && html`<${Problem} error=${failed} />`}
    ${
      auth.hasSignIn()
        ? html`<button class="primary" disabled=${busy} onclick=${begin}>${busy ? 'Going there …' : 'Sign in'}</button>`
        : html`<p>
          This tab does not have the token of this console. Open the address that <code>treadle console</code> or
          ${' '}<code>treadle dev</code> printed.
        </p>`
    }
  </main>`;
}

function App() {
  const [state, setState] = useState(
    /** @type {{phase: string, error: Error | null}} */ ({phase: 'loading', error: null}),
  );
  useEffect(() => {
    auth
      .initialize(() => setState({phase: 'out', error: null}))
      .then(
        (isIn) => setState({phase: isIn ? 'in' : 'out', error: null}),
        (error) => setState({phase: 'out', error}),
      );
  }, []);
  if (state.phase === 'loading') return html`<main class="sign-in"><${Loading} what="the sign-in settings" /></main>`;
  if (state.phase === 'out') return html`<${SignIn} error=${state.error} />`;
  return html`<${Shell} signOut=${auth.hasSignIn() ? auth.signOut : null} />`;
}

const root = /** @type {HTMLElement} */ (document.getElementById('app'));
root.replaceChildren();
render(html`<${App} />`, root);
