// The module `tls-psk` on the real interpreter, required from Storage by an application that knows nothing of the firmware: an echo
// through OpenSSL with each suite, then another server and a wrong key. What it takes of the heap is printed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { moduleBundle } from "../../scripts/lib/bundle/module_bundle";
import { IDENTITY, KEY } from "../../scripts/lib/test/device";
import { ENGINE, Engine } from "../../scripts/lib/test/engine";
import { skipWithout } from "../../scripts/lib/test/peers/install";
import * as openssl from "../../scripts/lib/test/peers/openssl_s_server";
import { SUITES } from "../../scripts/lib/test/tls12/suites";

const skip = ENGINE ? skipWithout("openssl") : "ESPRUINO_BIN names no interpreter";

/** An application: sends a text of 512 bytes three times and prints what came of it. */
const application = (port: number, key: string) => `
var before = process.memory().usage;
var tls = require("tls-psk");
print("heap " + (process.memory().usage - before));
var text = "x".repeat(512), got = 0, wrong = 0;
var socket = tls.connect({ host: "127.0.0.1", port: ${port}, identity: "${IDENTITY}", key: ${key} }, function (s) {
  print("session " + (process.memory().usage - before));
  s.write(text);
});
socket.on("data", function (data) {
  for (var i = 0; i < data.length; i++) if (data[i] != "x") wrong++;
  got += data.length;
  if (got == 1536) socket.end();
  else if (!(got % 512)) socket.write(text);
});
socket.on("error", function (code) { print("error " + code); });
socket.on("close", function (bad) { print("closed " + bad + " " + got + " " + wrong); });
`;

async function runApplication(port: number, key: string): Promise<{ lines: string[]; last: string }> {
  const engine = new Engine({
    "tls-psk": await moduleBundle("linux"),
    app: application(port, key),
    ".bootcde": 'eval(require("Storage").read("app"))',
  });
  try {
    const [last] = await engine.line(/^closed .*|OUT OF MEMORY|interpreter error.*MEMORY|Uncaught.*/);
    return { lines: engine.lines, last };
  } finally {
    await engine.stop();
  }
}

for (const suite of SUITES)
  test(`the module tls-psk talks to OpenSSL with ${suite.name}`, { skip }, async (t) => {
    const server = await openssl.start({ suite: suite.code, identity: IDENTITY, key: KEY });
    const hex = JSON.stringify(KEY.toString("hex"));
    const binary = `atob("${KEY.toString("base64")}")`;
    try {
      const { lines, last } = await runApplication(server.port, suite === SUITES[0] ? hex : binary);
      if (/MEMORY/.test(last)) return t.skip(`does not fit: ${last}`);
      assert.equal(last, "closed false 1536 0", lines.join("\n"));
      console.log(
        `${suite.name}: ${lines.filter((line) => /^(heap|session) /.test(line)).join(", ")} variables`,
      );
    } finally {
      await server.stop();
    }
  });

test("the module tls-psk tells an error by its code", { skip }, async (t) => {
  const server = await openssl.start({ suite: SUITES[0].code, identity: IDENTITY, key: KEY });
  try {
    const { lines, last } = await runApplication(server.port, '"00112233445566778899aabbccddee01"');
    if (/MEMORY/.test(last)) return t.skip(`does not fit: ${last}`);
    assert.equal(last, "closed true 0 0");
    assert.ok(
      lines.some((line) => /^error \d+$/.test(line)),
      lines.join("\n"),
    );
  } finally {
    await server.stop();
  }
});
