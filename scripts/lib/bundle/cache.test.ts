// What was built before is found again, and nothing else is: changed sources, other options, a file that is not whole, two processes
// at the same bundle.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { LOADER, modulePath } from "../test/program";
import { buildBundle } from "./build";
import { Cache, KEPT_FILES } from "./cache";

const folder = mkdtempSync(join(tmpdir(), "cache-"));
after(() => rmSync(folder, { recursive: true }));

/** A cache of its own with one entry, made of one file. */
function kept(name: string) {
  const source = join(folder, `${name}.ts`);
  writeFileSync(source, "print(1)");
  const place = join(folder, name);
  const cache = new Cache<{ code: string }>(place);
  cache.write({ board: "a" }, [source], { code: "print(1)\xff" });
  const file = () => join(place, readdirSync(place)[0]);
  return { cache, source, place, file };
}

test("the cache gives what was kept, to another object too, and nothing for other options", () => {
  const { cache, place } = kept("given");
  for (const each of [cache, new Cache(place)])
    assert.deepEqual(each.read({ board: "a" }), { code: "print(1)\xff" });
  assert.equal(cache.read({ board: "b" }), undefined);
  assert.equal(cache.read({ board: "a", debug: true }), undefined);
});

test("a source that has changed or gone makes it build again, and one file stands for the options", () => {
  const { cache, source, place } = kept("changed");
  writeFileSync(source, "print(2)");
  assert.equal(cache.read({ board: "a" }), undefined);
  cache.write({ board: "a" }, [source], { code: "print(2)" });
  assert.deepEqual(cache.read({ board: "a" }), { code: "print(2)" });
  assert.equal(readdirSync(place).length, 1);
  rmSync(source);
  assert.equal(cache.read({ board: "a" }), undefined);
});

test("a cache file that is cut off anywhere, or has one bit flipped, counts as none", () => {
  const { cache, file } = kept("corrupt");
  const whole = readFileSync(file());
  for (let at = 0; at < whole.length; at++) {
    writeFileSync(file(), whole.subarray(0, at));
    assert.equal(cache.read({ board: "a" }), undefined, `cut off at ${at}`);
    const flipped = Buffer.from(whole);
    flipped[at] ^= 1;
    writeFileSync(file(), flipped);
    assert.equal(cache.read({ board: "a" }), undefined, `flipped at ${at}`);
  }
  writeFileSync(file(), whole);
  assert.deepEqual(cache.read({ board: "a" }), { code: "print(1)\xff" });
});

test("a folder that cannot be written costs a build and nothing else", async () => {
  const file = join(folder, "no-folder");
  writeFileSync(file, "");
  const cache = new Cache<number>(join(file, "below"));
  assert.equal(await cache.get("x", async () => ({ inputs: [], value: 5 })), 5);
  assert.equal(cache.read("x"), undefined);
});

test("what was made while a source changed is not kept", async () => {
  const source = join(folder, "edited.ts");
  const cache = new Cache<number>(join(folder, "edited"));
  const make = async () => ({ inputs: [source], value: 6 });
  writeFileSync(source, "print(6)");
  assert.equal(await cache.get("x", make), 6);
  assert.equal(cache.read("x"), undefined);
  utimesSync(source, 1, 1);
  assert.equal(await cache.get("x", make), 6);
  assert.equal(cache.read("x"), 6);
});

test("no more than the last files stay", () => {
  const place = join(folder, "many");
  const cache = new Cache<number>(place);
  for (let i = 0; i < KEPT_FILES + 20; i++) cache.write(i, [], i);
  assert.equal(readdirSync(place).length, KEPT_FILES);
  assert.equal(cache.read(KEPT_FILES + 19), KEPT_FILES + 19);
});

/** Another process that gets "x" from the cache in `place`; making it takes a while and leaves a line in `log`. */
function otherProcess(place: string, log: string) {
  const program = `
    const { appendFileSync } = await import("node:fs");
    const { Cache } = await import(${JSON.stringify(pathToFileURL(modulePath("scripts/lib/bundle/cache.ts")).href)});
    const cache = new Cache(${JSON.stringify(place)});
    process.send("ready");
    process.once("message", async () => {
      const value = await cache.get("x", async () => {
        appendFileSync(${JSON.stringify(log)}, "made\\n");
        await new Promise((done) => setTimeout(done, 300));
        return { inputs: [], value: 7 };
      });
      process.send(value);
      process.disconnect();
    });`;
  return spawn(process.execPath, [...LOADER, "--input-type=module", "--eval", program], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
}

test("of two processes that want the same at once, one makes it", async () => {
  const place = join(folder, "shared");
  const log = join(folder, "made.log");
  const processes = [otherProcess(place, log), otherProcess(place, log)];
  await Promise.all(processes.map((each) => once(each, "message")));
  const values = processes.map((each) => once(each, "message"));
  for (const each of processes) each.send("go");
  assert.deepEqual((await Promise.all(values)).flat().slice(0, 4).filter(Number), [7, 7]);
  assert.equal(readFileSync(log, "utf8"), "made\n");
});

test("the mark of a process that has died holds nobody up", async () => {
  const place = join(folder, "dead");
  const log = join(folder, "dead.log");
  const dying = otherProcess(place, log);
  await once(dying, "message");
  dying.send("go");
  const cache = new Cache<number>(place);
  while (!readdirSync(folder).includes("dead.log")) await new Promise(setImmediate);
  dying.kill("SIGKILL");
  await once(dying, "exit");
  assert.equal(await cache.get("x", async () => ({ inputs: [], value: 8 })), 8);
  assert.deepEqual(
    readdirSync(place).filter((name) => name.endsWith(".busy")),
    [],
  );
});

test("a bundle is built once: asked for again it is the same, with its map, names and sizes", async () => {
  const options = { board: "linux", entry: "scripts/lib/test/apps/record_app.ts" };
  const first = await buildBundle(options);
  assert.deepEqual(await buildBundle(options), first);
  assert.notEqual((await buildBundle({ ...options, debug: true })).code, first.code);
});
