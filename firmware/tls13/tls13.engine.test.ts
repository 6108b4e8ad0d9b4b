// TLS 1.3 on the real interpreter: the TLS socket of the bundle of board linux echoes ten records of 512 bytes through OpenSSL with each
// suite. Needs ESPRUINO_BIN. A build that is too small for an application beside the socket is skipped with what it said.
import assert from "node:assert/strict";
import { test } from "node:test";
import { loneBundle } from "../../hal/simulator/lone_bundle";
import { buildBundle } from "../../scripts/lib/bundle/build";
import { IDENTITY, KEY } from "../../scripts/lib/test/device";
import { ENGINE, Engine } from "../../scripts/lib/test/engine";
import { skipWithout } from "../../scripts/lib/test/peers/install";
import * as openssl from "../../scripts/lib/test/peers/openssl_s_server";
import { profileWith, SUITES_13 } from "../../scripts/lib/test/tls13/suites";

const skip = ENGINE ? skipWithout("openssl") : "ESPRUINO_BIN names no interpreter";
const RECORDS = 10;

for (const suite of SUITES_13)
  test(`an application's socket on the interpreter talks TLS 1.3 to OpenSSL with ${suite.name}`, {
    skip,
  }, async (t) => {
    const server = await openssl.start({ suite: suite.code, tls13: true, identity: IDENTITY, key: KEY });
    const entry = "firmware/tls/socket_app.ts";
    const { code } = await buildBundle({ board: "linux", entry, profile: profileWith(suite) });
    const application = `(function () {
      var size = 512, sent = 0, got = "", wrong = 0;
      function next() { sent++; got = ""; socket.write(String.fromCharCode(64 + sent).repeat(size)); }
      var socket = tls.connect({ host: "127.0.0.1", port: ${server.port} }, function () {
        print("heap " + process.memory().usage);
        next();
      });
      socket.on("data", function (data) {
        got += data;
        if (got.length < size) return;
        if (got != String.fromCharCode(64 + sent).repeat(size)) wrong++;
        if (sent < ${RECORDS}) next(); else socket.end();
      });
      socket.on("error", function (code) { print("error " + code); });
      socket.on("close", function (code) { print("closed", code || 0, sent, wrong); });
    })();`;
    const engine = new Engine({
      ...loneBundle(code),
      ".boot0": 'setTimeout(function () { eval(require("Storage").read("app")); }, 1);',
      app: application,
      conf: JSON.stringify({ id: IDENTITY }),
      key: KEY.toString("latin1"),
    });
    try {
      const [line] = await engine.line(
        /^closed .*|^error .*|(OUT OF MEMORY|Not enough memory|Uncaught|\bMEMORY).*/,
        240_000,
      );
      if (/MEMORY|memory/.test(line)) return t.skip(`does not fit: ${line}`);
      assert.equal(line, `closed 0 ${RECORDS} 0`, engine.lines.join("\n"));
      console.log(`${suite.name}: ${engine.lines.find((each) => /^heap /.test(each))} variables`);
    } finally {
      await engine.stop();
      await server.stop();
    }
  });
