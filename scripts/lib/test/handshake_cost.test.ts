// The counters of handshakes and records, held to the least that firmware/README.md 1 counts, and what the extensions add.
import assert from "node:assert/strict";
import { test } from "node:test";
import { handshakeCost, handshakeLimit, IDENTITY_LENGTH, offered, recordLimit } from "./handshake_cost";

for (const board of ["esp32-idf4-sim", "esp32-sim", "mdbt42q-w5500-sim"] as const) {
  const suites = offered(board);
  for (const suite of suites) {
    test(`${suite.name} on ${board} keeps to the least counts`, async () => {
      const { bytesOut, bytesIn, sha1, sha256, aes, record } = await handshakeCost(suite, board);
      const limit = handshakeLimit(suite, suites, IDENTITY_LENGTH);
      assert.deepEqual([bytesOut, bytesIn], [limit.bytesOut, limit.bytesIn], "bytes out and in, exactly");
      assert.ok(aes <= limit.aes, `${aes} AES blocks, limit ${limit.aes}`);
      for (const [way, figures] of Object.entries(record)) {
        const most = recordLimit(suite, way === "out");
        assert.deepEqual([figures.bytesOut, figures.bytesIn], [most.bytesOut, most.bytesIn], `record ${way}`);
        assert.ok(figures.aes <= most.aes, `record ${way}: ${figures.aes} AES blocks, limit ${most.aes}`);
      }
      // native digests have no running state and compress pads and transcript anew: calls are what they cost
      if (board !== "esp32-idf4-sim") return;
      assert.ok(sha1 <= limit.sha1, `${sha1} SHA-1 compressions, limit ${limit.sha1}`);
      assert.ok(sha256 <= limit.sha256, `${sha256} SHA-256 compressions, limit ${limit.sha256}`);
      for (const [way, figures] of Object.entries(record)) {
        const most = recordLimit(suite, way === "out");
        assert.ok(figures.sha1 <= most.sha1, `record ${way}: ${figures.sha1} SHA-1 compressions`);
        assert.ok(figures.sha256 <= most.sha256, `record ${way}: ${figures.sha256} SHA-256 compressions`);
      }
    });
  }
}
