// A client of the MCP TypeScript SDK 1.x. Its arguments are the URL of the MCP server,
// the URL of the user's browser, and the grant types that it registers. It calls the
// tools look and change, and writes a line of JSON for each of its requests and for each
// answer of a tool.
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [server, browser, grantTypes] = process.argv.slice(2);
const callback = 'http://127.0.0.1:1/callback';
const say = (line) => console.log(JSON.stringify(line));

async function seen(url, init) {
  const response = await fetch(url, init);
  say({ method: init?.method ?? 'GET', url: String(url), status: response.status });
  return response;
}

// What an application keeps for its user, in memory.
const kept = {};
const provider = {
  redirectUrl: callback,
  clientMetadata: { client_name: 'sdk1', redirect_uris: [callback], token_endpoint_auth_method: 'none', grant_types: grantTypes.split(' ') },
  clientInformation: () => kept.client,
  saveClientInformation: (client) => { kept.client = client; },
  tokens: () => kept.tokens,
  saveTokens: (tokens) => { kept.tokens = tokens; },
  codeVerifier: () => kept.verifier,
  saveCodeVerifier: (verifier) => { kept.verifier = verifier; },
  async redirectToAuthorization(url) {
    const response = await seen(`${browser}?${new URLSearchParams({ url })}`);
    const parameters = new URL(await response.text()).searchParams;
    if (!parameters.has('code')) throw new Error(parameters.get('error_description'));
    kept.code = parameters.get('code');
  },
};

const open = () => new StreamableHTTPClientTransport(new URL(server), { authProvider: provider, fetch: seen });
let client, transport;

// Once the user is sent to log in, the SDK throws UnauthorizedError. The application
// hands it the code and tries again.
async function authorized(attempt) {
  try {
    return await attempt();
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    await transport.finishAuth(kept.code);
    return attempt();
  }
}

await authorized(async () => {
  client = new Client({ name: 'sdk1', version: '1' });
  transport = open();
  await client.connect(transport);
});
for (const name of ['look', 'change']) {
  const result = await authorized(() => client.callTool({ name, arguments: {} }));
  say({ tool: name, answer: result.content[0].text });
}
await client.close();
