// An authorization server for the tests, over TLS on loopback, that binds its
// tokens to a key (RFC 9449) or to a certificate (RFC 8705). It runs on the npm
// package oidc-provider. Its one argument is its setting, in JSON:
//
//   issuer     its URL, with the port to listen on
//   resource   the resource indicator (RFC 8707) that it knows
//   secret     what every client has for one
//   key, cert  its own, in PEM
//
// It demands nonces, and takes any certificate that a client shows.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:https';
import { Provider, errors } from 'oidc-provider';

const setting = JSON.parse(process.argv[2]);
const caller = (id, more) => ({ client_id: id, client_secret: setting.secret, grant_types: ['client_credentials'], redirect_uris: [], response_types: [], ...more });
const key = { ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }), kid: 'rsa' };

const provider = new Provider(setting.issuer, {
  jwks: { keys: [key] },
  clients: [
    ...['key-jwt', 'key-opaque'].map((id) => caller(id, { dpop_bound_access_tokens: true })),
    ...['certificate-jwt', 'certificate-opaque'].map((id) => caller(id, { tls_client_certificate_bound_access_tokens: true })),
    caller('resource-server', { grant_types: [] }),
  ],
  cookies: { keys: [setting.secret] },
  scopes: ['read'],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    introspection: { enabled: true },
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      getCertificate: (ctx) => ctx.req.socket.getPeerX509Certificate(),
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      getResourceServerInfo(ctx, indicator, client) {
        if (indicator !== setting.resource) throw new errors.InvalidTarget();
        return { scope: 'read', audience: indicator, accessTokenFormat: client.clientId.split('-')[1], accessTokenTTL: 300 };
      },
    },
  },
});
for (const event of ['server_error', 'grant.error', 'introspection.error']) {
  provider.on(event, (ctx, error) => console.error(event, error.error_detail ?? '', error));
}
createServer({ key: setting.key, cert: setting.cert, requestCert: true, rejectUnauthorized: false }, provider.callback())
  .listen(new URL(setting.issuer).port, '127.0.0.1');
