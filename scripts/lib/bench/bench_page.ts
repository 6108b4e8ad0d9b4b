// The operators' page: bench/page.html, the bench's events as server-sent events, and its commands as posted JSON.
// Only for people at this machine: it listens on 127.0.0.1; a request that was sent to another name is refused (DNS
// rebinding), and a command must come from the page itself (Origin), as JSON, which no form of another site can send.
// Leaves out: other users of this machine, who reach 127.0.0.1 too; a bench has one.
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { UsageError } from "../cli/exit";
import { listen } from "../cli/listen";
import { show } from "../cli/show";
import { type BenchCommand, type BenchEvent, OPERATIONS, type StartPage } from "./interfaces";

const ADDRESS = "127.0.0.1";
const PAGE = readFileSync(new URL("./page.html", import.meta.url), "utf8");
const COMMAND_MAX = 4096; // bytes
const BEHIND_MAX = 1 << 20; // bytes that a page may be behind before it is let go; it comes again and gets everything
const ALIVE_MS = 15_000;

/** What each command must hold, no more and no less; `?` where it may be left out. */
const COMMANDS: Record<
  BenchCommand["command"],
  Record<string, "text" | "number" | "number?" | "operation">
> = {
  scan: { serial: "text", fixture: "number?" },
  start: { fixture: "number?" },
  scrap: { serial: "text", reason: "text" },
  operation: { operation: "operation" },
  clear: { fixture: "number" },
};

/** Refuse with a status of HTTP and a sentence. */
class Refusal extends Error {
  constructor(
    readonly status: number,
    sentence: string,
  ) {
    super(sentence);
  }
}

/** Where the page is served. */
export const placeOfPage = (port: number) => ({ host: ADDRESS, port });

export const startPage: StartPage = async (bench, options) => {
  const streams = new Set<ServerResponse>();
  const server = createServer(async (request, response) => {
    response.setHeader("cache-control", "no-store");
    response.setHeader("x-content-type-options", "nosniff");
    response.setHeader("cross-origin-resource-policy", "same-origin");
    response.setHeader("referrer-policy", "no-referrer");
    try {
      checkHost(request);
      const route = `${request.method} ${request.url}`;
      if (route === "GET /") sendPage(response);
      else if (route === "GET /events") stream(response);
      else if (route === "POST /command") {
        checkOrigin(request);
        bench.command(parseCommand(await body(request)));
        response.writeHead(204).end();
      } else throw new Refusal(404, "There is nothing here.");
    } catch (error) {
      if (response.headersSent || response.destroyed) return void response.destroy();
      const status = error instanceof Refusal ? error.status : error instanceof UsageError ? 409 : 500;
      if (status === 500) console.error(error);
      const sentence = status === 500 ? "The bench failed at this." : (error as Error).message;
      // What is left of a body is not waited for.
      response.writeHead(status, { "content-type": "application/json", connection: "close" });
      response.end(JSON.stringify({ error: show(sentence) }));
    }
  });

  function stream(response: ServerResponse): void {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const unsubscribe = bench.subscribe((event: BenchEvent) => {
      response.write(`data: ${JSON.stringify(event, shown)}\n\n`);
      if (response.writableLength > BEHIND_MAX) response.destroy();
    });
    const alive = setInterval(() => response.write(":\n\n"), ALIVE_MS);
    streams.add(response);
    response.on("close", () => {
      streams.delete(response);
      clearInterval(alive);
      unsubscribe();
    });
  }

  await listen(server, placeOfPage(options.port), "the page");
  const { port } = server.address() as AddressInfo;
  const names = new Set([`${ADDRESS}:${port}`, `localhost:${port}`]);

  function checkHost(request: IncomingMessage): void {
    if (!names.has(request.headers.host ?? ""))
      throw new Refusal(421, `This is ${ADDRESS}:${port} and nothing else.`);
  }

  function checkOrigin(request: IncomingMessage): void {
    if (request.headers.origin !== `http://${request.headers.host}`)
      throw new Refusal(403, "Commands come from the bench's own page.");
    if (request.headers["content-type"] !== "application/json") throw new Refusal(415, "A command is JSON.");
  }

  return {
    url: `http://${ADDRESS}:${port}/`,
    async close() {
      for (const response of streams) response.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

/** What devices and scanners say is for reading (lib/cli/show.ts). */
function shown(_name: string, value: unknown): unknown {
  return typeof value === "string" ? show(value) : value;
}

function sendPage(response: ServerResponse): void {
  const nonce = randomBytes(16).toString("base64url");
  const own = `'nonce-${nonce}'`;
  response.writeHead(200, {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": `default-src 'none'; script-src ${own}; style-src ${own}; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  });
  response.end(PAGE.replaceAll('nonce="NONCE"', `nonce="${nonce}"`));
}

async function body(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > COMMAND_MAX) throw new Refusal(413, `A command has at most ${COMMAND_MAX} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parseCommand(text: string): BenchCommand {
  let given: Record<string, unknown>;
  try {
    given = JSON.parse(text);
  } catch {
    throw new Refusal(400, "A command is JSON.");
  }
  const name = given?.command;
  if (typeof name !== "string" || !Object.hasOwn(COMMANDS, name))
    throw new Refusal(400, "There is no such command.");
  const fields = COMMANDS[name as BenchCommand["command"]];
  const isRight = Object.entries(fields).every(([field, kind]) => isOfKind(given[field], kind));
  if (!isRight || Object.keys(given).some((field) => field !== "command" && !Object.hasOwn(fields, field)))
    throw new Refusal(400, `The command ${name} takes ${Object.keys(fields).join(" and ")}.`);
  return given as BenchCommand;
}

function isOfKind(value: unknown, kind: "text" | "number" | "number?" | "operation"): boolean {
  if (kind === "text") return typeof value === "string";
  if (kind === "operation") return (OPERATIONS as readonly unknown[]).includes(value);
  return (
    (kind === "number?" && value === undefined) || (Number.isSafeInteger(value) && (value as number) > 0)
  );
}
