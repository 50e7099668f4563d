// Two resource servers in one process, on loopback, each as strict as it can be
// told to be. Its one argument is its setting, in JSON:
//
//   issuer        whose tokens count
//   audience      who they have to be for
//   express       the port of express-oauth2-jwt-bearer
//   oauth4webapi  the port of oauth4webapi's validateJwtAccessToken
//
// Clients know both as the audience, which is a URL, behind a proxy that says so in
// Host and X-Forwarded-Proto: that is what the htu of a proof is held against.
import { createServer } from 'node:http';
import express from 'express';
import { auth } from 'express-oauth2-jwt-bearer';
import * as oauth from 'oauth4webapi';

const setting = JSON.parse(process.argv[2]);

const app = express();
app.set('trust proxy', 'loopback');
app.use(auth({ issuerBaseURL: setting.issuer, audience: setting.audience, strict: true, dpop: { enabled: true } }));
app.use((request, response) => response.send('accepted'));
app.use((error, request, response, next) => response.status(error.status ?? 500).send());
app.listen(setting.express, '127.0.0.1');

const overHTTP = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(setting.issuer);
const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, overHTTP));
const options = { ...overHTTP, signingAlgorithms: ['RS256', 'PS256', 'ES256'] };
createServer(async (request, response) => {
  try {
    const asked = new Request(setting.audience + request.url, { method: request.method, headers: request.headers });
    await oauth.validateJwtAccessToken(server, asked, setting.audience, options);
    response.end('accepted');
  } catch {
    response.writeHead(401).end();
  }
}).listen(setting.oauth4webapi, '127.0.0.1');
