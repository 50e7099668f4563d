// An authorization server for the tests, in memory and on loopback only. It runs
// on the npm package oidc-provider. Its one argument is its setting, in JSON:
//
//   issuer       its URL, with the port to listen on
//   resources    the resource indicators (RFC 8707) that it knows
//   redirectURI  where it sends the code
//   secret       what every client with a secret has for one
//   keys         the public JWKs of the client resource-server-key
//   algorithms   what the clients jwt-RS256 and so on get their tokens signed with
//   keyFile      where its own keys are kept, from one start to the next
//   signing      the private JWKs to sign with, in place of those
//   details      the types of authorization_details (RFC 9396) that it knows
//   nonces       whether proofs of possession need one (RFC 9449 §8)
//   registration whether a client may register itself (RFC 7591): "as asked", or "any scope",
//                which does not hold the client to the scope that it registers with
//   page         the origin of a web page that is a client, called page
//   log          whether GET /log answers with a line for each request before it: method, path
//                and status
//   tls          key and certificate of a second listener, and its port: it asks for
//                certificates, which the clients called certified have tokens bound
//                to (RFC 8705 §3, §5)
//
// A user alice is logged in and consents to everything, without any page. POST
// /rotate has it sign with new keys; the ones before stay published.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTLSServer } from 'node:https';
import { Provider, errors } from 'oidc-provider';

const setting = JSON.parse(process.argv[2]);
const scopes = ['openid', 'offline_access', 'read', 'write'];

// A client that only calls: no redirects, no response types.
const caller = (id, more) => ({ client_id: id, client_secret: setting.secret, grant_types: [], redirect_uris: [], response_types: [], ...(setting.details && { authorization_details_types: setting.details }), ...more });

// It signs with the first key that fits an algorithm, so the newest come first.
let keys = setting.signing ?? (existsSync(setting.keyFile) ? JSON.parse(readFileSync(setting.keyFile)) : []);

const mldsa = setting.algorithms.filter((alg) => alg.startsWith('ML-DSA-')); // needs Node 24

function addKeys() {
  const age = keys.length / (3 + mldsa.length);
  const key = (kid, type, options) => ({ ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), kid: `${kid}-${age}` });
  keys = [key('rsa', 'rsa', { modulusLength: 2048 }), key('p-256', 'ec', { namedCurve: 'P-256' }), key('ed25519', 'ed25519'), ...mldsa.map((alg) => key(alg, alg.toLowerCase())), ...keys];
  writeFileSync(setting.keyFile, JSON.stringify(keys));
}
if (keys.length === 0) addKeys();

// A Provider's keys cannot change, so a rotation makes another one. What they
// have issued is in one place, and of no use after a restart.
const kept = new Map();
class Adapter {
  constructor(kind) { this.kind = kind; }
  async upsert(id, payload) {
    kept.set(`${this.kind}:${id}`, payload);
    if (payload.uid) kept.set(`${this.kind}:uid:${payload.uid}`, id);
  }
  async find(id) { return kept.get(`${this.kind}:${id}`); }
  async findByUid(uid) { return this.find(kept.get(`${this.kind}:uid:${uid}`)); }
  async destroy(id) { kept.delete(`${this.kind}:${id}`); }
  async consume(id) { kept.get(`${this.kind}:${id}`).consumed = Math.floor(Date.now() / 1000); }
  async revokeByGrantId(grant) {
    for (const [key, payload] of kept) if (payload.grantId === grant) kept.delete(key);
  }
}
const encryption = randomBytes(32); // of the client jwe's tokens
const nonceSecret = randomBytes(32);

const provide = () => new Provider(setting.issuer, {
  jwks: { keys },
  adapter: Adapter,
  clients: [
    ...['opaque', 'jwt', 'jwe', ...setting.algorithms.map((alg) => `jwt-${alg}`)].map((id) => caller(id, { grant_types: ['client_credentials'] })),
    ...['bound', 'bound-opaque'].map((id) => caller(id, { grant_types: ['client_credentials'], dpop_bound_access_tokens: true })),
    ...(setting.tls ? ['certified', 'certified-opaque'] : []).map((id) => caller(id, { grant_types: ['client_credentials'], tls_client_certificate_bound_access_tokens: true })),
    ...['app', 'app-jwt'].map((id) => caller(id, { grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], redirect_uris: [setting.redirectURI] })),
    ...(setting.page ? [caller('page', {
      client_secret: undefined, token_endpoint_auth_method: 'none', grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], redirect_uris: [setting.redirectURI],
    })] : []),
    caller('resource-server'),
    caller('resource-server-post', { token_endpoint_auth_method: 'client_secret_post' }),
    caller('resource-server-ES256', { introspection_signed_response_alg: 'ES256' }),
    caller('resource-server-hmac', { token_endpoint_auth_method: 'client_secret_jwt' }),
    caller('resource-server-key', {
      client_secret: undefined,
      token_endpoint_auth_method: 'private_key_jwt',
      jwks: { keys: setting.keys },
    }),
  ],
  discovery: setting.tls && { mtls_endpoint_aliases: { token_endpoint: `https://127.0.0.1:${setting.tls.port}/token` } },
  cookies: { keys: [setting.secret] },
  scopes,
  findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  enabledJWA: {
    dPoPSigningAlgValues: ['ES256', 'ES384', 'PS256', 'RS256', 'Ed25519', 'EdDSA'],
    clientAuthSigningAlgValues: ['HS256', 'RS256', 'PS256', 'ES256', 'EdDSA'],
    introspectionSigningAlgValues: ['RS256', 'ES256'],
  },
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  features: {
    clientCredentials: { enabled: true },
    dPoP: { enabled: true, nonceSecret, requireNonce: () => setting.nonces === true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    richAuthorizationRequests: {
      enabled: setting.details !== undefined,
      types: Object.fromEntries((setting.details ?? []).map((type) => [type, { validate() {} }])),
      authorizationDetailsForGrantSource: (ctx) => ctx.oidc.grant.rar,
      authorizationDetailsForAccessToken: (ctx, token, source) => (source ? source.rar : JSON.parse(ctx.oidc.params.authorization_details)),
      authorizationDetailsForIntrospection: (ctx, token) => token.rar,
    },
    mTLS: { enabled: setting.tls !== undefined, certificateBoundAccessTokens: true, getCertificate: (ctx) => ctx.req.socket.getPeerX509Certificate?.() },
    jwtIntrospection: { enabled: true },
    registration: { enabled: setting.registration !== undefined },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      getResourceServerInfo(ctx, indicator, client) {
        if (!setting.resources.includes(indicator)) throw new errors.InvalidTarget();
        const [, format, alg] = client.clientId.match(/^([^-]*)-?(.*)$/);
        return {
          scope: scopes.join(' '),
          audience: indicator,
          accessTokenFormat: ['opaque', 'app', 'bound-opaque', 'certified-opaque'].includes(client.clientId) ? 'opaque' : 'jwt',
          accessTokenTTL: 300,
          jwt: {
            ...(format === 'jwt' && alg && { sign: { alg } }),
            ...(format === 'jwe' && { encrypt: { alg: 'dir', enc: 'A256GCM', key: encryption } }),
          },
        };
      },
    },
  },
  clientBasedCORS: (ctx, origin) => origin === setting.page,
  extraClientMetadata: {
    properties: ['policy'],
    validator(ctx, name, value, metadata) {
      if (setting.registration === 'any scope') delete metadata.scope;
    },
  },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
});

// interact answers what a person would be asked.
async function interact(request, response) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') {
    return provider.interactionFinished(request, response, { login: { accountId: 'alice' } });
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  for (const indicator of [params.resource ?? []].flat()) grant.addResourceScope(indicator, params.scope);
  for (const detail of prompt.details.rar ?? []) grant.addRar(detail);
  return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
}

let provider, answer;
function begin() {
  provider = provide();
  answer = provider.callback();
  for (const event of ['server_error', 'authorization.error', 'grant.error', 'introspection.error', 'revocation.error']) {
    provider.on(event, (ctx, error) => console.error(event, error.error_detail ?? '', error));
  }
}
begin();

const log = [];
function serve(request, response) {
  if (request.url === '/log') return response.end(log.map((entry) => `${entry.line} ${entry.response.statusCode}\n`).join(''));
  if (setting.log) log.push({ line: `${request.method} ${request.url.split('?')[0]}`, response });
  if (request.url === '/rotate') {
    addKeys();
    begin();
    return response.end();
  }
  if (!request.url.startsWith('/interaction/')) return answer(request, response);
  interact(request, response).catch((error) => {
    console.error('interaction', error);
    response.writeHead(500).end();
  });
}

createServer(serve).listen(new URL(setting.issuer).port, '127.0.0.1');
if (setting.tls) {
  const { key, certificate, port } = setting.tls;
  createTLSServer({ key, cert: certificate, requestCert: true, rejectUnauthorized: false }, serve).listen(port, '127.0.0.1');
}
