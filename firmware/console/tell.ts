// What the device tells of itself, a section. Its rows are those of commands.ts.
import { flash } from "hal:flash";
import { networkAddress } from "hal:network";
import { board } from "board";
import { failures, retry, retryAt } from "../application";
import { lastError, lastStep } from "../event_log";
import { LOG, STATE } from "../journal";
import { startedAt } from "./console";
import { until } from "./unlock";

/** Answer STATUS, NET, CNT, UPDATE, or, of any other row, who it is. */
export default function tell(row: number): Record<string, unknown> {
  const now = getTime();
  const uint16 = section(import("../bytes")).uint16;
  const newest = section(import("../journal")).newest;
  const log = newest(LOG);
  const boots = (log.charCodeAt(4) << 16) | uint16(log, 5);
  const settings = section(import("../settings")).readSettings();
  const id = settings.id || "";
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
      slot: 0,
      seq: 0,
      lock: now < until ? 0 : 1,
      rev: uint16(newest(STATE), 4),
    };
  if (row === NET)
    return { host: settings.host, port: settings.port, ssid: settings.ssid, ip: networkAddress() };
  if (row === CNT)
    return { boots: boots, sessions: uint16(log, 8), fails: uint16(log, 10), tries: log.charCodeAt(7) | 0 };
  if (row === UPDATE) return { slot: 0, seq: 0, ver: "" };
  return { id: id, board: board.name, hw: board.hardware, ver: "", seq: 0, boots: boots };
}

export const STATUS = 0;
export const NET = 1;
export const CNT = 2;
export const UPDATE = 3;
export const ID = 4;
