// The page as one file: console.html with page.ts bundled into it, and with a policy (CSP) that names both by their
// hashes, so that it works from a disk, a stick or 127.0.0.1 alike and asks nobody else for anything.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { interrupted } from "../cli/exit";
import { checkPort, listen } from "../cli/listen";

const ADDRESS = "127.0.0.1";
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** Make the page. */
export async function consolePage(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [here("./page.ts")],
    bundle: true,
    minify: true,
    format: "iife",
    target: "es2022",
    charset: "ascii",
    legalComments: "none",
    write: false,
    logLevel: "silent",
  });
  // the only way out of a script element
  const script = outputFiles[0].text.replaceAll("</", "<\\/").trim();
  const template = readFileSync(here("./console.html"), "utf8");
  const style = /<style>([\s\S]*?)<\/style>/.exec(template)?.[1] ?? "";
  const policy = [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  return template.replace("POLICY", policy).replace("SCRIPT", () => script);
}

function hash(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}

/** Serve the page to this machine's browsers until Ctrl-C. */
export async function servePage(port: number): Promise<void> {
  await checkPort({ host: ADDRESS, port }, "the page");
  const page = await consolePage();
  const server = createServer((request, response) => {
    const isPage = request.method === "GET" && request.url === "/";
    response.writeHead(isPage ? 200 : 404, {
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      // what a meta element cannot say
      "content-security-policy": "frame-ancestors 'none'",
    });
    response.end(isPage ? page : "There is nothing here.");
  });
  await listen(server, { host: ADDRESS, port }, "the page");
  const ended = interrupted();
  console.log(`http://${ADDRESS}:${(server.address() as AddressInfo).port}/ is the page; Ctrl-C ends it`);
  await ended;
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}
