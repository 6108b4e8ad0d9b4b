// `update`, as a section: how far an update is, and asking for one.

import { STEP_UP } from "../app/steps";
import { awaited, piece } from "../ota/updater";
import type { Answer } from "./console";

/** Tell pieces, whether an update is held back and the sequence of the image that runs; the broker is asked for it anew. */
export default function update(): Answer {
  if (section(import("../app/application")).step() === STEP_UP) {
    section(import("../ota/updater")).askAnew();
    section(import("../tls/session")).flush();
  }
  return {
    got: piece | 0,
    hold: +(awaited === null),
    seq: section(import("../ota/running")).sequence(),
  };
}
