// Who is asking: the start-up token of `treadle console`, or a sign-in by OpenID Connect (code flow with PKCE).
// Tokens are kept in sessionStorage alone: closing the tab forgets them.

const START_TOKEN = 'treadle.start-token', TOKEN = 'treadle.token', UNDER_WAY = 'treadle.sign-in';
const SPARE = 30_000;

// Taken before anything else happens: what is in the address bar can be seen, and the next address replaces it.
takeStartToken();

let config = {auth: 'token'};
let onSignedOut = () => {};

/** Read how one signs in here, and finish a sign-in that is under way. Gives whether requests may be made. */
export async function begin(signedOut) {
  onSignedOut = signedOut;
  const answer = await fetch('config.json', {cache: 'no-store', credentials: 'same-origin'});
  if (!answer.ok) throw new Error(`config.json: the server answered ${answer.status}.`);
  config = await answer.json();
  if (config.auth === 'oidc') return finishSignIn();
  return true;
}

/** Whether people sign in and out here. */
export const hasSignIn = () => config.auth === 'oidc';

/** The headers that say who asks. */
export function authorization() {
  const token = hasSignIn() ? kept()?.token : sessionStorage.getItem(START_TOKEN);
  return token ? {Authorization: `Bearer ${token}`} : {};
}

/** Forget the token: it has expired, or is not known here. */
export function signInAgain() {
  sessionStorage.removeItem(hasSignIn() ? TOKEN : START_TOKEN);
  onSignedOut();
}

function kept() {
  try {
    const found = JSON.parse(sessionStorage.getItem(TOKEN));
    return found && (!found.until || found.until > Date.now()) ? found : null;
  } catch {
    return null;
  }
}

// ---- The start-up token

// Kept at once, so that a reload finds it, and in a place of its own: where one signs in, no link may sign anyone in.
function takeStartToken() {
  const given = /^#token=(.+)$/.exec(location.hash);
  if (!given) return;
  sessionStorage.setItem(START_TOKEN, decodeURIComponent(given[1]));
  history.replaceState(null, '', location.pathname);
}

// ---- OpenID Connect

const here = () => location.origin + location.pathname;
const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

async function discovered() {
  const answer = await fetch(`${config.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, {credentials: 'omit'});
  if (!answer.ok) throw new Error(`The issuer ${config.issuer} answered ${answer.status} to the request for its OpenID configuration.`);
  const found = await answer.json();
  if (found.issuer !== config.issuer) throw new Error(`The issuer reports the name ${found.issuer}, not ${config.issuer}.`);
  return found;
}

/** Go to the issuer's page to sign in; the present page is shown again afterwards. */
export async function signIn() {
  const [state, nonce, verifier] = [random(), random(), random()];
  const {authorization_endpoint: page} = await discovered();
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier)));
  sessionStorage.setItem(UNDER_WAY, JSON.stringify({state, nonce, verifier, hash: location.hash}));
  const address = new URL(page);
  const asked = {
    response_type: 'code', client_id: config.client_id, redirect_uri: here(), scope: config.scope ?? 'openid',
    state, nonce, code_challenge: base64url(hash), code_challenge_method: 'S256',
  };
  for (const [name, value] of Object.entries(asked)) address.searchParams.set(name, value);
  location.assign(address);
}

/** Forget the token, and sign out at the issuer if it has an endpoint for that. */
export async function signOut() {
  const idToken = kept()?.idToken;
  sessionStorage.removeItem(TOKEN);
  const found = await discovered().catch(() => ({}));
  if (!found.end_session_endpoint) return onSignedOut();
  const address = new URL(found.end_session_endpoint);
  address.searchParams.set('client_id', config.client_id);
  // OpenID Connect's own name for it, and Cognito's.
  for (const name of ['post_logout_redirect_uri', 'logout_uri']) address.searchParams.set(name, here());
  if (idToken) address.searchParams.set('id_token_hint', idToken);
  return location.assign(address);
}

async function finishSignIn() {
  const answered = new URLSearchParams(location.search);
  const begun = JSON.parse(sessionStorage.getItem(UNDER_WAY) ?? 'null');
  if (!answered.has('state')) return kept() !== null;
  sessionStorage.removeItem(UNDER_WAY);
  history.replaceState(null, '', location.pathname + (begun?.hash ?? ''));
  if (!begun || answered.get('state') !== begun.state) throw new Error('This sign-in was not started in this tab. Sign in again.');
  if (answered.has('error')) {
    throw new Error(`The issuer refused the sign-in: ${answered.get('error_description') ?? answered.get('error')}.`);
  }
  await exchange(answered.get('code') ?? '', begun);
  return true;
}

async function exchange(code, {nonce, verifier}) {
  const {token_endpoint: endpoint} = await discovered();
  const answer = await fetch(endpoint, {
    method: 'POST', credentials: 'omit', headers: {'Content-Type': 'application/x-www-form-urlencoded'},
    body: new URLSearchParams({
      grant_type: 'authorization_code', code, client_id: config.client_id, redirect_uri: here(), code_verifier: verifier,
    }),
  });
  const given = await answer.json().catch(() => ({}));
  if (!answer.ok || !given.access_token) {
    throw new Error(`The issuer gave no token: ${given.error_description ?? given.error ?? answer.status}.`);
  }
  if (claims(given.id_token).nonce !== nonce) throw new Error('The token belongs to another sign-in. Sign in again.');
  const until = given.expires_in ? Date.now() + given.expires_in * 1000 - SPARE : null;
  sessionStorage.setItem(TOKEN, JSON.stringify({token: given.access_token, idToken: given.id_token, until}));
}

/** What a token claims. It came from the issuer itself over TLS, and the API checks its signature. */
function claims(token) {
  try {
    const bytes = atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (one) => one.charCodeAt(0))));
  } catch {
    throw new Error('The issuer gave no id_token; the scope must contain "openid".');
  }
}
