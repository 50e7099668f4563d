// A client of the MCP TypeScript SDK 2.x, for Node and for web pages. Its arguments are the
// URL of the MCP server, the URL of the user's browser, the grant types that it registers,
// how it negotiates the protocol's revision, and the client_id if it is registered
// already. It calls the tools look and change, and writes a line of JSON for each of its
// requests and for each answer of a tool.
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';

const [server, browser, grantTypes, mode, id] = globalThis.pageArguments ?? process.argv.slice(2);
const callback = 'http://127.0.0.1:1/callback';
const say = (line) => console.log(JSON.stringify(line));

async function seen(url, init) {
  const response = await fetch(url, init).catch((error) => {
    say({ method: init?.method ?? 'GET', url: String(url), status: 0 }); // a refused preflight
    throw error;
  });
  say({ method: init?.method ?? 'GET', url: String(url), status: response.status });
  return response;
}

// What an application keeps for its user, in memory.
const kept = { client: id && { client_id: id } };
const provider = {
  redirectUrl: callback,
  clientMetadata: { client_name: 'sdk2', redirect_uris: [callback], token_endpoint_auth_method: 'none', grant_types: grantTypes.split(' ') },
  clientInformation: () => kept.client,
  saveClientInformation: (client) => { kept.client = client; },
  tokens: () => kept.tokens,
  saveTokens: (tokens) => { kept.tokens = tokens; },
  codeVerifier: () => kept.verifier,
  saveCodeVerifier: (verifier) => { kept.verifier = verifier; },
  discoveryState: () => kept.discovery,
  saveDiscoveryState: (discovery) => { kept.discovery = discovery; },
  async redirectToAuthorization(url) {
    const response = await seen(`${browser}?${new URLSearchParams({ url })}`);
    kept.callback = new URL(await response.text()).searchParams;
  },
};

const open = () => new StreamableHTTPClientTransport(new URL(server), { authProvider: provider, fetch: seen });
let client, transport;

// Once the user is sent to log in, the SDK throws UnauthorizedError. The application
// hands it the parameters of the callback and tries again.
async function authorized(attempt) {
  try {
    return await attempt();
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    await transport.finishAuth(kept.callback);
    return attempt();
  }
}

await authorized(async () => {
  client = new Client({ name: 'sdk2', version: '1' }, { versionNegotiation: { mode } });
  transport = open();
  await client.connect(transport);
});
for (const name of ['look', 'change']) {
  const result = await authorized(() => client.callTool({ name, arguments: {} }));
  say({ tool: name, answer: result.content[0].text });
}
await client.close();
