// Authentication: the start-up token of `treadle console`, or a sign-in by OpenID Connect (code flow with PKCE).
// Tokens are kept in sessionStorage alone: closing the tab forgets them.

const START_TOKEN = 'treadle.start-token',
  TOKEN = 'treadle.token',
  PENDING_SIGN_IN = 'treadle.sign-in';
const EXPIRY_MARGIN = 30_000;

// Taken before anything else happens: what is in the address bar can be seen, and the next address replaces it.
storeStartToken();

/** @typedef {{auth: string, issuer: string, client_id: string, scope?: string, test_events?: string}} Config */

let config = /** @type {Config} */ ({auth: 'token'});
let onSignedOut = () => {};

/**
 * Read the sign-in settings, and finish a pending sign-in. Returns whether requests may be made.
 *
 * @param {() => void} signedOut
 */
export async function initialize(signedOut) {
  onSignedOut = signedOut;
  const answer = await fetch('config.json', {cache: 'no-store', credentials: 'same-origin'});
  if (!answer.ok) throw new Error(`config.json: the server answered ${answer.status}.`);
  config = await answer.json();
  if (config.auth === 'oidc') return finishSignIn();
  return true;
}

/** Whether people sign in and out here. */
export const hasSignIn = () => config.auth === 'oidc';

/** Whether events can be sent to the sensors, as with `treadle dev`. */
export const takesTestEvents = () => config.test_events === 'true';

/**
 * The headers that authenticate a request.
 *
 * @returns {Record<string, string>}
 */
export function authorization() {
  const token = hasSignIn() ? storedToken()?.token : sessionStorage.getItem(START_TOKEN);
  return token ? {Authorization: `Bearer ${token}`} : {};
}

/** Forget the token, which has expired or is invalid. */
export function signInAgain() {
  sessionStorage.removeItem(hasSignIn() ? TOKEN : START_TOKEN);
  onSignedOut();
}

/** @returns {{token: string, idToken?: string, until: number | null} | null} */
function storedToken() {
  try {
    const found = JSON.parse(sessionStorage.getItem(TOKEN) ?? 'null');
    return found && (!found.until || found.until > Date.now()) ? found : null;
  } catch {
    return null;
  }
}

// ---- The start-up token

// Kept at once, so that a reload finds it, and in a place of its own: where one signs in, no link may sign anyone in.
function storeStartToken() {
  const match = /^#token=(.+)$/.exec(location.hash);
  if (!match) return;
  sessionStorage.setItem(START_TOKEN, decodeURIComponent(match[1]));
  history.replaceState(null, '', location.pathname);
}

// ---- OpenID Connect

const pageAddress = () => location.origin + location.pathname;
/** @param {Uint8Array} bytes */
const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

/** @returns {Promise<Record<string, string>>} */
async function discover() {
  const answer = await fetch(`${config.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, {
    credentials: 'omit',
  });
  if (!answer.ok)
    throw new Error(
      `The issuer ${config.issuer} answered ${answer.status} to the request for its OpenID configuration.`,
    );
  const found = await answer.json();
  if (found.issuer !== config.issuer)
    throw new Error(`The issuer reports the name ${found.issuer}, not ${config.issuer}.`);
  return found;
}

/** Go to the issuer's page to sign in; the present page is shown again afterwards. */
export async function signIn() {
  const [state, nonce, verifier] = [random(), random(), random()];
  const {authorization_endpoint: page} = await discover();
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier)));
  sessionStorage.setItem(PENDING_SIGN_IN, JSON.stringify({state, nonce, verifier, hash: location.hash}));
  const address = new URL(page);
  const parameters = {
    response_type: 'code',
    client_id: config.client_id,
    redirect_uri: pageAddress(),
    scope: config.scope ?? 'openid',
    state,
    nonce,
    code_challenge: base64url(hash),
    code_challenge_method: 'S256',
  };
  for (const [name, value] of Object.entries(parameters)) address.searchParams.set(name, value);
  location.assign(address);
}

/** Forget the token, and sign out at the issuer if it has an endpoint for that. */
export async function signOut() {
  const idToken = storedToken()?.idToken;
  sessionStorage.removeItem(TOKEN);
  const found = await discover().catch(() => null);
  if (!found?.end_session_endpoint) return onSignedOut();
  const address = new URL(found.end_session_endpoint);
  address.searchParams.set('client_id', config.client_id);
  // OpenID Connect's own name for it, and Cognito's.
  for (const name of ['post_logout_redirect_uri', 'logout_uri']) address.searchParams.set(name, pageAddress());
  if (idToken) address.searchParams.set('id_token_hint', idToken);
  return location.assign(address);
}

async function finishSignIn() {
  const parameters = new URLSearchParams(location.search);
  const pending = JSON.parse(sessionStorage.getItem(PENDING_SIGN_IN) ?? 'null');
  if (!parameters.has('state')) return storedToken() !== null;
  sessionStorage.removeItem(PENDING_SIGN_IN);
  history.replaceState(null, '', location.pathname + (pending?.hash ?? ''));
  if (!pending || parameters.get('state') !== pending.state)
    throw new Error('This sign-in was not started in this tab. Sign in again.');
  if (parameters.has('error')) {
    throw new Error(
      `The issuer refused the sign-in: ${parameters.get('error_description') ?? parameters.get('error')}.`,
    );
  }
  await exchange(parameters.get('code') ?? '', pending);
  return true;
}

/**
 * @param {string} code
 * @param {{nonce: string, verifier: string}} pending
 */
async function exchange(code, {nonce, verifier}) {
  const {token_endpoint: endpoint} = await discover();
  const answer = await fetch(endpoint, {
    method: 'POST',
    credentials: 'omit',
    headers: {'Content-Type': 'application/x-www-form-urlencoded'},
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      code,
      client_id: config.client_id,
      redirect_uri: pageAddress(),
      code_verifier: verifier,
    }),
  });
  const tokens = await answer.json().catch(() => ({}));
  if (!answer.ok || !tokens.access_token) {
    throw new Error(`The issuer gave no token: ${tokens.error_description ?? tokens.error ?? answer.status}.`);
  }
  if (claims(tokens.id_token).nonce !== nonce) throw new Error('The token belongs to another sign-in. Sign in again.');
  const until = tokens.expires_in ? Date.now() + tokens.expires_in * 1000 - EXPIRY_MARGIN : null;
  sessionStorage.setItem(TOKEN, JSON.stringify({token: tokens.access_token, idToken: tokens.id_token, until}));
}

/**
 * What a token claims. It came from the issuer itself over TLS, and the API checks its signature.
 *
 * @param {string} token
 * @returns {Record<string, unknown>}
 */
function claims(token) {
  try {
    const bytes = atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (one) => one.charCodeAt(0))));
  } catch {
    throw new Error('The issuer gave no id_token; the scope must contain "openid".');
  }
}
