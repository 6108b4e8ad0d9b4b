// The pages are true: commands are taken out of them and run, the servers meet the built bundle, paths and links exist.
// The servers run in a network namespace of their own where that is permitted, and gnutls-serv, which listens on every
// address, only there.
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { PROJECT } from "./lib/bundle/build";
import { PAGES } from "./lib/test/pages";
import { skipWithout } from "./lib/test/peers/install";

const SERVERS = "scripts/lib/gateway/README.md";
const CUSTODY = "scripts/lib/custody/README.md";
const folder = mkdtempSync(join(tmpdir(), "readme-"));
after(() => rmSync(folder, { recursive: true }));

/** The first block of shell commands after a line of a page, working in our folder instead of dist/device. */
function commandsUnder(page: string, heading: string): string {
  const section = PAGES.get(page)?.split(`${heading}\n`)[1];
  const block = /```sh\n([\s\S]*?)```/.exec(section ?? "");
  assert.ok(block, `no commands under ${heading}`);
  return block[1].replaceAll("dist/device", folder);
}

const START = commandsUnder(SERVERS, "Start one of the\nservers below, then in another terminal:").trim();

/** How this user may open namespaces in which servers bother nobody and end with their shell, or undefined. */
const namespace = [[], ["-r"]]
  .map((user) => ["unshare", ...user, "-n", "--pid", "--fork", "--kill-child"])
  .find(([command, ...args]) => spawnSync(command, [...args, "ip", "link", "set", "lo", "up"]).status === 0);

/** Run a script; whatever it started in the background ends with it. */
function shell(script: string, isolated = false): Promise<{ code: number | null; output: string }> {
  const [command, ...args] =
    isolated && namespace ? [...namespace, "sh", "-c", script] : ["sh", "-c", script];
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: PROJECT,
      detached: true, // a process group of its own, to end as one
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
    });
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    child.stderr.on("data", (chunk) => (output += chunk));
    child.on("exit", (code) => {
      try {
        process.kill(-(child.pid as number), "SIGKILL");
      } catch {
        // nothing was left
      }
      child.once("close", () => resolve({ code, output }));
    });
  });
}

describe("the servers of the README meet the device", () => {
  before(async () => {
    const { code, output } = await shell(
      commandsUnder(SERVERS, "Nothing that is there already is written over:").replace(
        "derive",
        `derive -- --out ${folder}`,
      ),
    );
    assert.equal(code, 0, output);
  });

  // What stunnel decrypts goes to a broker on port 1883, as the README says.
  const broker = "mosquitto -p 1883 & ";
  const servers: [name: string, setup: string, skip: string | false, mqtt: boolean][] = [
    ["OpenSSL", "", skipWithout("openssl"), false],
    [
      "GnuTLS",
      "",
      skipWithout("gnutls-serv") || (!namespace && "no network namespace may be opened here"),
      false,
    ],
    ["stunnel", broker, skipWithout("stunnel4", "mosquitto"), true],
    ["Mosquitto", "", skipWithout("mosquitto"), true],
    ["Node", "", skipWithout("node"), false],
  ];
  for (const [name, setup, skip, mqtt] of servers) {
    test(name, { skip, timeout: 1_000_000 }, async () => {
      const server = commandsUnder(SERVERS, `### ${name}`);
      const script = `${namespace ? "ip link set lo up" : ""}\n${setup}\n( ${server}\n) > ${folder}/server.log 2>&1 &\nsleep 1\n${START} --once --timeout 60`;
      const { code, output } = await shell(script, true);
      assert.equal(code, 0, output + readFileSync(join(folder, "server.log"), "utf8"));
      assert.match(output, /secured +TLS_PSK_WITH_AES_128_/);
      if (mqtt) assert.match(output, /<-- +ApplicationData/);
    });
  }
});

test("the README's derivation with OpenSSL gives what the protocol page says", async () => {
  const { output } = await shell(commandsUnder(CUSTODY, "OpenSSL agrees:"));
  assert.equal(output.trim().replaceAll(":", ""), "5293A6ECAB33C6938F2783A537694190");
});

for (const [page, text] of PAGES) {
  test(`${page}: every path, npm script, make target and link that it names exists`, () => {
    for (const [, path] of text.matchAll(/`((?:firmware|boards|hal|scripts)\/[\w./]*|[A-Z]+\.md)`/g))
      assert.ok(existsSync(join(PROJECT, path)), path);
    for (const [, target] of text.matchAll(/\]\(([^):]+)\)/g))
      assert.ok(existsSync(join(PROJECT, dirname(page), target)), target);
    const { scripts } = JSON.parse(readFileSync(join(PROJECT, "package.json"), "utf8"));
    for (const [, script] of text.matchAll(/npm run (?:-s )?([\w:-]+)/g))
      assert.ok(scripts[script], `npm run ${script}`);
    const makefile = readFileSync(join(PROJECT, "Makefile"), "utf8");
    for (const [, target] of text.matchAll(/`make ([a-z-]+)/g))
      assert.match(makefile, new RegExp(`^${target}:`, "m"));
  });
}

test("the README is a map: at most 150 lines, with a link to every other page", () => {
  const map = PAGES.get("README.md") as string;
  assert.ok(map.split("\n").length <= 150);
  for (const page of PAGES.keys()) if (page !== "README.md") assert.ok(map.includes(`](${page})`), page);
});

test("every promise of SECURITY.md has a test that bears its number, or says that it has none", () => {
  const tests = execFileSync("git", ["grep", "-hoE", '["`](R[0-9]+ )+', "--", "*.test.ts"], {
    cwd: PROJECT,
    encoding: "utf8",
  });
  const shown = new Set(tests.match(/R\d+/g));
  const rows = [...(PAGES.get("SECURITY.md") as string).matchAll(/^\| (R\d+) \| (.*)$/gm)];
  assert.ok(rows.length > 30);
  for (const [, number, promise] of rows)
    assert.ok(shown.has(number) || promise.includes("(no test yet)"), number);
  for (const number of shown)
    assert.ok(
      rows.some(([, row]) => row === number),
      `SECURITY.md has no ${number}`,
    );
});
