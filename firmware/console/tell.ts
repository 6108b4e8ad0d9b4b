// What the device tells of itself, a section.
import { networkAddress } from "hal:network";
import { board } from "board";
import { failures, retry, retryAt } from "../app/application";
import { startedAt } from "../app/started";
import { bundle } from "../boot/load_section";
import { type Bytes, uint16 } from "../bytes";
import { AT_VERSION } from "../ota/manifest";
import { AT_MANIFEST } from "../ota/slot";
import { EPOCHS } from "../profile";
import { boots, lastError, lastStep, log } from "../store/event_log";
import { AT_FAILURES, AT_REVERT, AT_SESSIONS, AT_TRIES, STATE } from "../store/journal";
import { until } from "./unlock";

/** Which answer is meant. */
export const STATUS = 0;
export const NET = 1;
export const CNT = 2;
export const ID = 3;

/** Answer STATUS, NET, CNT, or who it is and which image runs. */
export default function tell(which: number): Record<string, unknown> {
  // what takes much of the heap comes first, and only a number of it stays
  const used = process.memory().usage;
  const revert = which === STATUS && uint16(section(import("../store/journal")).newest(STATE), AT_REVERT);
  const sequence = section(import("../ota/running")).sequence();
  const now = getTime();
  if (which === STATUS) {
    const status: Record<string, unknown> = {
      id: section(import("../store/settings")).readSettings().id || "",
      step: section(import("../app/application")).step(),
      err: lastError,
      at: lastStep,
      up: (now - startedAt) | 0,
      mem: used,
      fail: failures,
      wait: retry ? (retryAt - now + 1) | 0 : 0,
      slot: slot && 1,
      seq: sequence,
      lock: +(now >= until),
      rev: revert,
    };
    if (EPOCHS) status.epoch = section(import("../store/tree")).take(status.id as Bytes, true);
    return status;
  }
  if (which === CNT)
    return {
      boots: boots,
      sessions: uint16(log, AT_SESSIONS),
      fails: uint16(log, AT_FAILURES),
      tries: log.charCodeAt(AT_TRIES),
    };
  const settings = section(import("../store/settings")).readSettings();
  if (which === NET)
    return { host: settings.host, port: settings.port, ssid: settings.ssid, ip: networkAddress() };
  const version = bundle.substr(AT_MANIFEST + AT_VERSION, 16).split("\0")[0];
  return {
    id: settings.id || "",
    board: board.name,
    ver: version,
    seq: sequence,
    boots: boots,
  };
}
