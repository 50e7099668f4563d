// An authorization server for the tests, in memory and on loopback only. It runs
// on the npm package oidc-provider. Its one argument is its setting, in JSON:
//
//   issuer       its URL, with the port to listen on
//   resources    the resource indicators (RFC 8707) that it knows
//   redirectURI  where it sends the code
//   secret       what every client with a secret has for one
//   keys         the public JWKs of the client resource-server-key
//   algorithms   what the clients jwt-RS256 and so on get their tokens signed with
//
// A user alice is logged in and consents to everything, without any page.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { Provider, errors } from 'oidc-provider';

const setting = JSON.parse(process.argv[2]);
const scopes = ['openid', 'offline_access', 'read', 'write'];

// A client that only calls: no redirects, no response types.
const caller = (id, more) => ({ client_id: id, client_secret: setting.secret, grant_types: [], redirect_uris: [], response_types: [], ...more });

// The signing keys are made anew in each run.
const key = (kid, type, options) => ({ ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), kid });

const provider = new Provider(setting.issuer, {
  jwks: { keys: [key('rsa', 'rsa', { modulusLength: 2048 }), key('p-256', 'ec', { namedCurve: 'P-256' }), key('ed25519', 'ed25519')] },
  clients: [
    ...['opaque', 'jwt', ...setting.algorithms.map((alg) => `jwt-${alg}`)].map((id) => caller(id, { grant_types: ['client_credentials'] })),
    caller('app', { grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], redirect_uris: [setting.redirectURI] }),
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
  cookies: { keys: [setting.secret] },
  scopes,
  findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
  enabledJWA: {
    clientAuthSigningAlgValues: ['HS256', 'RS256', 'PS256', 'ES256', 'EdDSA'],
    introspectionSigningAlgValues: ['RS256', 'ES256'],
  },
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    jwtIntrospection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      getResourceServerInfo(ctx, indicator, client) {
        if (!setting.resources.includes(indicator)) throw new errors.InvalidTarget();
        const [format, alg] = client.clientId.split('-');
        return {
          scope: scopes.join(' '),
          audience: indicator,
          accessTokenFormat: format === 'jwt' ? 'jwt' : 'opaque',
          accessTokenTTL: 300,
          jwt: alg && { sign: { alg } },
        };
      },
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
  return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
}

for (const event of ['server_error', 'authorization.error', 'grant.error', 'introspection.error', 'revocation.error']) {
  provider.on(event, (ctx, error) => console.error(event, error.error_detail ?? '', error));
}

const answer = provider.callback();
createServer((request, response) => {
  if (!request.url.startsWith('/interaction/')) return answer(request, response);
  interact(request, response).catch((error) => {
    console.error('interaction', error);
    response.writeHead(500).end();
  });
}).listen(new URL(setting.issuer).port, '127.0.0.1');
