// The secrets of TLS 1.3 that depend on the pre-shared key alone where psk_ke is the mode (RFC 8446, 7.1), as sections. The
// first handshake under a key computes them and keeps them in the last page of Storage, which a factory reset erases; every later one
// reads them, 112 bytes:
//
//   handshake secret, master secret, binder's finished_key (32 each), their CBC-MAC under the key (16; the length never differs)
//
// all of it under the key in counter mode (ctr.ts). So without the key, wherever it was wiped or replaced, they are nothing; and what is torn,
// altered, or of another key has another MAC, and is computed anew. The MAC stands last: where it is right, and what is before it is not,
// nothing is written again, or a bit that does not hold would wear out the page.
import { aes } from "hal:aes128";
import { board } from "board";
import { CBC_ENCRYPT } from "../../hal/hal";
import type { Bytes } from "../bytes";
import { SLOT_BYTES } from "../ota/slot";
import { EPOCHS } from "../profile";
import { key } from "../store/key";
import { NOTHING_HASHED } from "./hkdf";

/** Bytes of the secrets, and of what is written. */
const SECRETS = 3 * 32;
const BOX = SECRETS + 16;
const PAGE = board.storageStart + board.storageLength - board.pageLength;
/** Whether that page is no file's (../ota/README.md). Of keys that change with each session nothing is kept. */
const HAS_PAGE = !EPOCHS && PAGE >= board.slotsStart + 2 * SLOT_BYTES + 32 + board.settingsLength;
/** What `ctrTurn` wants behind the key: a byte that is not 0 and a nonce of 12. A key has one text, so one nonce will do. */
const NONCE = "tls13 secrets";

/** Handshake secret, master secret, binder's finished_key, 32 bytes each. */
export let secrets: Bytes;
/** Where the others begin. */
export const AT_MASTER = 32;
export const AT_FINISHED_KEY = 64;

/** Have the secrets ready. At the beginning, when the least is on the heap: to compute them takes more of it than what follows. */
export function ready(): void {
  const psk = key.substr(0, 16);
  const context = psk + NONCE;
  const ctrTurn = section(import("../crypto/ctr")).ctrTurn;
  secrets = HAS_PAGE ? ctrTurn(context, E.toString(require("Flash").read(BOX, PAGE))) : "";
  const lying = secrets.substr(SECRETS);
  /** Where those that are computed are written to; 0: those that lie there are looked at first. */
  let to = HAS_PAGE ? 0 : PAGE;
  for (;;) {
    secrets = to ? section(import("./secrets")).computed() : secrets.substr(0, SECRETS);
    const mac = HAS_PAGE ? E.toString(aes(CBC_ENCRYPT, psk, secrets)).substr(-16) : "";
    const isRight = mac === lying;
    if (HAS_PAGE && to && !isRight) {
      require("Flash").erasePage(to);
      require("Flash").write(ctrTurn(context, secrets + mac), to);
    }
    if (to || isRight) return;
    to = PAGE;
    secrets = "";
  }
}

/** Compute handshake secret, master secret and the binder's finished_key, 32 bytes each. */
export function computed(): Bytes {
  const hmac = section(import("../crypto/hmac")).hmac;
  const hmacKey = section(import("../crypto/hmac")).hmacKey;
  const expandLabel = section(import("./hkdf")).expandLabel;
  const zeros = "\0".repeat(32);
  let finishedKey = "";
  let ladder = "";
  // the early secret, and step by step down the ladder the next ones
  let next = hmac(32, hmacKey(32, zeros), key.substr(0, 16));
  for (let i = 2; i--; ) {
    const pads = hmacKey(32, next);
    if (i)
      finishedKey = expandLabel(
        hmacKey(32, expandLabel(pads, "\x20ext binder", NOTHING_HASHED)),
        "\x20finished",
        "",
      );
    next = hmac(32, hmacKey(32, expandLabel(pads, "\x20derived", NOTHING_HASHED)), zeros);
    ladder += next;
  }
  return ladder + finishedKey;
}

/** Forget the secrets. */
export function forget(): void {
  secrets = "";
}
