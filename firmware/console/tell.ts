// What the device tells of itself, a section. Its rows are those of commands.ts.
import { flash } from "hal:flash";
import { networkAddress } from "hal:network";
import { board } from "board";
import { failures, retry, retryAt } from "../application";
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
  const uint16 = section(import("../bytes")).uint16;
  // what takes much of the heap comes first, and only a number of it stays
  const used = process.memory().usage;
  const revert = row === STATUS && uint16(section(import("../journal")).newest(STATE), 4);
  const log = row === CNT || row === ID ? section(import("../journal")).newest(LOG) : "";
  const boots = (log.charCodeAt(4) << 16) | uint16(log, 5);
  // the manifest of the image that runs; "" where it lies alone, for tests
  const base: number = global.slot || 0;
  const manifest = flash.read(SLOTS_FILE, base + AT_MANIFEST, 32) || "";
  const sequence = (uint16(manifest, AT_SEQUENCE) << 16) | uint16(manifest, AT_SEQUENCE + 2);
  const now = getTime();
  if (row === STATUS)
    return {
      id: section(import("../settings")).readSettings().id || "",
      step: section(import("../application")).step(),
      err: lastError,
      at: lastStep,
      up: (now - startedAt) | 0,
      mem: used,
      free: flash.getFree(),
      fail: failures,
      wait: retry ? (retryAt - now + 1) | 0 : 0,
      slot: base && 1,
      seq: sequence,
      lock: now < until ? 0 : 1,
      rev: revert,
    };
  if (row === CNT)
    return { boots: boots, sessions: uint16(log, 8), fails: uint16(log, 10), tries: log.charCodeAt(7) | 0 };
  const settings = section(import("../settings")).readSettings();
  if (row === NET)
    return { host: settings.host, port: settings.port, ssid: settings.ssid, ip: networkAddress() };
  const version = manifest.substr(AT_VERSION).split("\0")[0];
  if (row !== ID) return { slot: base && 1, seq: sequence, ver: version };
  return {
    id: settings.id || "",
    board: board.name,
    hw: board.hardware,
    ver: version,
    seq: sequence,
    boots: boots,
  };
}
