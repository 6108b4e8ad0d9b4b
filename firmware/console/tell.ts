// What the device tells of itself, a section. Its rows are those of commands.ts.

import { flash } from "hal:flash";
import { networkAddress } from "hal:network";
import { board } from "board";
import { failures, retry, retryAt } from "../application";
import { uint16 } from "../bytes";
import { lastError, lastStep } from "../event_log";
import { LOG, STATE } from "../journal";
import { AT_MANIFEST, AT_SEQUENCE, AT_VERSION, SLOTS_FILE } from "../ota/manifest";
import { startedAt } from "./console";
import { until } from "./unlock";

/** Rows (commands.ts). */
const STATUS = 0;
const NET = 1;
const CNT = 2;
export const ID = 3;

/** Answer STATUS, NET, CNT, ID, or, of any other row, the image. */
export default function tell(row: number): Record<string, unknown> {
  const now = getTime();
  const newest = section(import("../journal")).newest;
  const log = newest(LOG);
  const boots = (log.charCodeAt(4) << 16) | uint16(log, 5);
  const settings = section(import("../settings")).readSettings();
  const id = settings.id || "";
  // the manifest of the image that runs; "" where it lies alone, for tests
  const base: number = slot;
  const manifest = flash.read(SLOTS_FILE, base + AT_MANIFEST, 32) || "";
  const sequence = (uint16(manifest, AT_SEQUENCE) << 16) | uint16(manifest, AT_SEQUENCE + 2);
  const version = manifest.substr(AT_VERSION).split("\0")[0];
  if (row === STATUS)
    return {
      id: id,
      step: section(import("../application")).step(),
      err: lastError,
      at: lastStep,
      up: (now - startedAt) | 0,
      mem: process.memory().usage,
      free: flash.getFree(),
      fail: failures,
      wait: retry ? (retryAt - now + 1) | 0 : 0,
      slot: base && 1,
      seq: sequence,
      lock: now < until ? 0 : 1,
      rev: uint16(newest(STATE), 4),
    };
  if (row === NET)
    return { host: settings.host, port: settings.port, ssid: settings.ssid, ip: networkAddress() };
  if (row === CNT)
    return { boots: boots, sessions: uint16(log, 8), fails: uint16(log, 10), tries: log.charCodeAt(7) | 0 };
  if (row === ID)
    return { id: id, board: board.name, hw: board.hardware, ver: version, seq: sequence, boots: boots };
  return { slot: base && 1, seq: sequence, ver: version };
}
