// The loader, a program of its own in `.bootrst`: takes the port, chooses a slot, holds its image to its digest, counts
// the start of one that is not confirmed yet, and starts it. ota/README.md has the table of states. What it makes is gone when
// the image begins, but the global `slot`, where the slot that runs begins in the file, and, of an image that is not confirmed,
// `trial`, the timer that ends its start, and `feeds`. The chip's watchdog is armed in any case. On a blank device it does nothing and the prompt is open; with a key alone, for
// tests, there is no journal, and slot 0 runs.
import { serialOpen, serialWrite } from "hal:serial";
import { TRIAL, watchdog } from "hal:system";
import { board } from "board";
import type { Bytes } from "../bytes";
import { SLOT_BYTES } from "../ota/slot";
import { image } from "../ota/slots";
import { TRIAL_FEEDS, TRIAL_MS } from "../profile";
import {
  AT_ACTIVE,
  AT_ATTEMPTS,
  AT_REVERT,
  newest,
  place,
  RECORD_BYTES,
  STATE,
  seal,
} from "../store/journal";
import { IMAGE_DIGEST, NO_IMAGE, NOT_CONFIRMED } from "../tls/alert";
import { isBlank } from "./port";

/** Starts that an image has to be confirmed in. */
const STARTS = 3;

const start = {
  /**
   * The image that runs. A getter, because the interpreter begins those with no interrupt pending: a Ctrl-C that came before
   * the port was taken would stop all this half a tick later, and nothing would start it again.
   */
  get code(): Bytes | undefined {
    let code: Bytes | undefined;
    let isTrial: boolean | undefined;
    if (!isBlank) {
      const state = E.toUint8Array(newest(STATE));
      const hasPlace = place % board.journalLength;
      // without a state slot 0 is active and confirmed
      slot = state[AT_ACTIVE] ? SLOT_BYTES : 0;
      let reason = 0;
      // a start that cannot be counted is none that may be made
      if (state[AT_ATTEMPTS] > (hasPlace ? STARTS : 0)) {
        reason = NOT_CONFIRMED;
        slot ^= SLOT_BYTES;
      }
      // a second look: one false digest is no reason to leave an image
      code = image(slot) || image(slot);
      if (!code) {
        reason = IMAGE_DIGEST;
        code = image((slot ^= SLOT_BYTES));
      }
      if (!code) serialOpen(() => serialWrite("E" + NO_IMAGE + "\r\n"));
      else if (hasPlace && (reason || state[AT_ATTEMPTS])) {
        state[AT_ACTIVE] = slot && 1;
        state[AT_REVERT + 1] = reason;
        if (reason) state[AT_ATTEMPTS] = 0;
        else {
          // whatever the image does or does not do, this start ends
          state[AT_ATTEMPTS]++;
          isTrial = true;
          feeds = TRIAL_FEEDS;
          trial = setInterval(TRIAL as any, TRIAL_MS / TRIAL_FEEDS);
        }
        let i = RECORD_BYTES;
        while (!(++state[--i] & 255));
        require("Flash").write(seal(E.toString(state)), place);
      }
    }
    // at the prompt too: on some chips it goes on over a restart
    watchdog(!isTrial);
    return code;
  },
};

(global as any).__start__(start.code);
