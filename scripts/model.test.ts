/*
 * Spin on the model of the tickets: in the protocol as it is coded it finds nothing in any state; in the one of 1978 Denning and Sacco's replay,
 * without roles in the proofs a reflection, without identities a mix-up: so it can find them.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { skipWithout } from "./lib/test/peers/install";
import { checkModel, VARIANTS } from "./lib/tickets/model";

const skip = skipWithout("spin", "gcc");

for (const variant of VARIANTS)
  test(`${variant.about}: Spin finds ${variant.expected || "nothing"}`, { skip }, () => {
    const { found, states, trail } = checkModel(variant);
    assert.equal(found, variant.expected);
    // with nothing to find it has looked at all of them
    if (!found) assert.ok(states > 10_000, `${states} states`);
    else assert.match(trail, /assertion violated/);
    // Denning and Sacco: a session is over, its key is lost, and the asked device takes its ticket again
    if (variant.define === "PROTOCOL_1978")
      assert.match(trail, /isKnown\[k\] = 1[\s\S]*Asked[\s\S]*assertion violated/);
  });
