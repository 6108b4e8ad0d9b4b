// Retained messages on disk: what is acknowledged is written, whoever dies; quotas, filters, bad files.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { UsageError } from "../cli/exit";
import { RetainedStore } from "./retained_store";
import { matches } from "./topics";

const folder = mkdtempSync(join(tmpdir(), "retained-"));
after(() => rmSync(folder, { recursive: true }));
const message = (topic: string, payload: string, owner = "") => ({
  ...{ topic, payload: Buffer.from(payload), qos: 1 as const, owner },
});

test("a message is there after the next opening, the last one of a topic; an empty one takes it away", async () => {
  const path = join(folder, "store");
  let store = new RetainedStore(path);
  await Promise.all([
    store.put(message("a/b", "1")),
    store.put(message("a/b", "2")),
    store.put(message("a/c", "3")),
  ]);
  await store.put(message("a/c", ""));
  store.close();
  store = new RetainedStore(path);
  assert.deepEqual([...store.match(["#"])], [message("a/b", "2")]);
  store.close();
});

test("a device's topics are counted, the operator's are not", async () => {
  const store = new RetainedStore();
  await store.put(message("meter/SN1/a", "x", "meter-SN1"));
  await store.put(message("meter/SN1/b", "x", "meter-SN1"));
  await store.put(message("meter/SN1/ota", "x"));
  assert.equal(store.count("meter-SN1"), 2);
  assert.equal(store.count(""), 0);
  await store.put(message("meter/SN1/a", "", "meter-SN1"));
  assert.equal(store.count("meter-SN1"), 1);
  store.close();
});

test("filters take what MQTT says, over more than one page, while others write", async () => {
  const store = new RetainedStore();
  const topics = Array.from({ length: 600 }, (_, i) => `meter/SN${i}/ota`);
  await Promise.all(
    [...topics, "meter", "meter/", "$SYS/x", "meterx/SN1/ota", "mètre/SN1/\u{10ffff}"].map((topic) =>
      store.put(message(topic, "x")),
    ),
  );
  const all = [...store.match(["#"])].map(({ topic }) => topic);
  for (const filter of [
    "#",
    "meter/#",
    "meter/+/ota",
    "+/SN1/ota",
    "+",
    "meter/SN7/ota",
    "mètre/#",
    "meter/SN1/+/x",
    "/#",
  ])
    assert.deepEqual(
      [...store.match([filter])].map(({ topic }) => topic).sort(),
      [...topics, ...all.filter((topic) => !topics.includes(topic)), "$SYS/x"]
        .filter((topic) => matches(filter, topic))
        .sort(),
      filter,
    );
  const seen: string[] = [];
  for (const { topic } of store.match(["meter/+/ota"])) {
    seen.push(topic);
    if (seen.length === 10) await store.put(message("meter/SN0/ota", ""));
  }
  assert.equal(seen.length, 600);
  store.close();
});

test("a file that is none, one that another gateway has open: a sentence, and nothing lost", async () => {
  const none = join(folder, "none");
  writeFileSync(none, "this is no database, and longer than its header of one hundred bytes is. ".repeat(4));
  assert.throws(
    () => new RetainedStore(none),
    (error) => error instanceof UsageError && /it is no SQLite file/.test(error.message),
  );
  const path = join(folder, "held");
  const store = new RetainedStore(path);
  await store.put(message("a", "1"));
  assert.throws(() => new RetainedStore(path), /another gateway keeps its retained messages there/);
  store.close();
  assert.throws(() => new RetainedStore(join(folder, "not", "there")), UsageError);
});
