// A client made with oauth4webapi: it gets a token that is bound to its key, and
// uses it twice. It answers each demand for a nonce, and prints the statuses and the
// client that the resource server has found. Its one argument is its setting, in
// JSON:
//
//   issuer    the authorization server
//   client    the client_id
//   secret    its secret
//   resource  what the token is for
//   url       where to use it
import * as oauth from 'oauth4webapi';

const setting = JSON.parse(process.argv[2]);
const overHTTP = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(setting.issuer);
const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, overHTTP));
const client = { client_id: setting.client };
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'));

// again repeats what a new nonce is needed for, once.
async function again(attempt) {
  try {
    return await attempt();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return attempt();
  }
}

const token = await again(async () => oauth.processClientCredentialsResponse(server, client, await oauth.clientCredentialsGrantRequest(
  server, client, oauth.ClientSecretBasic(setting.secret), { scope: 'read', resource: setting.resource }, { ...overHTTP, DPoP },
)));
const use = () => again(() => oauth.protectedResourceRequest(token.access_token, 'GET', new URL(setting.url), undefined, null, { ...overHTTP, DPoP }));
const first = await use();
const second = await use();
const found = await second.json();
console.log(first.status, second.status, found.ClientID);
