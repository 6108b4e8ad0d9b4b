// Where the ticket service carries what devices say (service.ts): to a device of the same product, and nowhere else.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseTopic } from "./service";

test("a message goes to the device that its topic names, from the one that published it", () => {
  assert.deepEqual(parseTopic("meter/SN1/up/peer/SN2"), {
    ...{ product: "meter", serial: "SN1", to: "meter/SN2/down/peer/SN1" },
  });
  assert.deepEqual(parseTopic("meter/SN1/up/ticket"), { product: "meter", serial: "SN1", to: undefined });
});

test("R36 other topics, and parts longer than an identity may be, go nowhere: MQTT's own limit is 65,535 bytes", () => {
  for (const topic of [
    "meter/SN1/up/peer",
    "meter/SN1/up/peer/",
    "meter/SN1/up/peer/SN2/x",
    "meter/SN1/down/peer/SN2",
    "meter/SN1/down/ticket",
    "meter/SN1/up/ticket/x",
    "meter/up/ticket",
  ])
    assert.equal(parseTopic(topic), undefined, topic);
  for (const length of [65, 65_518, 65_519]) {
    const long = "y".repeat(length);
    for (const topic of [
      ...[`meter/a/up/peer/${long}`, `meter/${long}/up/peer/a`, `${long}/a/up/peer/b`],
      ...[`meter/${long}/up/ticket`, `${long}/a/up/ticket`],
    ])
      assert.equal(parseTopic(topic), undefined, `${length}`);
  }
});
