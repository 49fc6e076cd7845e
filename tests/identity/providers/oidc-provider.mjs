// A certified OpenID provider on loopback, with an entrance for the tests: what was asked of it, and switches to misbehave.
//
//   node oidc-provider.mjs PATH-OF-THE-PACKAGE 'CONFIG as JSON'
//
// The first line on stdout is {"issuer": …}. It ends with its standard input. tests/identity/providers/oidc.py says what is in
// CONFIG and what the entrance takes.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

console.warn = console.info = () => {}; // its advice for production
const { Provider, errors } = await import(pathToFileURL(process.argv[2]).href);
const config = JSON.parse(process.argv[3]);

const count = { requests: {}, grants: {}, refused: {}, refreshes: 0, reused: 0, revocations: 0, registrations: 0 };
let switches = {};

const key = (type, options, alg) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: alg,
});
const native = {
  application_type: 'native',
  token_endpoint_auth_method: 'none',
  redirect_uris: ['http://127.0.0.1/callback'],
  response_types: ['code'],
  grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
  id_token_signed_response_alg: config.alg,
};

const server = createServer();
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [{ client_id: 'mcpwrap', ...native }, ...config.clients],
  jwks: { keys: [key('rsa', { modulusLength: 2048 }, 'RS256'), key('ec', { namedCurve: 'P-256' }, 'ES256')] },
  cookies: { keys: ['only for tests'] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
  conformIdTokenClaims: config.claims_by_userinfo,
  scopes: ['openid', 'offline_access', 'email', 'profile', 'groups'],
  async findAccount(ctx, id) {
    return {
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@acme.example`, email_verified: true, name: id, groups: ['developers'] }),
    };
  },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  ttl: {
    AccessToken: config.access_s,
    ClientCredentials: config.access_s,
    AuthorizationCode: 60,
    DeviceCode: config.device_s,
    IdToken: config.id_s,
    RefreshToken: config.refresh_s,
    Grant: 86400, Interaction: 600, Session: 86400,
  },
  features: {
    deviceFlow: { enabled: true },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: config.revocation, allowedPolicy: () => true },
    registration: { enabled: config.registration },
    dPoP: { enabled: false },
    resourceIndicators: {
      enabled: true,
      async getResourceServerInfo(ctx, resource) {
        if (!(resource in config.resources)) throw new errors.InvalidTarget();
        return {
          scope: config.resources[resource],
          audience: resource,
          accessTokenTTL: config.access_s,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        };
      },
    },
  },
});

const add = (table, name) => { table[name] = (table[name] ?? 0) + 1; };
provider.on('grant.success', (ctx) => {
  const type = ctx.oidc.params.grant_type;
  add(count.grants, type);
  if (type === 'refresh_token') count.refreshes += 1;
});
provider.on('grant.error', (ctx, error) => {
  add(count.refused, error.error);
  if (error.error_detail === 'refresh token already used') count.reused += 1;
});
provider.on('registration_create.success', () => { count.registrations += 1; });

const handle = provider.callback();
const own = 'x-inner';

async function body(request) {
  let text = '';
  for await (const part of request) text += part;
  return text;
}

function answer(response, status, value, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
}

async function metadata(request, response) {
  const inner = await fetch(issuer + request.url, { headers: { [own]: '1' } });
  const document = { ...(await inner.json()), ...switches.metadata };
  if (switches.no_s256) delete document.code_challenge_methods_supported;
  for (const name of switches.without ?? []) delete document[name];
  answer(response, inner.status, document);
}

function redirectedWrongly(response) {
  const set = response.setHeader.bind(response);
  response.setHeader = (name, value) => {
    if (name.toLowerCase() === 'location' && /[?&](code|error)=/.test(value) && /[?&]iss=/.test(value)) {
      const url = new URL(value);
      if (switches.iss === null) url.searchParams.delete('iss');
      else url.searchParams.set('iss', switches.iss);
      return set(name, url.href);
    }
    return set(name, value);
  };
}

function keptBack(response, ms) {
  const end = response.end.bind(response);
  response.end = (...rest) => { setTimeout(() => end(...rest), ms); return response; };
}

server.on('request', async (request, response) => {
  const { pathname } = new URL(request.url, issuer);
  if (pathname === '/-/state') return answer(response, 200, count);
  if (pathname === '/-/switch') {
    switches = JSON.parse(await body(request));
    return answer(response, 200, {});
  }
  if (request.headers[own]) return handle(request, response);
  add(count.requests, pathname);
  if (pathname === '/token/revocation') count.revocations += 1;
  const at = (paths) => (paths ?? []).some((path) => pathname.startsWith(path));
  if (at(switches.hangs)) return undefined;
  if (at(switches.down)) {
    return answer(response, switches.status ?? 503, switches.answer ?? { error: 'server_error' }, switches.headers);
  }
  if (pathname.startsWith('/.well-known/')) return metadata(request, response);
  if ('iss' in switches) redirectedWrongly(response);
  if (at(switches.late)) keptBack(response, switches.late_ms);
  return handle(request, response);
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
process.stdout.write(`${JSON.stringify({ issuer })}\n`);
