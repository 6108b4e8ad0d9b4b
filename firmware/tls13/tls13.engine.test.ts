// TLS 1.3 on the real interpreter: the TLS socket of the bundle of board linux echoes ten records of 512 bytes through OpenSSL with each
// suite. Needs ESPRUINO_BIN. A build that is too small for an application beside the socket is skipped with what it said.
import assert from "node:assert/strict";
import { test } from "node:test";
import { buildBundle } from "../../scripts/lib/bundle/build";
import { IDENTITY, KEY } from "../../scripts/lib/test/device";
import { ENGINE } from "../../scripts/lib/test/engine";
import { SOCKET_RECORDS, startSocketApplication } from "../../scripts/lib/test/engine_socket";
import { skipWithout } from "../../scripts/lib/test/peers/install";
import * as openssl from "../../scripts/lib/test/peers/openssl_s_server";
import { profileWith, SUITES_13 } from "../../scripts/lib/test/tls13/suites";

const skip = ENGINE ? skipWithout("openssl") : "ESPRUINO_BIN names no interpreter";

for (const suite of SUITES_13)
  test(`an application's socket on the interpreter talks TLS 1.3 to OpenSSL with ${suite.name}`, {
    skip,
  }, async (t) => {
    const server = await openssl.start({ suite: suite.code, tls13: true, identity: IDENTITY, key: KEY });
    const entry = "firmware/tls/socket_app.ts";
    const { code } = await buildBundle({ board: "linux", entry, profile: profileWith(suite) });
    const engine = startSocketApplication(code, server.port);
    try {
      const [line] = await engine.line(
        /^closed .*|^error .*|(OUT OF MEMORY|Not enough memory|Uncaught|\bMEMORY).*/,
        240_000,
      );
      if (/MEMORY|memory/.test(line)) return t.skip(`does not fit: ${line}`);
      assert.equal(line, `closed 0 ${SOCKET_RECORDS} 0 true`, engine.lines.join("\n"));
      console.log(`${suite.name}: ${engine.lines.find((each) => /^heap /.test(each))} variables`);
    } finally {
      await engine.stop();
      await server.stop();
    }
  });
