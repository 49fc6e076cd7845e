// The TypeScript SDK's client in one of its three modes; says what it saw as one JSON object on stdout.
// usage: node client.mjs MODE CALLS COMMAND [ARGUMENT…]; MODE: legacy, auto, pin; CALLS: JSON [[tool, arguments], …]
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const [mode, calls, command, ...args] = process.argv.slice(2);
const seen = { calls: [] };
const client = new Client(
  { name: "scripted", version: "1.0" },
  {
    capabilities: { roots: { listChanged: true }, sampling: {}, elicitation: { form: {} } },
    versionNegotiation: { mode: mode === "pin" ? { pin: "2026-07-28" } : mode },
  },
);
client.setRequestHandler("roots/list", () => ({ roots: [{ uri: "file:///shop", name: "shop" }] }));
client.setRequestHandler("sampling/createMessage", () => ({
  role: "assistant",
  content: { type: "text", text: "from the client" },
  model: "scripted",
}));
client.setRequestHandler("elicitation/create", () => ({ action: "accept", content: { name: "Ann" } }));

await client.connect(new StdioClientTransport({ command, args, env: process.env, cwd: process.cwd(), stderr: "inherit" }));
try {
  seen.era = client.getProtocolEra();
  seen.revision = client.getNegotiatedProtocolVersion();
  seen.tools = (await client.listTools()).tools.map((tool) => tool.name);
  for (const [name, args] of JSON.parse(calls)) {
    try {
      const result = await client.callTool({ name, arguments: args });
      const text = result.content.map((block) => block.text ?? "").join("\n");
      seen.calls.push({ name, isError: result.isError ?? false, text });
    } catch (error) {
      seen.calls.push({ name, code: error.code, text: String(error.message) });
    }
  }
} finally {
  await client.close();
}
process.stdout.write(JSON.stringify(seen));
