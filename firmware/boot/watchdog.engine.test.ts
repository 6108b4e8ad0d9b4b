// Images that hang, on the real interpreter, whose Linux build has no watchdog: the process that started it plays it. An idle loop
// sleeps, and what hangs never does: where the interpreter has used so much processor time without a sleep it is killed, and started
// again from its flash. So load changes nothing. Needs ESPRUINO_BIN.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { buildBundle, LOADER } from "../../scripts/lib/bundle/build";
import { slotOf, storageFiles } from "../../scripts/lib/ota/layout";
import { readBoard } from "../../scripts/lib/project";
import { ENGINE, Engine, storageImage } from "../../scripts/lib/test/engine";
import { newKeys } from "../../scripts/lib/test/factory";
import { stateRecord, testManifest } from "../../scripts/lib/test/slots";

const skip = ENGINE ? false : "ESPRUINO_BIN names no interpreter";
/** Processor time without a sleep that counts as a hang, seconds: a start of such images takes a tenth of it. */
const WATCHDOG_S = 2;
/** Where the journal begins in the interpreter's flash. */
const JOURNAL = 0x3e000;
const keys = newKeys();

/** Sleeps of a process's first thread so far, and the processor time that it has used, seconds (proc(5)). */
function usage(pid: number): { sleeps: number; seconds: number } {
  const status = readFileSync(`/proc/${pid}/task/${pid}/status`, "latin1");
  const fields = readFileSync(`/proc/${pid}/task/${pid}/stat`, "latin1")
    .replace(/^.*\) /, "")
    .split(" ");
  const sleeps = Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(status)?.[1]);
  return { sleeps, seconds: (Number(fields[11]) + Number(fields[12])) / 100 };
}

/** Let it run until it hangs. */
async function hangs(engine: Engine): Promise<void> {
  for (let fed = usage(engine.pid); ; await delay(100)) {
    const now = usage(engine.pid);
    if (now.sleeps > fed.sleeps) fed = now;
    else if (now.seconds - fed.seconds > WATCHDOG_S) return;
  }
}

for (const [where, code] of [
  ["at its start", 'USB.write("B runs\\n");for(;;);'],
  ["in an event", 'USB.write("B runs\\n");setTimeout(()=>{for(;;);},50)'],
  ["in a command", 'USB.write("B runs\\n");USB.on("data",()=>{for(;;);})'],
])
  test(`R32 an image that hangs ${where} is left after three starts`, { skip }, async () => {
    const board = (await readBoard("linux")) as unknown as Parameters<typeof storageFiles>[0];
    const { code: loader } = await buildBundle({ board: "linux", entry: LOADER });
    const old = 'USB.write("A runs\\n")';
    const files = storageFiles(board, old, loader, { sequence: 5 });
    files[".slots"] =
      slotOf(board, old, testManifest(board, { code: old, sequence: 5 })) +
      slotOf(board, code, testManifest(board, { code, sequence: 6 }));
    files.key = keys.record.toString("latin1");
    let flash = storageImage(files);
    stateRecord(keys, { active: 1, attempts: 1, floor: 5, number: 1 }).copy(flash, JOURNAL);
    const runs: string[] = [];
    while (runs.at(-1) !== "A") {
      const engine = new Engine(flash);
      try {
        runs.push((await engine.line(/^(A|B) runs$/))[1]);
        if (runs.at(-1) === "A") break;
        if (/command/.test(where)) engine.type("x");
        await hangs(engine);
      } finally {
        await engine.stop();
      }
      flash = engine.flash;
      assert.ok(runs.length < 9, runs.join());
    }
    assert.deepEqual(runs, ["B", "B", "B", "A"]);
  });

test("R32 an image whose timers run is ended at its deadline, on the interpreter", { skip }, async (t) => {
  const board = (await readBoard("linux")) as unknown as Parameters<typeof storageFiles>[0];
  const { code: loader } = await buildBundle({ board: "linux", entry: LOADER, defines: { TRIAL_MS: 1000 } });
  const [old, code] = ["A", "B"].map((name) => `USB.write("${name} runs\\n")`);
  const files = storageFiles(board, old, loader, { sequence: 5 });
  files[".slots"] =
    slotOf(board, old, testManifest(board, { code: old, sequence: 5 })) +
    slotOf(board, code, testManifest(board, { code, sequence: 6 }));
  files.key = keys.record.toString("latin1");
  const flash = storageImage(files);
  stateRecord(keys, { active: 1, attempts: 1, floor: 5, number: 1 }).copy(flash, JOURNAL);
  const engine = new Engine(flash);
  t.after(() => engine.stop());
  await engine.line(/^A runs$/, 60_000);
  const runs = engine.lines.filter((line) => / runs$/.test(line));
  assert.deepEqual(runs, ["B runs", "B runs", "B runs", "A runs"]);
});
