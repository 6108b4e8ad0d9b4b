/*
 * A rollout of very many light devices (light_clients.ts) in a few processes through a Mosquitto with the plugin on 127.0.0.1, and what
 * it took.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DeviceError } from "../cli/exit";
import { Broker, delay } from "../ota/broker";
import { planRings, runRollout } from "../ota/rollout";
import { RolloutState } from "../ota/rollout_state";
import { startPluginDoor } from "./doors";
import { type LightOptions, lightSerial } from "./light_clients";
import { type RunningProgram, runProgram } from "./peers/process";
import { nodeArguments } from "./program";
import { testManifests, testUpdate } from "./update";

/** How often memory and what devices print are looked at, milliseconds. */
const LOOK_EVERY_MS = 200;

export interface LoadOptions extends Pick<LightOptions, "failing" | "telemetryMs" | "takeMs"> {
  devices: number;
  processes: number;
  /** Manifests a second. */
  perSecond: number;
  /** Percent of a ring that may fail. */
  stopAt: number;
  shares: readonly number[];
  onEvent?(text: string): void;
}

export interface LoadFigures {
  seconds: number;
  /** Why it stopped, if it did. */
  stopped?: string;
  confirmed: number;
  failed: number;
  silent: number;
  /** Of the ring at which it ended: how many, how many of them had failed then. */
  ring: { size: number; failed: number };
  /** The greatest resident memory of the operator's process over what it had before, bytes. */
  memory: number;
}

/** Run one rollout; throws where it ends in another way than done or stopped. */
export async function runLoad(options: LoadOptions): Promise<LoadFigures> {
  const { devices, processes, perSecond, stopAt, shares, onEvent } = options;
  const master = randomBytes(16).toString("hex");
  const door = await startPluginDoor("", (folder) => ({ master: folder.file("master", master) }));
  const workers: RunningProgram[] = [];
  const states = mkdtempSync(join(tmpdir(), "rollout-load-"));
  try {
    const update = testUpdate();
    const count = Math.ceil(devices / processes);
    for (let first = 0; first < devices; first += count) {
      const light: LightOptions = {
        ...{ port: door.port, master, product: update.product, first, sequence: 6 },
        count: Math.min(count, devices - first),
        ...{ failing: options.failing, telemetryMs: options.telemetryMs, takeMs: options.takeMs },
      };
      const args = nodeArguments("scripts/lib/test/light_clients.ts", JSON.stringify(light));
      workers.push(runProgram({ command: process.execPath, args }));
    }
    const serials = Array.from({ length: devices }, (_, number) => lightSerial(number));
    const manifests = testManifests(update, serials);
    for (const worker of workers)
      while (!worker.output().includes("ready")) {
        if (!worker.alive()) throw new Error(`light devices ended:\n${worker.output()}`);
        await delay(LOOK_EVERY_MS);
      }
    onEvent?.(`${devices} devices are there`);
    const rings = planRings(serials, update.digest, [], shares);
    const { product, sequence, version } = update;
    const digest = Buffer.from(update.digest).toString("hex");
    const plan = { product, sequence, version, digest, stopAt, waitMinutes: 60, rings };
    const state = RolloutState.create(join(states, "state"), plan);
    const broker = await Broker.connect({ host: "127.0.0.1", port: door.operatorPort });
    const before = process.memoryUsage.rss();
    let memory = 0;
    const looking = setInterval(() => {
      memory = Math.max(memory, process.memoryUsage.rss() - before);
    }, LOOK_EVERY_MS);
    const startMs = performance.now();
    let last = 0;
    try {
      await runRollout({
        ...{ broker, update, manifests, state, perSecond },
        onEvent(event) {
          if ("begin" in event) last = event.begin;
          if ("begin" in event || "published" in event || "end" in event) onEvent?.(JSON.stringify(event));
        },
      }).catch((error) => {
        if (!(error instanceof DeviceError) || state.stopped === undefined) throw error;
      });
      const seconds = (performance.now() - startMs) / 1000;
      const totals = { confirmed: 0, failed: 0, silent: 0 };
      for (const ring of rings.keys()) {
        const { confirmed, failed, silent } = state.counts(ring);
        totals.confirmed += confirmed;
        totals.failed += failed;
        totals.silent += silent;
      }
      const ring = { size: rings[last].length, failed: state.counts(last).failed };
      return { seconds, stopped: state.stopped, ...totals, ring, memory };
    } finally {
      clearInterval(looking);
      await broker.close();
      state.close();
    }
  } finally {
    for (const worker of workers) await worker.stop();
    await door.stop();
    rmSync(states, { recursive: true });
  }
}
