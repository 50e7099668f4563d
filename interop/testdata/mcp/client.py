"""A client of the MCP Python SDK 2.x.

Its arguments are the URL of the MCP server, the URL of the user's browser, and the grant
types that it registers. It calls the tools look and change, and writes a line of JSON for
each of its requests and for each answer of a tool.
"""

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlparse

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

server, browser, grant_types = sys.argv[1:]
callback = "http://127.0.0.1:1/callback"


def say(**line):
    print(json.dumps(line), flush=True)


async def seen(response):
    say(method=response.request.method, url=str(response.request.url), status=response.status_code)


class Storage:
    """What an application keeps for its user, in memory."""

    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


class Browser:
    """The user's browser, which comes back with the parameters of the callback."""

    async def open(self, url):
        async with httpx2.AsyncClient(event_hooks={"response": [seen]}) as http:
            response = await http.get(browser, params={"url": url})
        self.parameters = parse_qs(urlparse(response.text).query)

    async def wait(self):
        first = {name: values[0] for name, values in self.parameters.items()}
        if "code" not in first:
            raise RuntimeError(first["error_description"])
        return AuthorizationCodeResult(code=first["code"], state=first["state"], iss=first.get("iss"))


async def main():
    user = Browser()
    provider = OAuthClientProvider(
        server_url=server,
        client_metadata=OAuthClientMetadata(
            client_name="python", redirect_uris=[callback], token_endpoint_auth_method="none", grant_types=grant_types.split()
        ),
        storage=Storage(),
        redirect_handler=user.open,
        callback_handler=user.wait,
    )
    async with httpx2.AsyncClient(auth=provider, timeout=60, event_hooks={"response": [seen]}) as http:
        async with Client(streamable_http_client(server, http_client=http)) as client:
            for tool in ["look", "change"]:
                result = await client.call_tool(tool, {})
                say(tool=tool, answer=result.content[0].text)


asyncio.run(main())
